"""`kuzu-client`: a node on the command line. docs/client-cli.md describes it."""

from __future__ import annotations

import importlib.util
import sys

from kuzu_client.cli.exits import Exit

NEEDED = ("click", "rich")


def main(arguments: list[str] | None = None) -> int:
    """The exit code, one of `Exit`."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        sys.stderr.write(f"kuzu-client needs {' and '.join(missing)}: pip install 'kuzu-node[cli]'\n")
        return Exit.USAGE
    from kuzu_client.cli.program import run  # not before it is known that its packages are there

    return run(arguments)


__all__ = ["main"]
