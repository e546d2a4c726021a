"""Rows of text with the places where each ends: what every body but Arrow's is cut from."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import kuzu
import pyarrow as pa

from kuzu_node.worker.encode import rows, text
from kuzu_node.worker.encode.repair import sound
from kuzu_node.worker.encode.routes import Route, route
from kuzu_node.worker.encode.values import python_values

# Rows by which a long result begins while Arrow has yet to fetch the rest; 1 ms.
HEAD = 500
# Up to here rows are no slower than a first call of Arrow.
ROWS_ONLY = 1_000
# Arrow holds all that is left at once: 16M values are about 200 MB. Longer results stay with rows where they can.
ARROW_VALUES = 16_000_000
# Up to here a loop over Arrow's values is faster than the calls that write its columns.
FEW = 128
BATCH = 16_384
# Bytes of Arrow data that are written at once; texts of one call must stay far below 2 GiB.
SLICE_BYTES = 2 << 20

Writer = Callable[[pa.RecordBatch], text.Parts]


@dataclass(frozen=True, slots=True)
class Block:
    """Row i is `data[ends[i]:ends[i + 1]]`, with its separator at the end."""

    data: bytes | memoryview
    ends: Sequence[int]

    @property
    def rows(self) -> int:
        return len(self.ends) - 1


def json_blocks(result: kuzu.QueryResult, separator: bytes, unsound: bool) -> Iterator[Block]:
    """All rows as JSON objects, each followed by `separator`, a single byte."""
    names = result.get_column_names()
    for fetched in fetched_rows(result, unsound):
        yield block_of([row + separator for row in rows.json_objects(names, fetched)])
    if not result.has_next():
        return
    if result.get_num_tuples() <= FEW:
        yield from _few_blocks(result, names, separator)
    else:
        yield from arrow_blocks(result, text.row_parts, separator)


def fetched_rows(result: kuzu.QueryResult, unsound: bool) -> Iterator[list[list[Any]]]:
    """The rows that do not go by Arrow: all, the first ones or none."""
    types = result.get_column_data_types()
    chosen = route(types, unsound)
    count: int = result.get_num_tuples()
    if chosen is Route.ARROW:
        return
    if chosen is Route.ROWS and count > ROWS_ONLY and count * len(types) <= ARROW_VALUES:
        count = HEAD
    repairs = rows.repairs_for(types, chosen)
    for done in range(0, count, HEAD):
        yield rows.fetch(result, min(HEAD, count - done), repairs)


def block_of(lines: list[bytes]) -> Block:
    return Block(b"".join(lines), list(itertools.accumulate(map(len, lines), initial=0)))


def batches(result: kuzu.QueryResult) -> Iterator[pa.RecordBatch]:
    """What is left of the result, in slices that are fit to be written at once; each is let go before the next."""
    left = result.get_as_arrow(BATCH).to_batches()
    left.reverse()
    while left:
        yield from slices(sound(left.pop()))


def arrow_blocks(result: kuzu.QueryResult, write: Writer, separator: bytes) -> Iterator[Block]:
    """What is left of the result, a row's text being what `write` makes of it and `separator`."""
    for batch in batches(result):
        joined = text.join([*write(batch), separator.decode()], batch.num_rows)
        _, offsets, data = joined.buffers()
        ends = memoryview(offsets).cast("i")[joined.offset : joined.offset + len(joined) + 1]
        yield Block(memoryview(data), ends)


def _few_blocks(result: kuzu.QueryResult, names: list[str], separator: bytes) -> Iterator[Block]:
    for batch in batches(result):
        columns = [python_values(column) for column in batch.columns]
        fetched = [list(row) for row in zip(*columns, strict=True)]
        yield block_of([row + separator for row in rows.json_objects(names, fetched)])


def slices(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    if batch.num_rows <= 1 or batch.nbytes <= SLICE_BYTES:
        if batch.num_rows:
            yield batch
        return
    half = batch.num_rows // 2
    yield from slices(batch.slice(0, half))
    yield from slices(batch.slice(half))
