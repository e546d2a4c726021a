"""One statement."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Final

import click

from kuzu_client._sync.results import ResultStream
from kuzu_client._sync.streams import Stream
from kuzu_client.cli import results
from kuzu_client.cli.commands.command import command
from kuzu_client.cli.exits import Exit
from kuzu_client.cli.terminal import Terminal
from kuzu_client.cli.values import parameter
from kuzu_client.errors import KuzuAPIError

FORMATS: Final = ("table", "json", "ndjson", "csv", "arrow")
LIMIT: Final = 1000
STANDARD_INPUT: Final = "-"


def _parameters(_ctx: click.Context, _option: click.Parameter, given: tuple[str, ...]) -> dict[str, Any]:
    try:
        return dict(parameter(text) for text in given)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@command("query")
@click.argument("graph")
@click.argument("cypher")
@click.option(
    *("--param", "-p", "parameters"),
    metavar="NAME=VALUE",
    multiple=True,
    callback=_parameters,
    help="The value is JSON, else a text; repeatable.",
)
@click.option("--format", "-f", "form", type=click.Choice(FORMATS), help="[default: table]")
@click.option("--stream", is_flag=True, help="Rows as they come, all of them; a table chunk by chunk.")
@click.option("--limit", type=click.IntRange(min=1), default=LIMIT, show_default=True, help="Rows of a table.")
@click.option("--read-only", is_flag=True, help="Refuse a text that writes; try again when it is safe.")
def query(
    terminal: Terminal,
    graph: str,
    cypher: str,
    *,
    parameters: dict[str, Any],
    form: str | None,
    stream: bool,
    limit: int,
    read_only: bool,
) -> Exit | None:
    """Run a statement on GRAPH.

    CYPHER - reads the text from the standard input. Ctrl-C has the node stop the statement.
    """
    form = form or ("json" if terminal.settings.as_json else "table")
    if form == "arrow" and sys.stdout.isatty():
        raise click.UsageError("Arrow is binary: send it to a file or a pipe")
    text = sys.stdin.buffer.read().decode() if cypher == STANDARD_INPUT else cypher
    asked: dict[str, Any] = {"timeout": terminal.settings.timeout, "read_only": read_only}
    try:
        with terminal.client() as client:
            if form in ("csv", "arrow"):
                _copy(terminal, client.open_result(graph, text, parameters, form, **asked))
                return None
            with client.stream(text, graph, parameters, **asked) as rows:
                _writer(form, stream, limit)(terminal, rows)
    except KuzuAPIError as error:
        return terminal.fail(error, text, writes=not read_only)
    return None


def _copy(terminal: Terminal, opening: AbstractContextManager[Stream]) -> None:
    with opening as body:
        for piece in body.pieces():
            terminal.write(piece)


def _writer(form: str, stream: bool, limit: int) -> Callable[[Terminal, ResultStream], None]:
    if form == "ndjson":
        return results.write_ndjson
    if form == "json":
        return results.write_json
    return results.show_as_they_come if stream else partial(_show_first, limit=limit)


def _show_first(terminal: Terminal, rows: ResultStream, *, limit: int) -> None:
    results.show(terminal, results.first_rows(rows, limit), "--limit N for more, --stream or --format for all")
