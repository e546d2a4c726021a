"""Several short reads in one request: most of what such a read costs is waking up for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import kuzu

from kuzu_node.core.frames import FrameKind
from kuzu_node.core.messages import Done, Ended, Executed, RunQuery, RunSeveral, encode
from kuzu_node.worker.channel import Channel
from kuzu_node.worker.delivery import SINGLE_FRAME, SINGLE_FRAME_ROWS
from kuzu_node.worker.encode import Envelope, columns
from kuzu_node.worker.encode import encode as encode_result
from kuzu_node.worker.outcomes import FAILURES, whole_result

# Answers wait so long for others to travel with.
GROUP_SECONDS = 0.001
GROUP_BYTES = 64 * 1024

Execute = Callable[[RunQuery], kuzu.QueryResult]


class Several:
    """Answers travel in groups, or all in the one RESULT. What is missing is for the node to run one by one."""

    def __init__(self, channel: Channel, request_id: int, *, unsound: bool) -> None:
        self._channel = channel
        self._request_id = request_id
        self._unsound = unsound
        self._done: list[Done] = []
        self._bodies: list[bytes] = []
        self._held = 0
        self._begun = False

    def run(self, order: RunSeveral, execute: Execute) -> tuple[Any, ...]:
        """The last frame, not yet sent. Raises what `execute` raises but failures of the engine."""
        started = sent = time.perf_counter()
        for query in order.queries:
            began = time.perf_counter()
            if (began - started) * 1000 > order.budget_ms or not self._answer(query, execute, began):
                break
            if time.perf_counter() - sent > GROUP_SECONDS or self._held > GROUP_BYTES:
                self._send()
                sent = time.perf_counter()
        took_ms = (time.perf_counter() - started) * 1000
        if not self._begun:
            return whole_result(Executed([], 0, took_ms), self._group())
        self._send()
        return FrameKind.END, encode(Ended(took_ms))

    def _answer(self, query: RunQuery, execute: Execute, began: float) -> bool:
        """False for what fails, and for what should be written as it is made."""
        try:
            result = execute(query)
        except FAILURES:
            return False
        try:
            execute_ms = (time.perf_counter() - began) * 1000
            rows = result.get_num_tuples()
            if rows > SINGLE_FRAME_ROWS:
                return False
            body = self._body(result, Envelope(query.database, execute_ms, query.chunk_size, self._unsound), query.form)
            if body is None:
                return False
            self._done.append(Done(columns(result), rows, execute_ms, len(body)))
        except FAILURES:
            return False
        finally:
            result.close()
        self._bodies.append(body)
        self._held += len(body)
        return True

    @staticmethod
    def _body(result: kuzu.QueryResult, envelope: Envelope, form: str) -> bytes | None:
        """None where it is long, be it by one row, which a frame may not hold."""
        parts: list[bytes] = []
        size = 0
        for piece in encode_result(result, form, envelope):
            parts.append(piece.body)
            size += len(piece.body)
            if size > SINGLE_FRAME:
                return None
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _send(self) -> None:
        if not self._begun:
            self._channel.send(FrameKind.EXECUTED, self._request_id, encode(Executed([], 0, 0.0)))
            self._begun = True
        self._channel.send(FrameKind.DATA, self._request_id, self._group())

    def _group(self) -> bytes:
        message = encode(self._done)
        group = b"".join((len(message).to_bytes(4, "little"), message, *self._bodies))
        self._done, self._bodies, self._held = [], [], 0
        return group
