"""How requests reach the node, unless the program brings a transport of httpx: by `stack.py`, or by httpcore's pool.

Their exceptions are those of httpcore; `_core.failures` knows both.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator

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
    """The body as httpcore gives it."""

    answer: httpcore.Response

    def __aiter__(self) -> AsyncIterator[bytes]:
        assert isinstance(self.answer.stream, AsyncIterable)
        return self.answer.stream.__aiter__()

    async def aclose(self) -> None:
        await self.answer.aclose()


class AsyncPoolTransport(httpx.AsyncBaseTransport):
    """What AsyncHTTPTransport is, for the sake of HTTP/2, with a network backend of the client's own."""

    def __init__(self, config: KuzuClientConfig, endpoint: Endpoint) -> None:
        require_http2(config)
        self._pool = httpcore.AsyncConnectionPool(
            # Reading the system's certificates takes longer than a hundred requests.
            ssl_context=ssl_context(config) if endpoint.secure else None,
            max_connections=config.max_connections,
            max_keepalive_connections=config.max_keepalive_connections,
            keepalive_expiry=config.keepalive_expiry,
            http2=config.http2,
            network_backend=network_backend(),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        assert isinstance(request.stream, httpx.AsyncByteStream)
        address = request.url
        url = httpcore.URL(scheme=address.raw_scheme, host=address.raw_host, port=address.port, target=address.raw_path)
        asked = httpcore.Request(
            request.method, url, headers=request.headers.raw, content=request.stream, extensions=request.extensions
        )
        answer = await self._pool.handle_async_request(asked)
        body = AsyncPoolBody(answer)
        return httpx.Response(answer.status, headers=answer.headers, stream=body, extensions=answer.extensions)

    async def aclose(self) -> None:
        await self._pool.aclose()
