"""httpcore's pool as a transport of httpx: what AsyncHTTPTransport is, with a network backend of the client's own.

Its exceptions stay those of httpcore; `_core.failures` knows both.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator

import attrs
import httpcore
import httpx

from kuzu_client._async.concurrency import network_backend
from kuzu_client._core.tls import require_http2, ssl_context
from kuzu_client._core.wire import Endpoint
from kuzu_client.config import KuzuClientConfig


@attrs.define(eq=False)
class AsyncUpload(httpx.AsyncByteStream):
    """What is sent. No generator, as httpx's own: one that a reset leaves in its midst waits for the collector."""

    source: AsyncIterable[bytes]

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self.source.__aiter__()


@attrs.define(eq=False)
class AsyncPiece(AsyncIterator[bytes]):
    """A body that is in memory; there is nothing to send of an empty one."""

    content: bytes

    async def __anext__(self) -> bytes:
        if not self.content:
            raise StopAsyncIteration
        content, self.content = self.content, b""
        return content


@attrs.define(eq=False)
class AsyncAnswerBody(httpx.AsyncByteStream):
    """The body as httpcore gives it."""

    answer: httpcore.Response

    def __aiter__(self) -> AsyncIterator[bytes]:
        assert isinstance(self.answer.stream, AsyncIterable)
        return self.answer.stream.__aiter__()

    async def aclose(self) -> None:
        await self.answer.aclose()


class AsyncPoolTransport(httpx.AsyncBaseTransport):
    """Closing it closes its connections; the next request opens new ones."""

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
        body = AsyncAnswerBody(answer)
        return httpx.Response(answer.status, headers=answer.headers, stream=body, extensions=answer.extensions)

    async def aclose(self) -> None:
        await self._pool.aclose()
