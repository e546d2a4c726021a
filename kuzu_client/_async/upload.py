"""The bodies of requests, as httpx wants them."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator

import attrs
import httpx


@attrs.define(eq=False)
class AsyncUpload(httpx.AsyncByteStream):
    """What comes in pieces. No generator: one that a reset leaves in its midst waits for the collector."""

    source: AsyncIterable[bytes]

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self.source.__aiter__()


@attrs.define(eq=False)
class AsyncContent(httpx.AsyncByteStream):
    """What is in memory."""

    content: bytes

    def __aiter__(self) -> AsyncIterator[bytes]:
        return AsyncPiece(self.content)


@attrs.define(eq=False)
class AsyncPiece(AsyncIterator[bytes]):
    """There is nothing to send of an empty one."""

    content: bytes

    async def __anext__(self) -> bytes:
        if not self.content:
            raise StopAsyncIteration
        content, self.content = self.content, b""
        return content
