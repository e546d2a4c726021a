"""How requests reach the node, unless the program brings a transport of httpx: by `stack.py`, or by httpcore's pool.

Their exceptions are those of httpcore; `_core.failures` knows both.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from functools import partial

import attrs
import httpcore
import httpx

from kuzu_client._async.concurrency import network_backend
from kuzu_client._async.stack import AsyncStackTransport
from kuzu_client._core.tls import require_http2, ssl_context
from kuzu_client._core.wire import Endpoint
from kuzu_client.config import KuzuClientConfig


def transport_to(endpoint: Endpoint, config: KuzuClientConfig) -> httpx.AsyncBaseTransport:
    """Raises ValueError for settings that cannot work."""
    return AsyncPoolTransport(config, endpoint) if config.http2 else AsyncStackTransport(config, endpoint)


@attrs.define(eq=False)
class AsyncPoolBody(httpx.AsyncByteStream):
    """The body as httpcore gives it. `leave` is told whether it was read to its end."""

    answer: httpcore.Response
    leave: Callable[[bool], Awaitable[None]]
    _pieces: AsyncIterator[bytes] | None = None
    _ended: bool = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        assert isinstance(self.answer.stream, AsyncIterable)
        self._pieces = self.answer.stream.__aiter__()
        return self

    async def __anext__(self) -> bytes:
        assert self._pieces is not None
        try:
            return await self._pieces.__anext__()
        except StopAsyncIteration:
            self._ended = True
            raise

    async def aclose(self) -> None:
        try:
            await self.answer.aclose()
        finally:
            await self.leave(self._ended)


@attrs.define(eq=False)
class AsyncUsedPool:
    """A pool and how many requests are under way in it."""

    pool: httpcore.AsyncConnectionPool
    users: int = 0


class AsyncPoolTransport(httpx.AsyncBaseTransport):
    """What AsyncHTTPTransport is, for the sake of HTTP/2, with a network backend of the client's own.

    httpcore does not reset a stream of HTTP/2 that is given up, and what still comes for it narrows the window of all
    others on that connection for good. So behind such a one new calls get a new pool, and the old one goes with the
    last call that is under way in it.
    """

    def __init__(self, config: KuzuClientConfig, endpoint: Endpoint) -> None:
        require_http2(config)
        self._config = config
        # Reading the system's certificates takes longer than a hundred requests.
        self._ssl_context = ssl_context(config) if endpoint.secure else None
        self._counting = threading.Lock()
        self._current = self._fresh()
        self._all = {self._current}

    def _fresh(self) -> AsyncUsedPool:
        config = self._config
        return AsyncUsedPool(
            httpcore.AsyncConnectionPool(
                ssl_context=self._ssl_context,
                max_connections=config.max_connections,
                max_keepalive_connections=config.max_keepalive_connections,
                keepalive_expiry=config.keepalive_expiry,
                http2=config.http2,
                network_backend=network_backend(),
            )
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        assert isinstance(request.stream, httpx.AsyncByteStream)
        address = request.url
        url = httpcore.URL(scheme=address.raw_scheme, host=address.raw_host, port=address.port, target=address.raw_path)
        asked = httpcore.Request(
            request.method, url, headers=request.headers.raw, content=request.stream, extensions=request.extensions
        )
        with self._counting:
            used = self._current
            used.users += 1
        leave = partial(self._leave, used)
        try:
            answer = await used.pool.handle_async_request(asked)
        except BaseException:
            await leave(False)
            raise
        body = AsyncPoolBody(answer, leave)
        return httpx.Response(answer.status, headers=answer.headers, stream=body, extensions=answer.extensions)

    async def _leave(self, used: AsyncUsedPool, ended: bool) -> None:
        with self._counting:
            used.users -= 1
            if not ended and used is self._current:
                self._current = self._fresh()
                self._all.add(self._current)
            if used is self._current or used.users:
                return
            self._all.discard(used)
        await used.pool.aclose()

    async def aclose(self) -> None:
        with self._counting:
            pools = list(self._all)
        for used in pools:
            await used.pool.aclose()
