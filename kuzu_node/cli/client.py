"""`kuzu-node cli ...`: the command line of the client, which is a package that the node does not import."""

from __future__ import annotations

import importlib.util
import os
import sys
from typing import NoReturn

import click

PACKAGE = "kuzu_client"
# Without these the package cannot even say what it lacks.
NEEDED = ("anyio", "httpx")


class PassedOn(click.Command):
    """What stands behind its name is not looked at, `--help` included."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.params["arguments"] = tuple(args)
        return []


def become_client(arguments: tuple[str, ...]) -> NoReturn:
    """This process goes on as the client: so its signals, terminal and exit code need nobody in between.

    Raises click.UsageError when its packages are not there.
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise click.UsageError(f"the client needs {' and '.join(missing)}: pip install 'kuzu-node[cli]'")
    # As strict about the current folder as this process was started.
    isolated = [] if os.getcwd() in sys.path else ["-P"]
    os.execv(sys.executable, [sys.executable, *isolated, "-m", PACKAGE, *arguments])
