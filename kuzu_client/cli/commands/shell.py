"""The shell as a command."""

from __future__ import annotations

import sys

import click

from kuzu_client.cli.commands.command import command
from kuzu_client.cli.exits import Exit
from kuzu_client.cli.shell.backends import open_backend
from kuzu_client.cli.shell.history import edited_lines, piped_lines
from kuzu_client.cli.shell.loop import Shell
from kuzu_client.cli.terminal import Terminal

LIMIT = 1000


@command("shell")
@click.argument("graph")
@click.option("--limit", type=click.IntRange(min=1), default=LIMIT, show_default=True, help="Rows that are shown.")
def shell(terminal: Terminal, graph: str, limit: int) -> Exit:
    """Statements on GRAPH, one after the other.

    Each ends with a semicolon. Ctrl-C has the node stop the statement, :help tells the rest. Statements may also come
    from a pipe: the first error then ends it.
    """
    with terminal.client() as client:
        client.get_database(graph)
        with open_backend(terminal, client, graph, limit) as backend:
            people = sys.stdin.isatty()
            with (edited_lines if people else piped_lines)() as lines:
                return Shell(terminal, client, backend, graph, lines, people=people).run()
