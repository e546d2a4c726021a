"""The bodies of the HTTP contract around rows of text: JSON, NDJSON in chunks, and plain lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import kuzu
import msgspec

from kuzu_node.worker.encode.blocks import HEAD, Block
from kuzu_node.worker.encode.strings import without_separators

PIECE = 128 * 1024


@dataclass(frozen=True, slots=True)
class Envelope:
    """What stands around the rows. `unsound`: some table has a property for which `is_unsound`."""

    database: str
    execution_time_ms: float
    chunk_size: int
    unsound: bool = False


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of a body. `rows` end in it; `complete`: it ends where a line does, so that the body may break off."""

    body: bytes
    rows: int
    complete: bool


class _Pending:
    """Collects small parts until they are worth a piece; the first piece of a long result goes with its first rows."""

    def __init__(self, count: int) -> None:
        self._parts: list[bytes | memoryview] = []
        self._size = 0
        self._rows = 0
        self._limit = PIECE if count <= HEAD else 1

    def add(self, part: bytes | memoryview, rows: int = 0) -> None:
        self._parts.append(part)
        self._size += len(part)
        self._rows += rows

    def full(self) -> bool:
        return self._size >= self._limit and self._rows > 0

    def empty(self) -> bool:
        return not self._size

    def room(self) -> int:
        """Bytes that may be added before a piece is due."""
        return max(PIECE - self._size, 0)

    def piece(self, complete: bool) -> Piece:
        piece = Piece(b"".join(self._parts), self._rows, complete)
        self._parts, self._size, self._rows, self._limit = [], 0, 0, PIECE
        return piece


def json_body(blocks: Iterator[Block], result: kuzu.QueryResult, envelope: Envelope) -> Iterator[Piece]:
    """One object. The rows' separator is a comma."""
    count: int = result.get_num_tuples()
    pending = _Pending(count)
    pending.add(b'{"columns":' + _json(result.get_column_names()) + b',"data":[')
    yield from _data(pending, blocks, count)
    tail = b'],"row_count":%d,"execution_time_ms":%s,"database":%s}'
    pending.add(tail % (count, _json(envelope.execution_time_ms), _json(envelope.database)))
    yield pending.piece(complete=True)


def json_values(blocks: Iterator[Block], result: kuzu.QueryResult) -> bytes:
    count: int = result.get_num_tuples()
    pending = _Pending(count)
    pending.add(b'"columns":' + _json(result.get_column_names()) + b',"data":[')
    body = b"".join([piece.body for piece in _data(pending, blocks, count)])
    return body + pending.piece(complete=True).body + b'],"row_count":%d' % count


def ndjson_body(blocks: Iterator[Block], result: kuzu.QueryResult, envelope: Envelope) -> Iterator[Piece]:
    """Lines of `chunk_size` rows. The rows' separator is a comma."""
    count: int = result.get_num_tuples()
    columns = _json(result.get_column_names())
    last = b',"execution_time_ms":%s,"database":%s' % (_json(envelope.execution_time_ms), _json(envelope.database))
    pending = _Pending(count)
    pending.add(b'{"chunk_index":0,"columns":%s,"data":[' % columns)
    sent, in_chunk, index = 0, 0, 0
    for block in blocks:
        at = 0
        while at < block.rows:
            taken = _take(block, at, min(block.rows, at + envelope.chunk_size - in_chunk), pending.room())
            at, sent, in_chunk = at + taken, sent + taken, in_chunk + taken
            # The comma goes before the rows that follow, so that a line may be closed behind any piece.
            pending.add(b"," if in_chunk > taken else b"")
            pending.add(block.data[block.ends[at - taken] : block.ends[at] - 1], taken)
            if sent < count and in_chunk < envelope.chunk_size:
                if pending.full():
                    yield pending.piece(complete=False)
                continue
            if sent == count:
                break
            pending.add(b'],"is_last_chunk":false,"row_count":%d,"total_rows_sent":%d}\n' % (in_chunk, sent))
            index, in_chunk = index + 1, 0
            if pending.full():
                yield pending.piece(complete=True)
            pending.add(b'{"chunk_index":%d,"columns":[],"data":[' % index)
    pending.add(b'],"is_last_chunk":true,"row_count":%d,"total_rows_sent":%d%s}\n' % (in_chunk, sent, last))
    yield pending.piece(complete=True)


def line_body(head: bytes, blocks: Iterator[Block], count: int) -> Iterator[Piece]:
    """The rows as they are, behind `head`."""
    pending = _Pending(count)
    pending.add(head)
    for block in blocks:
        at = 0
        while at < block.rows:
            taken = _take(block, at, block.rows, pending.room())
            pending.add(block.data[block.ends[at] : block.ends[at + taken]], taken)
            at += taken
            if pending.full():
                yield pending.piece(complete=True)
    if not pending.empty():
        yield pending.piece(complete=True)


def session_body(blocks: Iterator[Block], count: int, chunk_size: int) -> Iterator[Piece]:
    """The rows with commas between them, one message's in each piece: every one but the first begins with its comma.

    So all of them together are the inside of one array, and each by itself is after its first byte.
    """
    pending = _Pending(count)
    sent = in_message = 0
    for block in blocks:
        at = 0
        while at < block.rows:
            taken = _take(block, at, min(block.rows, at + chunk_size - in_message), pending.room())
            pending.add(b"," if sent else b"")
            pending.add(block.data[block.ends[at] : block.ends[at + taken] - 1], taken)
            at, sent, in_message = at + taken, sent + taken, in_message + taken
            if pending.full() or in_message == chunk_size:
                yield pending.piece(complete=True)
                in_message = 0
    if not pending.empty():
        yield pending.piece(complete=True)


def _data(pending: _Pending, blocks: Iterator[Block], count: int) -> Iterator[Piece]:
    """Adds all rows, the last without its separator."""
    sent = 0
    for block in blocks:
        at = 0
        while at < block.rows:
            taken = _take(block, at, block.rows, pending.room())
            data = block.data[block.ends[at] : block.ends[at + taken]]
            at, sent = at + taken, sent + taken
            pending.add(data[:-1] if sent == count else data, taken)
            if pending.full():
                yield pending.piece(complete=False)


def _take(block: Block, start: int, stop: int, room: int) -> int:
    """How many rows from `start` on, before `stop`, fit into `room` bytes; at least one."""
    if block.ends[stop] - block.ends[start] <= room:
        return stop - start
    low, high = start + 1, stop
    while low < high:
        middle = (low + high + 1) // 2
        if block.ends[middle] - block.ends[start] <= room:
            low = middle
        else:
            high = middle - 1
    return low - start


def _json(value: object) -> bytes:
    return without_separators(msgspec.json.encode(value))
