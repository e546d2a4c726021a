"""Sessions of the project: `nox -s demo`, `nox -s tests`; plain `nox` runs tests, lint and typing.

Every package comes from `.ci/requirements.lock`, by hash; `nox -s lock` writes it anew from pyproject.toml.
"""

from __future__ import annotations

import nox

nox.needs_version = ">=2025.2.9"
nox.options.sessions = ["tests", "lint", "typing"]
nox.options.error_on_missing_interpreters = True

LOCK = ".ci/requirements.lock"
LINT_LOCK = ".ci/lint.lock"
BENCHES = (
    *("point_lookup", "stream", "isolation", "cold_open", "recovery", "rows_in", "encoders", "http_overhead"),
    *("disconnect", "loop_steps", "client_stream", "client_calls", "sessions"),
)


def install_project(session: nox.Session) -> None:
    """The locked packages, then the project on top; nothing is resolved and nothing is built in isolation."""
    session.install("--require-hashes", "-r", LOCK)
    session.install("--no-deps", "--no-build-isolation", "-e", ".")


@nox.session
def demo(session: nox.Session) -> None:
    """Load real flight data into a node of your own and ask it five questions."""
    install_project(session)
    session.run("python", "-m", "kuzu_node.demo", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """All tests, with the real engine, real processes and real sockets; two at a time, since they wait a lot."""
    install_project(session)
    session.run("python", "-m", "pytest", "-n", "2", "--dist", "worksteal", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Ratios against the embedded engine in the same run; `-- leaks --queries 1000000` runs one with its options."""
    install_project(session)
    scripts = [session.posargs] if session.posargs else [[name] for name in BENCHES]
    for name, *options in scripts:
        session.run("python", "-m", f"bench.{name}", *options)


@nox.session
def lint(session: nox.Session) -> None:
    """Style and likely bugs; changes nothing."""
    session.install("--require-hashes", "-r", LINT_LOCK)
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", "--check")
    session.run("python", "kuzu_client/_unasync.py", "--check")


@nox.session(name="format")
def format_(session: nox.Session) -> None:
    """Put the code into the one format."""
    session.install("--require-hashes", "-r", LINT_LOCK)
    session.run("ruff", "check", "--fix")
    session.run("ruff", "format")


@nox.session
def typing(session: nox.Session) -> None:
    """mypy, strict."""
    install_project(session)
    session.run("mypy", *session.posargs)


@nox.session
def lock(session: nox.Session) -> None:
    """Write the lock files anew, for every platform and Python that the project supports."""
    session.install("uv")
    compile_ = [
        *("uv", "pip", "compile", "pyproject.toml", "--quiet", "--universal", "--generate-hashes", "--upgrade"),
        *("--no-annotate", "--no-header", "--no-emit-index-url", "--python-version", "3.11"),
    ]
    everything = ["--extra", "server", "--extra", "client", "--extra", "session", "--extra", "demo"]
    for group in ("test", "typing", "build"):
        everything += ["--group", group]
    session.run(*compile_, *everything, "-o", LOCK)
    session.run(*compile_[:3], *compile_[4:], "--group", "lint", "-o", LINT_LOCK)
