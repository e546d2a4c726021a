"""Where uploads come from: the bytes, their number, and whether they can be had again."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd
import pyarrow as pa
import pyarrow.ipc
import pytest

from kuzu_client._core import multipart, sources
from kuzu_client._core.files import PartFile
from kuzu_client._core.optional import required
from kuzu_client._core.sources import Source
from kuzu_client.errors import KuzuTransientError

TABLE = pa.table({"id": list(range(150_000)), "name": ["x"] * 150_000})
CONTENT = os.urandom(2 * sources.PIECE + 5)


def whole(source: Source) -> bytes:
    return b"".join(source.pieces())


def table(source: Source) -> pa.Table:
    with pyarrow.ipc.open_stream(whole(source)) as reader:
        return reader.read_all()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "rows.bin").write_bytes(CONTENT)
    return tmp_path / "rows.bin"


@pytest.mark.parametrize("kind", ["bytes", "path", "file"])
def test_bytes_are_given_whole_in_pieces_and_again(path: Path, kind: str) -> None:
    with path.open("rb") as file:
        given = {"bytes": sources.of_bytes(CONTENT), "path": sources.of_path(path), "file": sources.of_file(file)}
        source = given[kind]
        assert (source.length, source.once) == (len(CONTENT), False)
        assert [len(piece) for piece in source.pieces()] == [sources.PIECE, sources.PIECE, 5]
        assert whole(source) == whole(source) == CONTENT


def test_a_file_is_sent_from_where_it_stands(path: Path) -> None:
    with path.open("rb") as file:
        file.seek(100)
        source = sources.of_file(file)
        assert source.length == len(CONTENT) - 100
        assert whole(source) == whole(source) == CONTENT[100:]


class Pipe(io.RawIOBase):
    """Cannot go back."""

    def __init__(self, content: bytes) -> None:
        self._inner = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._inner.read(size)


def test_what_can_be_read_once_says_so_when_it_is_wanted_again() -> None:
    pipe: BinaryIO = Pipe(CONTENT)  # type: ignore[assignment]
    for source, content in (
        (sources.of_file(pipe), CONTENT),
        (sources.of_table(TABLE.to_reader(10_000)), whole(sources.of_table(TABLE.to_reader(10_000)))),
    ):
        assert source.once
        assert whole(source) == content
        with pytest.raises(KuzuTransientError, match="once") as caught:
            whole(source)
        assert caught.value.committed is False


def test_a_path_that_is_not_there_fails_before_anything_is_sent(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        sources.of_path(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.parquet", "application/vnd.apache.parquet"),
        ("a.PQ", "application/vnd.apache.parquet"),
        ("a.csv", "text/csv"),
        ("a.ndjson", "application/x-ndjson"),
        ("a.jsonl", "application/x-ndjson"),
        ("a.arrows", "application/vnd.apache.arrow.stream"),
    ],
)
def test_the_format_of_a_path_is_that_of_its_name(tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / name).write_bytes(b"content")
    assert sources.of_rows(tmp_path / name, None)[0] == kind
    assert sources.of_rows(str(tmp_path / name), "csv")[0] == "text/csv"


@pytest.mark.parametrize("name", ["a.csv.gz", "a.xlsx", "a"])
def test_what_the_node_does_not_take_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"content")
    with pytest.raises(ValueError, match="parquet, arrow, csv, ndjson"):
        sources.of_rows(tmp_path / name, None)


def test_bytes_need_a_format_and_tables_have_one() -> None:
    with pytest.raises(ValueError, match="format"):
        sources.of_rows(b"id\n1\n", None)
    with pytest.raises(ValueError, match="format"):
        sources.of_rows(b"id\n1\n", "xml")
    with pytest.raises(ValueError, match="arrow"):
        sources.of_rows(TABLE, "csv")
    with pytest.raises(TypeError, match="not from a int"):
        sources.of_rows(5, None)


def test_tables_are_sent_in_batches_that_fit_memory() -> None:
    kind, source = sources.of_rows(TABLE, None)
    assert kind == "application/vnd.apache.arrow.stream"
    assert table(source).equals(TABLE)
    with pyarrow.ipc.open_stream(whole(source)) as reader:
        assert max(batch.num_rows for batch in reader) <= sources.BATCH_ROWS
    assert whole(source) == whole(source)


@pytest.mark.parametrize(
    "data",
    [
        TABLE.slice(0, 3),
        TABLE.slice(0, 3).to_batches()[0],
        TABLE.slice(0, 3).to_reader(),
        TABLE.slice(0, 3).to_pandas(),
        TABLE.slice(0, 3).to_pandas().set_index(pd.Index([7, 8, 9])),
    ],
)
def test_tables_batches_readers_and_frames_send_their_columns(data: Any) -> None:
    found = table(sources.of_rows(data, None)[1])
    assert found.column_names == ["id", "name"]
    assert found.to_pylist() == TABLE.slice(0, 3).to_pylist()


@pytest.mark.parametrize("lazy", [False, True])
def test_frames_of_polars_send_their_columns(lazy: bool) -> None:
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(TABLE.slice(0, 3))
    found = table(sources.of_rows(frame.lazy() if lazy else frame, None)[1])
    assert found.to_pylist() == TABLE.slice(0, 3).to_pylist()


def test_an_arrow_file_is_sent_as_a_stream(tmp_path: Path) -> None:
    for name, new in (("file.arrow", pyarrow.ipc.new_file), ("stream.arrow", pyarrow.ipc.new_stream)):
        with new(tmp_path / name, TABLE.schema) as writer:
            writer.write_table(TABLE, 40_000)
        _, source = sources.of_rows(tmp_path / name, None)
        assert table(source).equals(TABLE)


def test_progress_is_told_when_a_piece_was_taken() -> None:
    told: list[tuple[int, int | None]] = []
    source = sources.watched(sources.of_bytes(CONTENT), lambda sent, total: told.append((sent, total)))
    pieces = source.pieces()
    next(pieces)
    assert told == []
    next(pieces)
    assert told == [(sources.PIECE, len(CONTENT))]
    for _ in range(2):
        told.clear()
        assert whole(source) == CONTENT
        assert told[-1] == (len(CONTENT), len(CONTENT))


def test_a_form_has_its_fields_before_its_file_and_knows_its_length() -> None:
    body = multipart.form({"force_overwrite": "true"}, "backup_data", "backup.zip", sources.of_bytes(CONTENT))
    assert body.pieces is not None
    content = b"".join(body.pieces())
    assert len(content) == body.length
    boundary = body.media_type.partition("boundary=")[2].encode()
    _, field, file, end = content.split(b"--" + boundary)
    assert (b'name="force_overwrite"' in field, field.endswith(b"\r\n\r\ntrue\r\n"), end) == (True, True, b"--\r\n")
    head, _, rest = file.partition(b"\r\n\r\n")
    assert b'name="backup_data"; filename="backup.zip"' in head
    assert rest == CONTENT + b"\r\n"


def test_a_form_around_a_file_of_unknown_length_has_none() -> None:
    def pieces() -> Iterator[bytes]:
        yield b"x"

    assert multipart.form({}, "f", "f", Source(pieces)).length is None


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "archive.zip"
    target.write_bytes(b"old")
    file = PartFile.create(target)
    file.hold(b"new")
    file.write()
    assert target.read_bytes() == b"old"
    file.discard()
    assert list(tmp_path.iterdir()) == [target]
    file = PartFile.create(target)
    assert not file.hold(b"new")
    assert file.hold(b"x" * (1 << 20))
    file.keep()
    assert target.read_bytes() == b"new" + b"x" * (1 << 20)
    assert list(tmp_path.iterdir()) == [target]
    with pytest.raises(IsADirectoryError):
        PartFile.create(tmp_path)


def test_a_package_that_is_missing_is_named() -> None:
    with pytest.raises(ImportError, match="query_df needs the package no_such_frames: pip install no_such_frames"):
        required("no_such_frames.sub", "query_df")
