"""A few megabytes of rows on their way into the engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pyarrow as pa


class BadRow(NamedTuple):
    """`column` is empty when the row as a whole cannot be read."""

    at: int
    column: str
    reason: str


class Part(NamedTuple):
    """`number` gives a row's place in the file, from 1; `malformed` are the places of rows already left out."""

    arrays: list[pa.Array]
    rows: int
    bad: list[BadRow]
    number: Callable[[int], int]
    malformed: list[int]
