"""The command line as processes: what it prints, where, and the exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


def node(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """`python -m kuzu_node` with no settings but the given ones."""
    command = [sys.executable, "-m", "kuzu_node", *arguments]
    env = settings_free() | environ
    return subprocess.run(command, cwd=REPOSITORY, env=env, capture_output=True, text=True, timeout=60)


def settings_free() -> dict[str, str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("KUZU_") and not k.endswith("_TIER")}
    return inherited | {"COLUMNS": "200"}


def test_check_describes_a_machine_that_can_serve(tmp_path: Path) -> None:
    done = node("check", "--base-path", str(tmp_path / "new"), "--port", "0", "--sandbox", "auto")
    assert done.returncode == 0, done.stdout + done.stderr
    for subject in ("configuration", "engine", "sandbox", "file system", "memory", "open files"):
        assert subject in done.stdout
    assert "Kuzu 0.11.3" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_check_fails_where_a_node_would_not_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = node("check", "--base-path", str(tmp_path / "file"))
    assert done.returncode == 1
    assert "is not a folder" in done.stdout
    done = node("check", KUZU_HOST="0.0.0.0")
    assert done.returncode == 1
    assert "KUZU_API_KEY" in done.stdout


@pytest.mark.parametrize("arguments", [["serve", "--host", "0.0.0.0"], ["--host", "0.0.0.0"]])
def test_serving_with_a_wrong_configuration_says_why_and_exits_with_2(arguments: list[str]) -> None:
    done = node(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("kuzu-node: KUZU_HOST=0.0.0.0 without a key")
    assert done.stdout == ""


def test_an_unknown_option_is_refused_with_the_nearest_name() -> None:
    done = node("--query-timout", "3")
    assert done.returncode == 2
    assert "--query-timeout" in done.stderr


def test_help_names_the_commands() -> None:
    done = node("--help")
    assert done.returncode == 0
    assert "check" in done.stdout
    assert "serve" in done.stdout


def test_without_a_command_it_serves_until_sigterm(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "kuzu_node", "--base-path", str(tmp_path), "--node-type", "writer", "--port", "0"]
    with subprocess.Popen(command, cwd=REPOSITORY, env=settings_free(), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            events = (json.loads(line) for line in process.stdout)
            listening = next(event for event in events if event["event"] == "listening")
            host, port = listening["addresses"][0].rsplit(":", 1)
            with urllib.request.urlopen(f"http://{host}:{port}/health", timeout=30) as answer:
                assert json.load(answer)["status"] == "healthy"
            process.terminate()
            assert process.wait(timeout=30) == 0
        finally:
            process.kill()
