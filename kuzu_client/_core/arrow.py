"""Cuts a stream of Arrow's IPC format into its messages as the bytes come, and makes batches of them.

The format: 4 bytes FFFFFFFF, 4 bytes length of the metadata, the metadata (a flatbuffer, padded to 8 bytes), the body,
whose length stands in the metadata. A length of 0 ends the stream.
https://arrow.apache.org/docs/format/Columnar.html#encapsulated-message-format
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from kuzu_client._core.optional import required
from kuzu_client.errors import KuzuServerError, KuzuTransientError

if TYPE_CHECKING:
    import pyarrow as pa

CONTINUATION = b"\xff\xff\xff\xff"
PREFIX = 8
# Slots of the flatbuffer table `Message` (format/Message.fbs), and two values of the first.
HEADER_TYPE, BODY_LENGTH = 1, 3
SCHEMA, RECORD_BATCH = 1, 3


class MessageCutter:
    """Bytes in, whole messages out. `ended` when the stream has said so."""

    def __init__(self) -> None:
        self.ended = False
        self._pieces: list[bytes | memoryview] = []
        self._held = 0
        self._wanted = PREFIX

    @property
    def whole(self) -> bool:
        """No message is begun."""
        return self.ended or not self._held

    def feed(self, piece: bytes) -> Iterator[memoryview]:
        """The messages that are complete with this piece. Raises KuzuServerError for bytes that are no messages."""
        self._pieces.append(piece)
        self._held += len(piece)
        if self._held < self._wanted:
            return
        # Joined when a length is reached, and not before: a long message would be copied with each of its pieces.
        rest = memoryview(b"".join(self._pieces) if len(self._pieces) > 1 else self._pieces[0])
        self._wanted = PREFIX
        while not self.ended and len(rest) >= self._wanted:
            end = metadata_end(rest)
            if end == PREFIX:
                self.ended = True
                break
            self._wanted = end if len(rest) < end else end + table_field(rest, BODY_LENGTH, "<q")
            if end <= self._wanted <= len(rest):
                yield rest[: self._wanted]
                rest = rest[self._wanted :]
                self._wanted = PREFIX
        self._pieces = [rest]
        self._held = len(rest)


def metadata_end(held: bytes | memoryview) -> int:
    """Where the body of the message begins; 8 for the end of the stream."""
    (length,) = struct.unpack_from("<i", held, 4)
    if held[:4] != CONTINUATION or length < 0 or length % 8:
        raise _not_arrow()
    return PREFIX + int(length)


def table_field(held: bytes | memoryview, slot: int, form: str) -> int:
    """A number of the flatbuffer behind the prefix; 0, its default, where it is left out."""
    metadata = held[PREFIX : metadata_end(held)]
    try:
        table = struct.unpack_from("<I", metadata, 0)[0]
        fields = table - struct.unpack_from("<i", metadata, table)[0]
        size, where = struct.unpack_from("<H", metadata, fields)[0], 4 + 2 * slot
        at = struct.unpack_from("<H", metadata, fields + where)[0] if size > where else 0
        (value,) = struct.unpack_from(form, metadata, table + at) if at else (0,)
    except struct.error:
        raise _not_arrow() from None
    if value < 0:
        raise _not_arrow()
    return int(value)


def _not_arrow() -> KuzuServerError:
    return KuzuServerError("the answer is no Arrow stream")


class BatchReader:
    """Pieces of the stream in, record batches out, by pyarrow and without waiting for more than a batch needs."""

    def __init__(self) -> None:
        self._pa = required("pyarrow", "query_arrow")
        self._ipc = required("pyarrow.ipc", "query_arrow")
        self._cutter = MessageCutter()
        self._source = _Messages()
        self._reader: Any = None

    @property
    def schema(self) -> pa.Schema | None:
        """None until it is there: it comes before the first batch, also where there is none."""
        return None if self._reader is None else self._reader.schema

    def feed(self, piece: bytes) -> list[pa.RecordBatch]:
        """The batches that are complete with this piece. Raises KuzuServerError for what is no Arrow stream."""
        batches = []
        try:
            for message in self._cutter.feed(piece):
                self._source.add(message)
                kind = table_field(message, HEADER_TYPE, "<B")
                if kind == SCHEMA and self._reader is None:
                    self._reader = self._ipc.open_stream(self._source)
                elif kind == RECORD_BATCH and self._reader is not None:
                    batches.append(self._reader.read_next_batch())
        except (self._pa.ArrowException, OSError, StopIteration) as error:
            raise KuzuServerError(f"the answer is no Arrow stream: {error}") from error
        return batches

    def finish(self) -> None:
        """The stream has ended. Raises KuzuTransientError when it was not whole."""
        if self._reader is None or not self._cutter.ended:
            raise KuzuTransientError("the Arrow stream ended before its end; what came is not all of the result")


class _Messages:
    """A file for pyarrow, which reads each message in the steps in which it is built."""

    closed = False

    def __init__(self) -> None:
        self._messages: deque[memoryview] = deque()

    def add(self, message: memoryview) -> None:
        self._messages.append(message)

    def read(self, size: int = -1) -> bytes | memoryview:
        if not self._messages:
            return b""
        message = self._messages.popleft()
        if 0 <= size < len(message):
            self._messages.appendleft(message[size:])
            return message[:size]
        return message

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._messages.clear()
