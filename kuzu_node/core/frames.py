"""The wire between the node and a worker: length-prefixed frames with a typed header. Pure; the worker imports it.

A header is 16 bytes, little-endian: payload length (u32), request id (u32), rows (u32), kind (u8), flags (u8), and
two bytes of zero.
"""

from __future__ import annotations

import enum
import struct
from typing import NamedTuple

HEADER = struct.Struct("<IIIBBH")
HEADER_SIZE = HEADER.size
MAX_PAYLOAD = 64 * 1024 * 1024


class FrameError(Exception):
    """The other side broke the protocol; the connection is of no further use."""


class FrameKind(enum.IntEnum):
    """What a frame says. To a lane: RUN. From a lane: EXECUTED, then DATA and END, or RESULT alone, or ERROR.

    On the control lane: CALL from the node, ANSWER or ERROR back, and INTERRUPT without an answer.
    """

    RUN = 1
    EXECUTED = 2
    DATA = 3
    END = 4
    RESULT = 5
    ERROR = 6
    CALL = 7
    ANSWER = 8
    INTERRUPT = 9


# A DATA frame that ends at the end of a line: a stream may be cut here without a part of a line.
COMPLETE = 0x01


class Frame(NamedTuple):
    kind: FrameKind
    request_id: int
    payload: bytes
    rows: int = 0
    flags: int = 0


def pack_header(kind: FrameKind, request_id: int, length: int, *, rows: int = 0, flags: int = 0) -> bytes:
    """Header for a payload of `length` bytes, to be sent just before it. Raises FrameError when it is too long."""
    if length > MAX_PAYLOAD:
        raise FrameError(f"a frame of {length} bytes is longer than {MAX_PAYLOAD}")
    return HEADER.pack(length, request_id, rows, kind, flags, 0)


def pack(frame: Frame) -> bytes:
    """The frame as bytes."""
    head = pack_header(frame.kind, frame.request_id, len(frame.payload), rows=frame.rows, flags=frame.flags)
    return head + frame.payload


class Decoder:
    """Cuts a byte stream into frames, however the bytes arrive."""

    def __init__(self, longest: int = MAX_PAYLOAD) -> None:
        self._buffer = bytearray()
        self._longest = longest

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that `data` completes, in order. Raises FrameError on a header that cannot be one.

        It is judged before its payload is waited for: nobody allocates, or waits, for what garbage announces.
        """
        buffer = self._buffer
        buffer += data
        frames: list[Frame] = []
        position = 0
        while len(buffer) - position >= HEADER_SIZE:
            length, request_id, rows, kind, flags, zero = HEADER.unpack_from(buffer, position)
            if length > self._longest:
                raise FrameError(f"a frame announces {length} bytes, more than {self._longest}")
            if zero:
                raise FrameError(f"a frame's header ends in {zero} instead of zero")
            try:
                known = FrameKind(kind)
            except ValueError as error:
                raise FrameError(f"a frame of unknown kind {kind}") from error
            end = position + HEADER_SIZE + length
            if len(buffer) < end:
                break
            frames.append(Frame(known, request_id, bytes(buffer[position + HEADER_SIZE : end]), rows, flags))
            position = end
        if position:
            del buffer[:position]
        return frames

    @property
    def pending(self) -> int:
        """Bytes of a frame that has begun and not ended."""
        return len(self._buffer)
