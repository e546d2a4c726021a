"""Connections of HTTP/1.1 on a stack, behind httpx's interface of a transport: what a call takes when HTTP/2 is off.

httpcore's pool looks at every connection and every request for each of them; a stack costs the same however many there
are. `docs/client.md` has the figures.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator

import attrs
import httpx

from kuzu_client._async.concurrency import AsyncSlots, guard, network_backend, now, shielded
from kuzu_client._async.connection import AsyncConnection
from kuzu_client._core.tls import ssl_context
from kuzu_client._core.wire import Endpoint
from kuzu_client.config import KuzuClientConfig


class AsyncStackTransport(httpx.AsyncBaseTransport):
    """To one endpoint. Closing it closes its connections; the next request opens new ones.

    The connection used last is taken first, so that those a burst has left over expire.
    """

    def __init__(self, config: KuzuClientConfig, endpoint: Endpoint) -> None:
        self._host, self._port = endpoint.address
        self._network = network_backend()
        self._tls = ssl_context(config) if endpoint.secure else None
        if self._tls is not None:
            self._tls.set_alpn_protocols(["http/1.1"])
        self._expiry = config.keepalive_expiry
        self._most_idle = config.max_keepalive_connections
        self._slots = AsyncSlots(config.max_connections)
        self._guard = guard()
        self._open: set[AsyncConnection] = set()
        # The one used last is the right one.
        self._idle: deque[AsyncConnection] = deque()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Needs the extensions `timeout` and `trace`. Raises errors of httpcore."""
        timeouts = request.extensions["timeout"]
        await self._slots.acquire(timeouts["pool"])
        connection: AsyncConnection | None = None
        try:
            connection = await self._reused() or await self._connected(request)
            head = await connection.request(request)
        except BaseException:
            await self._leave(connection)
            raise
        body = AsyncAnswerBody(self, connection, timeouts["read"])
        return httpx.Response(head.status_code, headers=head.headers.raw_items(), stream=body)

    async def aclose(self) -> None:
        with self._guard:
            connections = list(self._open)
            self._open.clear()
            self._idle.clear()
        async with shielded():
            for connection in connections:
                await connection.aclose()

    async def give_back(self, connection: AsyncConnection) -> None:
        """For the next request, if it is good for one."""
        if not connection.reusable():
            await self._leave(connection)
            return
        connection.expires = now() + self._expiry
        with self._guard:
            if connection in self._open:
                self._idle.append(connection)
            surplus = self._surplus()
        self._slots.release()
        for one in surplus:
            await self._close(one)

    async def _reused(self) -> AsyncConnection | None:
        while True:
            with self._guard:
                if not self._idle:
                    return None
                connection = self._idle.pop()
            if not connection.stale(now()):
                return connection
            await self._close(connection)

    async def _connected(self, request: httpx.Request) -> AsyncConnection:
        timeout = request.extensions["timeout"]["connect"]
        await request.extensions["trace"]("connection.connect_tcp.started", {})
        stream = await self._network.connect_tcp(self._host, self._port, timeout)
        if self._tls is not None:
            try:
                stream = await stream.start_tls(self._tls, self._host, timeout)
            except BaseException:
                async with shielded():
                    await stream.aclose()
                raise
        connection = AsyncConnection(stream)
        with self._guard:
            self._open.add(connection)
        return connection

    async def _leave(self, connection: AsyncConnection | None) -> None:
        """A slot, with a connection that nobody can use any more."""
        try:
            if connection is not None:
                await self._close(connection)
        finally:
            self._slots.release()

    async def _close(self, connection: AsyncConnection) -> None:
        with self._guard:
            self._open.discard(connection)
        async with shielded():
            await connection.aclose()

    def _surplus(self) -> list[AsyncConnection]:
        """Of the connections not in use, the oldest that are too many or have expired."""
        found = []
        while self._idle and (len(self._idle) > self._most_idle or self._idle[0].expires <= now()):
            found.append(self._idle.popleft())
        return found


@attrs.define(eq=False)
class AsyncAnswerBody(httpx.AsyncByteStream, AsyncIterator[bytes]):
    """Read to its end and closed, it gives its connection back; closed before, it closes that."""

    _transport: AsyncStackTransport
    _connection: AsyncConnection
    _timeout: float
    _ended: bool = False
    _closed: bool = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        piece = None if self._ended else await self._connection.receive(self._timeout)
        if piece is None:
            self._ended = True
            raise StopAsyncIteration
        return piece

    async def aclose(self) -> None:
        if not self._closed:
            self._ended = self._closed = True
            await self._transport.give_back(self._connection)
