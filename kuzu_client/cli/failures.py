"""Errors as lines for people: the code, what the node said, and where in the text it means."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from rich.cells import cell_len
from rich.text import Text

from kuzu_client.cli.values import printable
from kuzu_client.errors import KuzuAPIError

PROGRAM: Final = "kuzu-client"
_ENGINES_PLACE: Final = re.compile(r"\s*\(line: \d+, offset: \d+\)")
# Of a line with a mark under it, so much is shown around the mark.
_BEFORE, _AFTER = 60, 40


def told(error: KuzuAPIError, text: str = "", *, writes: bool = False) -> Iterator[Text]:
    """`text` is the statement, where there is one; `writes` tells of an outcome that nobody knows."""
    line, column = _place(error)
    said = str(error) or type(error).__name__
    if line is not None and column is not None:
        # The engine's own account of the place counts from 0, and repeats the text behind it.
        said = f"{_ENGINES_PLACE.split(said)[0]} (line {line}, column {column})"
    yield _head(error.code, " ".join(said.split()))
    if line is not None and column is not None:
        yield from _mark(text, line, column)
    errors = error.response_data.get("errors")
    for fault in errors if isinstance(errors, list) else ():
        if isinstance(fault, dict):
            yield Text(printable(f"  {fault.get('path', '')}: {fault.get('message', '')}"))
    if error.committed:
        yield Text("  what it wrote is committed", style="yellow")
    elif writes and error.committed is None:
        yield Text("  whether it took effect is not known", style="yellow")
    if error.retry_after is not None:
        yield Text(f"  try again in {error.retry_after:g} s", style="dim")


def simple(message: str) -> Text:
    return _head("", message)


def _head(code: str, message: str) -> Text:
    head = Text(f"{PROGRAM}: ", style="dim")
    if code:
        head.append(f"{code}: ", style="bold red not dim")
    return head.append(printable(message), style="not dim")


def _place(error: KuzuAPIError) -> tuple[int | None, int | None]:
    found = (error.response_data.get("line"), error.response_data.get("column"))
    line, column = (value if isinstance(value, int) and value > 0 else None for value in found)
    return line, column


def _mark(text: str, line: int, column: int) -> Iterator[Text]:
    """The line, and a caret under the place; cut around it where the line is long."""
    lines = text.split("\n")
    if line > len(lines):
        return
    whole = lines[line - 1].rstrip("\r")
    start = max(0, column - 1 - _BEFORE)
    shown = whole[start : column - 1 + _AFTER]
    before = ("…" if start else "") + printable(whole[start : column - 1])
    yield Text("  " + ("…" if start else "") + printable(shown), style="cyan")
    yield Text("  " + " " * cell_len(before) + "^", style="bold red")
