"""Time, threads and deadlines for the sync client. Written by hand, as the async client's own module of this name."""

from __future__ import annotations

import contextlib
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import httpcore

T = TypeVar("T")
# A write is looked at this often: it would else go on for as long as the peer takes a byte now and then.
WRITE_BYTES = 64 << 10
# Of the attempt that this thread is in.
_DEADLINE: ContextVar[float | None] = ContextVar("deadline", default=None)

now = time.monotonic
sleep = time.sleep
Lock = threading.Lock


def guard() -> AbstractContextManager[object]:
    """For what several threads touch."""
    return threading.Lock()


@contextmanager
def fail_after(seconds: float) -> Iterator[None]:
    """Bounds what the network backend does inside, all of it together. Raises TimeoutError there, not at the end."""
    before = _DEADLINE.set(now() + seconds)
    try:
        yield
    finally:
        _DEADLINE.reset(before)


def network_backend() -> httpcore.NetworkBackend:
    return DeadlineBackend()


class Slots:
    """So many at a time; the others wait."""

    def __init__(self, size: int) -> None:
        self._semaphore = threading.Semaphore(size)

    def acquire(self, seconds: float) -> None:
        """Raises httpcore.PoolTimeout."""
        if not self._semaphore.acquire(timeout=seconds):
            raise httpcore.PoolTimeout

    def release(self) -> None:
        self._semaphore.release()


class DeadlineBackend(httpcore.NetworkBackend):
    """httpx's timeouts bound each step alone: an answer of one byte a second would go on for ever."""

    def __init__(self) -> None:
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        return DeadlineStream(
            self._inner.connect_tcp(host, port, _left(timeout), local_address, socket_options or ())
        )


class DeadlineStream(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), WRITE_BYTES):
            self._inner.write(buffer[start : start + WRITE_BYTES], _left(timeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return DeadlineStream(self._inner.start_tls(ssl_context, server_hostname, _left(timeout)))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def _left(timeout: float | None) -> float | None:
    deadline = _DEADLINE.get()
    if deadline is None:
        return timeout
    left = deadline - now()
    if left <= 0:
        raise TimeoutError
    return left if timeout is None else min(timeout, left)


def in_thread(function: Callable[..., T], *arguments: Any) -> T:
    """Here and now: who blocks anyway needs no thread."""
    return function(*arguments)


@contextmanager
def shielded() -> Iterator[None]:
    """Nothing cancels a thread."""
    yield


def abandon(pieces: Iterator[bytes], errors: tuple[type[Exception], ...]) -> None:
    """End an iteration in its midst, without reading on."""
    close = getattr(pieces, "close", None)
    if close is not None:
        with contextlib.suppress(*errors):
            close()


@contextmanager
def read_ahead(pieces: Callable[[], Iterator[bytes]]) -> Iterator[Iterable[bytes]]:
    """The iterator itself: who blocks anyway needs no thread."""
    source = iter(pieces())
    try:
        yield source
    finally:
        close = getattr(source, "close", None)
        if close is not None:
            close()
