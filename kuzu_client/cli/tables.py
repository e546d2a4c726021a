"""Tables of rich, made of answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from kuzu_client.cli.values import cell

Row = Mapping[str, Any]
# Columns that would get less than this are better read one below the other.
NARROWEST: Final = 8
PADDING: Final = 2
ABSENT: Final = "·"


def plain_table(*headings: str, right: Sequence[str] = ()) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, justify="right" if heading in right else "left", overflow="fold")
    return table


def pairs(entries: Iterable[tuple[str, RenderableType]]) -> Table:
    """Names and values below one another."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in entries:
        table.add_row(name, value)
    return table


def text_of(value: Any) -> Text:
    return Text("null", style="dim italic") if value is None else Text(cell(value))


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


class ResultTable:
    """Rows as a table where its columns fit, else each row as a list of names and values."""

    def __init__(self, columns: Sequence[str], rows: Sequence[Row], first: int = 1, *, heading: bool = True) -> None:
        self._columns = columns
        self._cells = [[text_of(row.get(name)) for name in columns] for row in rows]
        self._right = [all(is_number(row.get(n)) or row.get(n) is None for row in rows) for n in columns]
        self._first = first
        self._heading = heading

    def fits(self, width: int) -> bool:
        """Short columns need what they have, long ones can be folded down to NARROWEST."""
        return sum(min(wanted, NARROWEST) + PADDING for wanted in self.widths()) <= width

    def widths(self) -> list[int]:
        return [
            max([cell_len(cell(name)), *(cells[index].cell_len for cells in self._cells)])
            for index, name in enumerate(self._columns)
        ]

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(NARROWEST, options.max_width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if not self.fits(options.max_width):
            yield from self._records(options.max_width)
            return
        table = Table(
            box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold", show_header=self._heading
        )
        for name, right in zip(self._columns, self._right, strict=True):
            table.add_column(cell(name), justify="right" if right else "left", overflow="fold")
        for cells in self._cells:
            table.add_row(*cells)
        yield table

    def _records(self, width: int) -> Iterable[RenderableType]:
        for number, cells in enumerate(self._cells, self._first):
            title = f"── row {number} "
            yield Text(title + "─" * max(0, min(width, 60) - cell_len(title)), style="dim")
            yield pairs((cell(name), value) for name, value in zip(self._columns, cells, strict=True))
