"""One accepted connection: reads, writes, its idle limit, and the wall that keeps its failures to itself.

`http/server.py` runs one of these for each client. Nothing that happens in here reaches another connection.
"""

from __future__ import annotations

import math
import socket
import struct
from collections.abc import Iterable
from contextlib import suppress

import structlog
import trio
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import AppWrapper
from hypercorn.utils import parse_socket_addr

from kuzu_node.http.hypercorn_fixes.endings import Aborted, Lingering
from kuzu_node.http.hypercorn_fixes.http1 import Http1, Http2Assumed
from kuzu_node.http.hypercorn_fixes.http2 import Http2
from kuzu_node.http.hypercorn_fixes.peer import Peer
from kuzu_node.http.hypercorn_fixes.settings import ServerConfig
from kuzu_node.http.hypercorn_fixes.tasks import AppTasks

RECEIVE_SIZE = 65536
# A write has the stall timeout for each piece of this size, so a slow reader is told from one that takes nothing.
WRITE_SIZE = 128 * 1024
LINGER_SECONDS = 2.0
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)

Stream = trio.SocketStream | trio.SSLStream[trio.SocketStream]


class Connection:
    """`run` returns when the connection is closed and the apps of its requests have returned."""

    def __init__(self, app: AppWrapper, config: ServerConfig, context: WorkerContext, stream: Stream) -> None:
        self._app = app
        self._config = config
        self._context = context
        self._stream = stream
        self._socket = (stream if isinstance(stream, trio.SocketStream) else stream.transport_stream).socket
        self._protocol: Http1 | Http2 | None = None
        self._writing = trio.Lock()
        self._forgetting = False
        self._busy = False
        self._deadline = trio.current_time() + config.keep_alive_timeout
        self._idle = trio.CancelScope()

    async def run(self) -> None:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch)
                await self._serve()
                nursery.cancel_scope.cancel()
        except* Exception:
            # The one wall between a client's bytes and the other clients; what is not an Exception passes.
            structlog.get_logger().warning("connection_failed", exc_info=True)
        finally:
            self._reset()

    async def _serve(self) -> None:
        try:
            protocol = await self._negotiate()
            client = parse_socket_addr(self._socket.family, self._socket.getpeername())
            server = parse_socket_addr(self._socket.family, self._socket.getsockname())
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError, OSError):
            await self._stream.aclose()  # gone already, or no TLS from it in time
            return
        async with trio.open_nursery() as nursery:
            peer = Peer(
                app=self._app,
                config=self._config,
                context=self._context,
                tasks=AppTasks(nursery),
                ssl=isinstance(self._stream, trio.SSLStream),
                client=client,
                server=server,
                send=self._send,
            )
            self._protocol = Http2(peer) if protocol == "h2" else Http1(peer)
            await self._protocol.initiate()
            await self._read(peer)
        await self._close()

    async def _negotiate(self) -> str | None:
        if isinstance(self._stream, trio.SocketStream):
            return None
        with trio.fail_after(self._config.ssl_handshake_timeout):
            await self._stream.do_handshake()
        protocol: str | None = self._stream.selected_alpn_protocol()
        return protocol

    async def _read(self, peer: Peer) -> None:
        assert self._protocol is not None
        while True:
            try:
                data = await self._receive(self._protocol.pause)
            except (trio.ClosedResourceError, trio.BrokenResourceError):
                break
            if data is None:
                await self._protocol.resume()
            elif not data:
                break
            elif not self._forgetting:
                try:
                    await self._protocol.handle(RawData(bytes(data)))
                except Http2Assumed as switch:
                    self._protocol = Http2(peer)
                    await self._protocol.initiate()
                    await self._protocol.handle(RawData(switch.data))
        await self._protocol.handle(Closed())

    async def _receive(self, pause: trio.CancelScope | None) -> bytes | bytearray | None:
        """The next bytes, empty at the end; None when the protocol can go on with those that it has."""
        if pause is None:
            return await self._stream.receive_some(RECEIVE_SIZE)
        assert self._protocol is not None
        with pause:
            if self._protocol.held > RECEIVE_SIZE:
                # Too far ahead. A disconnect shows only when its answers are out.
                await trio.sleep_forever()
            data = await self._stream.receive_some(RECEIVE_SIZE)
            # A scope is good for one block; the protocol makes another when these bytes have to wait as well.
            self._protocol.pause = None
            return data
        return None

    async def _send(self, event: Event) -> None:
        if isinstance(event, RawData):
            await self._write(event.data)
        elif isinstance(event, Updated):
            self._set_busy(not event.idle)
        elif isinstance(event, Closed):
            if isinstance(event, Aborted):
                self._reset()
            elif isinstance(event, Lingering):
                await self._linger()
            else:
                await self._close()
            await self._gone()

    async def _write(self, data: bytes) -> None:
        # Shielded, because half a write leaves a stream that nobody can go on with; bounded, because a client
        # that takes nothing would hold the app, and the shutdown, for ever.
        await self._lock_writing()
        try:
            with trio.move_on_after(self._config.stall_timeout, shield=True) as scope:
                first, *others = _pieces(data)
                await self._stream.send_all(first)
                for piece in others:
                    scope.deadline = trio.current_time() + self._config.stall_timeout
                    await self._stream.send_all(piece)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            await self._gone()
        else:
            if scope.cancelled_caught:
                structlog.get_logger().info("connection_stalled")
                self._reset()
                await self._gone()
        finally:
            self._writing.release()

    async def _lock_writing(self) -> None:
        try:
            self._writing.acquire_nowait()  # the usual case, without a turn of the scheduler
        except trio.WouldBlock:
            with trio.CancelScope(shield=True):  # the holder is bounded
                await self._writing.acquire()

    async def _gone(self) -> None:
        if self._protocol is not None:
            await self._protocol.handle(Closed())

    def _set_busy(self, busy: bool) -> None:
        self._busy = busy
        if busy:
            self._deadline = math.inf
        elif self._context.terminated.is_set():
            self._deadline = -math.inf
        else:
            self._deadline = trio.current_time() + self._config.keep_alive_timeout
        self._idle.deadline = self._deadline

    async def _watch(self) -> None:
        """Closes the connection when it has been idle for too long, at once when it is idle at a shutdown.

        One task a connection, whose deadline the requests move, instead of one a request. It is never shielded,
        so it is also what notices that the time of a shutdown is over and frees the shielded writes.
        """
        try:
            while True:
                with trio.CancelScope(deadline=self._deadline) as self._idle:
                    await self._context.terminated.wait()
                    if self._busy:
                        await trio.sleep_forever()
                if not self._busy:
                    break
            await self._gone()
            await self._stream.aclose()
        finally:
            self._reset()

    async def _linger(self) -> None:
        self._forgetting = True
        self._busy = False
        self._deadline = self._idle.deadline = trio.current_time() + LINGER_SECONDS
        if isinstance(self._stream, trio.SocketStream):
            await self._send_end(self._stream)

    async def _close(self) -> None:
        if isinstance(self._stream, trio.SocketStream):
            await self._send_end(self._stream)
        await self._stream.aclose()

    async def _send_end(self, stream: trio.SocketStream) -> None:
        # The client may be gone, or a write under way that the close will cut.
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
            await stream.send_eof()

    def _reset(self) -> None:
        """Closes without sending what the kernel still holds. Does nothing to a connection that is closed."""
        if self._socket.fileno() != -1:
            with suppress(OSError):  # the client was faster
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self._socket.close()


def _pieces(data: bytes) -> Iterable[bytes | memoryview]:
    if len(data) <= WRITE_SIZE:
        return (data,)
    view = memoryview(data)
    return [view[start : start + WRITE_SIZE] for start in range(0, len(data), WRITE_SIZE)]
