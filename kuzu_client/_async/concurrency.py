"""Time, threads and cancellation for the async client: the one module that knows anyio. The sync client has its own."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import httpcore
from anyio.streams.memory import MemoryObjectSendStream

T = TypeVar("T")
# Pieces of an upload that are read before the connection has taken those before them.
AHEAD = 4
WORTH_A_HOP = 64 << 10
CLOSING_SECONDS = 5.0

now = anyio.current_time
sleep = anyio.sleep
fail_after = anyio.fail_after
Lock = anyio.Lock


def network_backend() -> httpcore.AsyncNetworkBackend:
    return LoopBackend()


class LoopBackend(httpcore.AsyncNetworkBackend):
    """httpcore's own for the loop that runs, which there is not yet when a client is made."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        # Trio is an option; where it runs, somebody has imported it.
        trio = sys.modules.get("trio")
        trios = trio is not None and trio.lowlevel.in_trio_task()
        backend = httpcore.TrioBackend() if trios else httpcore.AnyIOBackend()
        return await backend.connect_tcp(host, port, timeout, local_address, socket_options)


class AsyncSlots:
    """So many at a time; the others wait in line."""

    def __init__(self, size: int) -> None:
        self._semaphore = anyio.Semaphore(size, fast_acquire=True)

    async def acquire(self, seconds: float) -> None:
        """Raises httpcore.PoolTimeout."""
        try:
            self._semaphore.acquire_nowait()
        except anyio.WouldBlock:
            try:
                with anyio.fail_after(seconds):
                    await self._semaphore.acquire()
            except TimeoutError as error:
                raise httpcore.PoolTimeout from error

    def release(self) -> None:
        self._semaphore.release()


def guard() -> contextlib.AbstractContextManager[object]:
    """A single thread runs the loop, so what has no await needs no lock."""
    return contextlib.nullcontext()


async def in_thread(function: Callable[..., T], *arguments: Any) -> T:
    """For what blocks on a disk. Cancelled, it is waited for."""
    return await anyio.to_thread.run_sync(function, *arguments)


@asynccontextmanager
async def shielded() -> AsyncIterator[None]:
    """For closing things in `finally`."""
    with anyio.move_on_after(CLOSING_SECONDS, shield=True):
        yield


async def abandon(pieces: AsyncIterator[bytes], errors: tuple[type[Exception], ...]) -> None:
    """End an iteration in its midst, without reading on.

    Cancelled, each of httpcore's nested generators unwinds in place; closed, all but the outermost are left to the
    garbage collector, of which Trio warns. What has been received already comes before the cancellation is seen.
    """
    with anyio.CancelScope() as scope, contextlib.suppress(*errors):
        scope.cancel()
        async for _ in pieces:
            pass


@asynccontextmanager
async def read_ahead(pieces: Callable[[], Iterator[bytes]]) -> AsyncIterator[AsyncIterable[bytes]]:
    """What a blocking iterator gives, read in a thread, a few pieces before they are asked for."""
    send, receive = anyio.create_memory_object_stream[bytes](AHEAD)
    try:
        with send:
            async with anyio.create_task_group() as tasks, receive:
                tasks.start_soon(_read, pieces, send, name="read ahead of an upload")
                yield receive
                tasks.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        error = _first(group)
        raise error from error.__cause__


async def _read(pieces: Callable[[], Iterator[bytes]], send: MemoryObjectSendStream[bytes]) -> None:
    source = await anyio.to_thread.run_sync(lambda: iter(pieces()))
    try:
        while piece := await anyio.to_thread.run_sync(_next, source):
            await send.send(piece)
    finally:
        async with shielded():
            await anyio.to_thread.run_sync(getattr(source, "close", _nothing))
    # Only here: an iterator that fails must not look like one that has ended, or half an upload would count as whole.
    send.close()


def _next(source: Iterator[bytes]) -> bytes:
    """What is worth a change of threads; empty at the end only, since an empty piece is not the end."""
    parts, size = [], 0
    for piece in source:
        parts.append(piece)
        size += len(piece)
        if size >= WORTH_A_HOP:
            break
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _nothing() -> None:
    return None


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error itself; a task that was cancelled because of it tells nothing."""
    _, errors = group.split(anyio.get_cancelled_exc_class())
    found: BaseException = errors or group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found
