"""Where the bytes of an upload come from: memory, a file, a table. Read in pieces, and anew at each attempt."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

import attrs

from kuzu_client._core.optional import required
from kuzu_client.errors import KuzuTransientError

PIECE: Final = 256 * 1024
BATCH_ROWS: Final = 64 * 1024
ARROW_FILE: Final = b"ARROW1"
MEDIA_TYPES: Final = {
    "parquet": "application/vnd.apache.parquet",
    "arrow": "application/vnd.apache.arrow.stream",
    "csv": "text/csv",
    "ndjson": "application/x-ndjson",
}
FORMATS: Final = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".arrows": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
    ".csv": "csv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
}

Rows = str | os.PathLike[str] | bytes | bytearray | memoryview | Any
Progress = Callable[[int, int | None], None]
"""Called with the bytes that were handed to the connection, and how many there will be, or None."""


def of_rows(data: Rows, form: str | None) -> tuple[str, Source]:
    """The media type and the bytes. `form` is one of MEDIA_TYPES; of a path it is that of its name, by default.

    Raises ValueError for other forms, and for bytes without one.
    """
    if isinstance(data, str | os.PathLike):
        path = Path(data)
        form = form or FORMATS.get(path.suffix.lower(), path.suffix)
        kind = _media_type(form)
        return kind, of_arrow_file(path) if form == "arrow" else of_path(path)
    if isinstance(data, bytes | bytearray | memoryview):
        return _media_type(form or ""), of_bytes(data)
    if form not in (None, "arrow"):
        raise ValueError(f"tables and frames are sent as arrow, not as {form}")
    return MEDIA_TYPES["arrow"], of_table(data)


def _media_type(form: str) -> str:
    kind = MEDIA_TYPES.get(form)
    if kind is None:
        raise ValueError(f"format {form!r} is none that the node takes: {', '.join(MEDIA_TYPES)}")
    return kind


@attrs.frozen
class Source:
    """`once`: what has been read cannot be read again, so the request cannot be repeated either."""

    pieces: Callable[[], Iterator[bytes]]
    length: int | None = None
    once: bool = False


def of_bytes(content: bytes | bytearray | memoryview) -> Source:
    whole = memoryview(content).cast("B")

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(whole), PIECE):
            yield bytes(whole[start : start + PIECE])

    return Source(pieces, len(whole))


def of_path(path: Path) -> Source:
    """Raises OSError now rather than in the midst of a request."""
    with path.open("rb") as opened:
        length = os.fstat(opened.fileno()).st_size

    def pieces() -> Iterator[bytes]:
        with path.open("rb") as file:
            while piece := file.read(PIECE):
                yield piece

    return Source(pieces, length)


def of_file(file: BinaryIO) -> Source:
    """From where it stands; it stays open. One that cannot go back is read once."""
    if not file.seekable():
        return Source(_only_once(lambda: iter(lambda: file.read(PIECE), b"")), once=True)
    start = file.tell()
    length = file.seek(0, os.SEEK_END) - start
    file.seek(start)

    def pieces() -> Iterator[bytes]:
        file.seek(start)
        while piece := file.read(PIECE):
            yield piece

    return Source(pieces, length)


def of_archive(data: bytes | bytearray | str | os.PathLike[str] | BinaryIO) -> Source:
    if isinstance(data, str | os.PathLike):
        return of_path(Path(data))
    return of_bytes(data) if isinstance(data, bytes | bytearray) else of_file(data)


def of_table(data: Any) -> Source:
    """A table, batches or frame of pyarrow, polars or pandas, or of others that speak Arrow's C stream interface.

    Raises TypeError for what is none of these, ImportError without pyarrow. Made into batches while it is sent.
    """
    required("pyarrow", "upload_rows")
    if not any(hasattr(data, name) for name in ("__arrow_c_stream__", "__arrow_c_array__", "collect")):
        raise TypeError(f"rows come from a path, bytes, a table or a frame, not from a {type(data).__name__}")
    if hasattr(data, "read_next_batch"):
        return Source(_only_once(lambda: _written(data.schema, data)), once=True)

    def pieces() -> Iterator[bytes]:
        table = _table(data)
        return _written(table.schema, table.to_batches(max_chunksize=BATCH_ROWS))

    return Source(pieces)


def _table(data: Any) -> Any:
    """A pyarrow.Table. Frames have ways of their own: their C streams bring an index, or strings of rarer layouts."""
    pa = required("pyarrow", "upload_rows")
    kind = type(data).__module__.partition(".")[0]
    if kind == "pandas":
        return pa.Table.from_pandas(data, preserve_index=False)
    if kind == "polars":
        return (data.collect() if hasattr(data, "collect") else data).to_arrow()
    if hasattr(data, "__arrow_c_stream__"):
        return pa.RecordBatchReader.from_stream(data).read_all()
    return pa.Table.from_batches([pa.record_batch(data)])


def _written(schema: Any, batches: Iterable[Any]) -> Iterator[bytes]:
    """As an Arrow stream, one batch at a time."""
    sink = _Sink()
    with required("pyarrow.ipc", "upload_rows").new_stream(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
            yield from sink.take()
    yield from sink.take()


def of_arrow_file(path: Path) -> Source:
    """Arrow's stream format is sent as it is; its file format, with another layout, batch by batch."""
    with path.open("rb") as file:
        if file.read(len(ARROW_FILE)) != ARROW_FILE:
            return of_path(path)
    ipc = required("pyarrow.ipc", "upload_rows")

    def pieces() -> Iterator[bytes]:
        with ipc.open_file(path) as found:
            yield from _written(found.schema, (found.get_batch(index) for index in range(found.num_record_batches)))

    return Source(pieces)


def watched(source: Source, progress: Progress | None) -> Source:
    """Tells `progress` of each piece when the next one is asked for: by then it has been taken."""
    if progress is None:
        return source

    def pieces() -> Iterator[bytes]:
        sent = 0
        for piece in source.pieces():
            yield piece
            sent += len(piece)
            progress(sent, source.length)

    return attrs.evolve(source, pieces=pieces)


def _only_once(pieces: Callable[[], Iterator[bytes]]) -> Callable[[], Iterator[bytes]]:
    begun = False

    def give() -> Iterator[bytes]:
        nonlocal begun
        if begun:
            raise KuzuTransientError("the data can be read once only, and the node wants it again", committed=False)
        begun = True
        yield from pieces()

    return give


class _Sink:
    """What pyarrow writes a stream to; `take` empties it."""

    closed = False

    def __init__(self) -> None:
        self._written: list[bytes] = []

    def write(self, content: Any) -> int:
        self._written.append(bytes(content))
        return len(self._written[-1])

    def take(self) -> Iterator[bytes]:
        written, self._written = self._written, []
        joined = b"".join(written)
        for start in range(0, len(joined), PIECE):
            yield joined[start : start + PIECE]

    def writable(self) -> bool:
        return True

    def flush(self) -> None:
        return None

    def close(self) -> None:
        return None
