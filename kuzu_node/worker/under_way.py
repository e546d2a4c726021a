"""Which request of a lane is under way, and whether the node still wants it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from kuzu_node.worker.connection import LaneConnection
from kuzu_node.worker.outcomes import Cancelled


class UnderWay:
    """`begin`, `end` and what is between them are the lane's; `interrupt` is called by the control thread."""

    def __init__(self) -> None:
        # Also held while the lane's Connection is changed: no interrupt meets one that is being closed.
        self.lock = threading.Lock()
        self._request_id = 0
        self._cancelled = False

    def begin(self, request_id: int) -> None:
        with self.lock:
            self._request_id, self._cancelled = request_id, False

    def end(self) -> None:
        """From here on an interrupt that names the request finds nothing."""
        with self.lock:
            self._request_id = 0

    def interrupt(self, request_id: int, own: LaneConnection) -> bool:
        """Whether the request is still under way; if so it is interrupted (again)."""
        with self.lock:
            if self._request_id != request_id:
                return False
            self._cancelled = True
            own.connection.interrupt()
            return True

    def stop_if_cancelled(self) -> None:
        if self._cancelled:
            raise Cancelled("Interrupted.")

    @contextmanager
    def uninterrupted(self) -> Iterator[None]:
        """Interrupts that name the request find it again behind the block."""
        with self.lock:
            request_id, self._request_id = self._request_id, 0
        try:
            yield
        finally:
            with self.lock:
                self._request_id = request_id
