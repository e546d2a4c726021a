"""Blocking frames over a socket, for the worker's threads."""

from __future__ import annotations

import array
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from kuzu_node.core.frames import HEADER_SIZE, Decoder, Frame, FrameKind, pack_header

_CHUNK = 64 * 1024


class Channel:
    """One end of a socketpair. Every method raises EOFError when the node is gone, however the socket says so."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._decoder = Decoder()
        self._frames: list[Frame] = []
        self._descriptors: list[int] = []

    def fileno(self) -> int:
        return self._socket.fileno()

    def receive(self) -> Frame:
        """The next frame."""
        while not self._frames:
            with _gone():
                data = self._socket.recv(_CHUNK)
            if not data:
                raise EOFError
            self._frames = self._decoder.feed(data)
        return self._frames.pop(0)

    def receive_with_descriptors(self) -> Frame:
        """The next frame; descriptors that come along wait for `take_descriptor`.

        They may come early: what the kernel hands over at once may begin with frames that were sent without any.
        """
        while not self._frames:
            with _gone():
                data, ancillary, _, _ = self._socket.recvmsg(_CHUNK, socket.CMSG_SPACE(16 * array.array("i").itemsize))
            for level, kind, content in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    numbers = array.array("i")
                    numbers.frombytes(content[: len(content) - len(content) % numbers.itemsize])
                    self._descriptors.extend(numbers)
            if not data:
                raise EOFError
            self._frames = self._decoder.feed(data)
        return self._frames.pop(0)

    def take_descriptor(self) -> int:
        """The first that nobody has taken yet."""
        return self._descriptors.pop(0)

    def has_frame(self) -> bool:
        """Whether `receive` would return without asking the socket."""
        return bool(self._frames)

    def send(self, kind: FrameKind, request_id: int, *parts: bytes | memoryview, rows: int = 0, flags: int = 0) -> None:
        """One frame whose payload is `parts`, without joining them; blocks while the node does not read."""
        length = sum(map(len, parts))
        buffers: list[bytes | memoryview] = [pack_header(kind, request_id, length, rows=rows, flags=flags), *parts]
        total = HEADER_SIZE + length
        with _gone():
            sent = self._socket.sendmsg(buffers)
            while sent < total:
                buffers = _after(buffers, sent)
                total -= sent
                sent = self._socket.sendmsg(buffers)


def _after(buffers: list[bytes | memoryview], sent: int) -> list[bytes | memoryview]:
    """What of the buffers is left when `sent` bytes have gone."""
    rest: list[bytes | memoryview] = []
    for buffer in buffers:
        if sent >= len(buffer):
            sent -= len(buffer)
            continue
        rest.append(memoryview(buffer)[sent:] if sent else buffer)
        sent = 0
    return rest


@contextmanager
def _gone() -> Iterator[None]:
    """A failing socket is a node that is gone, and no OSError among those that a file may raise."""
    try:
        yield
    except OSError as error:
        raise EOFError from error
