"""Arrow streams cut anywhere, and those that are not whole."""

from __future__ import annotations

import contextlib
import io
import itertools

import pyarrow as pa
import pyarrow.ipc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kuzu_client._core.arrow import BatchReader, MessageCutter
from kuzu_client.errors import KuzuServerError, KuzuTransientError

TABLE = pa.table(
    {
        "id": pa.array(range(40), pa.int64()),
        "name": ["person " * (n % 5) for n in range(40)],
        "kind": pa.array(["a", "b"] * 20).dictionary_encode(),
        "node": [{"_id": {"offset": n, "table": 0}, "_label": "P"} for n in range(40)],
    }
)


def stream(table: pa.Table = TABLE, rows: int = 16) -> bytes:
    sink = io.BytesIO()
    with pyarrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, rows)
    return sink.getvalue()


WHOLE = stream()


def read(reader: BatchReader, *pieces: bytes) -> list[pa.RecordBatch]:
    return [batch for piece in pieces for batch in reader.feed(piece)]


def read_all(content: bytes) -> None:
    reader = BatchReader()
    read(reader, content)
    reader.finish()


@pytest.mark.parametrize("size", [1, 7, 8, 64, 1000, len(WHOLE)])
def test_batches_are_the_same_however_the_stream_is_cut(size: int) -> None:
    reader = BatchReader()
    batches = read(reader, *(WHOLE[at : at + size] for at in range(0, len(WHOLE), size)))
    reader.finish()
    assert len(batches) == 3
    assert pa.Table.from_batches(batches, reader.schema).equals(TABLE)


@given(st.lists(st.integers(0, len(WHOLE)), max_size=20))
def test_messages_are_the_same_wherever_the_stream_is_cut(cuts: list[int]) -> None:
    at = [0, *sorted(cuts), len(WHOLE)]
    cutter = MessageCutter()
    messages = [bytes(m) for begin, end in itertools.pairwise(at) for m in cutter.feed(WHOLE[begin:end])]
    assert messages == [bytes(m) for m in MessageCutter().feed(WHOLE)]
    assert cutter.ended


def test_a_batch_comes_with_its_last_byte() -> None:
    messages = list(map(bytes, MessageCutter().feed(WHOLE)))
    reader = BatchReader()
    head, first = b"".join(messages[:2]), messages[2]
    assert read(reader, head, first[:-1]) == []
    assert reader.schema == TABLE.schema
    assert read(reader, first[-1:])[0].num_rows == 16


def test_a_result_without_rows_has_its_schema() -> None:
    reader = BatchReader()
    assert read(reader, stream(TABLE.slice(0, 0))) == []
    reader.finish()
    assert reader.schema == TABLE.schema


@pytest.mark.parametrize("end", [0, 4, 100, len(WHOLE) // 2, len(WHOLE) - 8, len(WHOLE) - 1])
def test_a_stream_that_ends_early_is_no_result(end: int) -> None:
    reader = BatchReader()
    read(reader, WHOLE[:end])
    with pytest.raises(KuzuTransientError):
        reader.finish()


def test_a_stream_that_ends_between_batches_is_no_result() -> None:
    messages = list(map(bytes, MessageCutter().feed(WHOLE)))
    reader = BatchReader()
    assert len(read(reader, b"".join(messages[:-1]))) == 2
    with pytest.raises(KuzuTransientError):
        reader.finish()


GARBAGE = [
    b'{"columns": []}    ',
    b"\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\xff\xff\xff\xff\x07\x00\x00\x00" + b"\0" * 64,
    b"\xff\xff\xff\xff\x40\x00\x00\x00" + b"\xff" * 64,
    b"\xff\xff\xff\xff\x40\x00\x00\x00" + b"\x00" * 64 + b"\xff\xff\xff\xff\0\0\0\0",
]


@pytest.mark.parametrize("garbage", GARBAGE)
def test_what_is_no_stream_is_an_error_of_the_server(garbage: bytes) -> None:
    with pytest.raises((KuzuServerError, KuzuTransientError)):
        read_all(garbage)


@given(st.binary(max_size=200), st.integers(0, len(WHOLE) - 1))
def test_garbage_anywhere_raises_no_other_error(garbage: bytes, at: int) -> None:
    with contextlib.suppress(KuzuServerError, KuzuTransientError):
        read_all(WHOLE[:at] + garbage + WHOLE[at + len(garbage) :])
