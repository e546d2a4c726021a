"""Results of queries on their way out: as tables, bounded, or in one of the formats for programs, as they come."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
import msgspec

from kuzu_client._sync.results import ResultStream
from kuzu_client.cli.tables import ResultTable, Row
from kuzu_client.cli.terminal import Terminal
from kuzu_client.cli.values import duration


class ChunkLine(msgspec.Struct):
    """A line of the stream. Rows stay the bytes that the node has written."""

    data: list[msgspec.Raw]
    columns: list[str]
    row_count: int = 0
    total_rows_sent: int = 0
    execution_time_ms: float = 0
    database: str = ""


@attrs.frozen(kw_only=True)
class Shown:
    """As much of a result as is shown. `more`: there are further rows, whose number nobody has counted."""

    columns: list[str]
    rows: list[Row]
    more: bool
    milliseconds: float


def first_rows(stream: ResultStream, limit: int) -> Shown:
    """Leaves the stream to whoever opened it: what is not taken here ends with its block."""
    columns: list[str] = []
    rows: list[Row] = []
    milliseconds = 0.0
    for chunk in stream:
        columns = columns or chunk["columns"]
        rows += chunk["data"]
        milliseconds = chunk.get("execution_time_ms", 0.0)
        if len(rows) > limit:
            return Shown(columns=columns, rows=rows[:limit], more=True, milliseconds=milliseconds)
    return Shown(columns=columns, rows=rows, more=False, milliseconds=milliseconds)


def show(terminal: Terminal, shown: Shown, more: str) -> None:
    """`more` says how to get all of it."""
    if shown.columns:
        terminal.show(ResultTable(shown.columns, shown.rows))
    count = f"{len(shown.rows)} row{'' if len(shown.rows) == 1 else 's'}" if shown.columns else "done"
    if shown.more:
        terminal.note(f"the first {count}; {more}", style="yellow")
    elif terminal.err.is_terminal:
        terminal.note(f"{count}, {duration(shown.milliseconds / 1000)}")


def show_as_they_come(terminal: Terminal, stream: ResultStream) -> None:
    """A table for each chunk, the first with the names; nothing is kept."""
    columns: list[str] = []
    count = 0
    for chunk in stream:
        heading = not columns
        columns = columns or chunk["columns"]
        if chunk["data"] or heading:
            terminal.show(ResultTable(columns, chunk["data"], count + 1, heading=heading))
        count += len(chunk["data"])
    if terminal.err.is_terminal:
        terminal.note(f"{count} row{'' if count == 1 else 's'}")


def write_ndjson(terminal: Terminal, stream: ResultStream) -> None:
    """One row a line."""
    for chunk in _lines(stream):
        if chunk.data:
            terminal.write(b"\n".join([*map(bytes, chunk.data), b""]))


def write_json(terminal: Terminal, stream: ResultStream) -> None:
    """One document with the keys of the node's, each row on a line. One that breaks off is no JSON."""
    columns: list[str] = []
    last: ChunkLine | None = None
    separator = b"\n"
    for chunk in _lines(stream):
        if last is None:
            columns = chunk.columns
            terminal.write(b'{"columns":' + msgspec.json.encode(columns) + b',"data":[')
        if chunk.data:
            terminal.write(separator + b",\n".join(map(bytes, chunk.data)))
            separator = b",\n"
        last = chunk
    if last is not None:
        rest: dict[str, Any] = {
            "row_count": last.total_rows_sent,
            "execution_time_ms": last.execution_time_ms,
            "database": last.database,
        }
        terminal.write(b"\n]," + msgspec.json.encode(rest)[1:] + b"\n")


def _lines(stream: ResultStream) -> Iterator[ChunkLine]:
    decoder = msgspec.json.Decoder(ChunkLine)
    for line in stream.lines():
        yield decoder.decode(line)
