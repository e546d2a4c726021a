"""How a lane hands over a result: in one frame with the news that it has run, or piece by piece behind that."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import kuzu

from kuzu_node.core import frames
from kuzu_node.core.frames import FrameKind
from kuzu_node.core.messages import Ended, Executed, encode
from kuzu_node.worker.channel import Channel
from kuzu_node.worker.encode import Envelope, Piece
from kuzu_node.worker.encode import encode as encode_result
from kuzu_node.worker.outcomes import whole_result

# A body up to this size travels in one frame with the news that the statement has run.
SINGLE_FRAME = 192 * 1024
SINGLE_FRAME_ROWS = 2000
# One row may be as long as memory allows, a frame may not: longer pieces are cut.
LONGEST_DATA = 1024 * 1024


class Delivery:
    """`stop_if_cancelled` is asked between frames, and ends the delivery by what it raises."""

    def __init__(self, channel: Channel, stop_if_cancelled: Callable[[], None]) -> None:
        self._channel = channel
        self._stop_if_cancelled = stop_if_cancelled

    def send_rows(
        self, request_id: int, result: kuzu.QueryResult, form: str, envelope: Envelope, executed: Executed
    ) -> tuple[Any, ...]:
        """The last frame, not yet sent. Closes the result."""
        started = time.perf_counter()
        try:
            pieces = encode_result(result, form, envelope)
            head: list[Piece] = []
            if executed.row_count <= SINGLE_FRAME_ROWS:
                size = 0
                for piece in pieces:
                    head.append(piece)
                    size += len(piece.body)
                    if size > SINGLE_FRAME:
                        break
                else:
                    executed.encode_ms = (time.perf_counter() - started) * 1000
                    return whole_result(executed, b"".join([piece.body for piece in head]))
            self._channel.send(FrameKind.EXECUTED, request_id, encode(executed))
            for piece in head:
                self._send_piece(request_id, piece)
            for piece in pieces:
                self._send_piece(request_id, piece)
            return FrameKind.END, encode(Ended((time.perf_counter() - started) * 1000))
        finally:
            result.close()

    def send_body(self, request_id: int, body: bytes, executed: Executed) -> tuple[Any, ...]:
        """The last frame, not yet sent."""
        if len(body) <= SINGLE_FRAME:
            return whole_result(executed, body)
        self._channel.send(FrameKind.EXECUTED, request_id, encode(executed))
        for start in range(0, len(body), SINGLE_FRAME):
            self._send_piece(request_id, Piece(body[start : start + SINGLE_FRAME], 0, False))
        return FrameKind.END, encode(Ended(executed.encode_ms))

    def _send_piece(self, request_id: int, piece: Piece) -> None:
        body: bytes | memoryview = piece.body
        while len(body) > LONGEST_DATA:
            self._stop_if_cancelled()
            body = memoryview(body)
            self._channel.send(FrameKind.DATA, request_id, body[:LONGEST_DATA])
            body = body[LONGEST_DATA:]
        self._stop_if_cancelled()
        flags = frames.COMPLETE if piece.complete else 0
        self._channel.send(FrameKind.DATA, request_id, body, rows=piece.rows, flags=flags)
