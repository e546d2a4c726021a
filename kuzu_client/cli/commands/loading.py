"""Files into tables."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import click

from kuzu_client._core.sources import FORMATS, MEDIA_TYPES
from kuzu_client.answers import LoadResult
from kuzu_client.cli.commands.command import command
from kuzu_client.cli.progress import bytes_moved
from kuzu_client.cli.tables import plain_table
from kuzu_client.cli.terminal import Terminal
from kuzu_client.cli.values import cell, duration

EXAMPLES: Final = 3


@command("ingest", options_metavar="[OPTIONS]")
@click.argument("graph")
@click.argument("table_and_path", nargs=-1, required=True, metavar="[TABLE] PATH")
@click.option("--format", "-f", "form", type=click.Choice(tuple(MEDIA_TYPES)), help="[default: by the name]")
@click.option("--ignore-errors", is_flag=True, help="Skip rows that do not fit, and tell how many.")
@click.option("--match", type=click.Choice(["name", "position"]), default="name", show_default=True, help="Of columns.")
@click.option("--no-header", is_flag=True, help="The first line of the CSV file is a row.")
@click.option("--delimiter", default=",", show_default=True, help="Of the CSV file.")
def ingest(
    terminal: Terminal,
    graph: str,
    *,
    table_and_path: tuple[str, ...],
    form: str | None,
    ignore_errors: bool,
    match: str,
    no_header: bool,
    delimiter: str,
) -> None:
    """Append the rows of a file to a table.

    PATH is parquet, arrow, csv or ndjson, by its name. Without TABLE it is the one that is called as the file, in any
    case, singular or plural. All of the rows or none, unless --ignore-errors.
    """
    *named, path = table_and_path
    file = Path(path)
    if len(named) > 1:
        raise click.UsageError(f"unexpected argument {named[1]!r}")
    if not file.is_file():
        raise click.UsageError(f"{path}: no such file")
    if form is None and file.suffix.lower() not in FORMATS:
        raise click.UsageError(f"{path}: its name does not tell the format; say --format")
    with terminal.client() as client:
        table = named[0] if named else find_table(file.stem, (found["name"] for found in client.get_schema(graph)))
        with bytes_moved(terminal, f"uploading {file.name}", f"loading into {table}") as progress:
            loaded = client.upload_rows(
                graph,
                table,
                file,
                format=form,
                ignore_errors=ignore_errors,
                match=match,
                header=not no_header,
                delimiter=delimiter,
                progress=progress,
                timeout=terminal.settings.timeout,
            )
    if terminal.settings.as_json:
        terminal.document(loaded)
    else:
        show_load(terminal, table, loaded)


def find_table(stem: str, names: Iterable[str]) -> str:
    """Raises click.UsageError where no table, or more than one, is called so."""
    tables = list(names)
    if stem in tables:
        return stem
    found = [name for name in tables if _forms(name) & _forms(stem)]
    if len(found) == 1:
        return found[0]
    listed = ", ".join(tables) or "none"
    raise click.UsageError(f"no table is called as the file {stem!r}: name one. The tables: {listed}")


def _forms(name: str) -> set[str]:
    """In one case, and without the endings of plurals."""
    plain = name.lower()
    forms = {plain}
    if plain.endswith("ies"):
        forms.add(plain[:-3] + "y")
    for ending in ("es", "s"):
        if plain.endswith(ending):
            forms.add(plain.removesuffix(ending))
    return forms


def show_load(terminal: Terminal, table: str, loaded: LoadResult) -> None:
    inserted, skipped = loaded.get("rows_inserted", 0), loaded.get("rows_skipped", 0)
    seconds = loaded.get("execution_time_ms", 0) / 1000
    terminal.say(f"{inserted} row{'' if inserted == 1 else 's'} into {table}, {duration(seconds)}")
    if not skipped:
        return
    terminal.say(f"{skipped} skipped", style="yellow")
    reasons = plain_table("rows", "reason", "examples", right=("rows",))
    for entry in loaded.get("skipped", ()):
        examples = ", ".join(map(cell, entry.get("examples", ())[:EXAMPLES]))
        reasons.add_row(cell(entry.get("count")), cell(entry.get("reason")), examples)
    terminal.show(reasons)
