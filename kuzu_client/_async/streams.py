"""Bodies of answers as they come."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import attrs
import httpx

from kuzu_client._async.concurrency import abandon, shielded
from kuzu_client._core.failures import TRANSPORT_ERRORS, broken_stream


@attrs.define(eq=False)
class AsyncStream:
    """The body of a good answer. `open_stream` closes it."""

    headers: Mapping[str, str]
    _body: httpx.AsyncByteStream
    _source: AsyncIterator[bytes] | None = None
    _ended: bool = False

    def pieces(self) -> AsyncIterator[bytes]:
        """Raw bytes as they come; asked again, it goes on where it was.

        Raises KuzuTimeoutError when none come for as long as the call's timeout, and KuzuTransientError when the
        connection ends before the body does.
        """
        if self._source is None:
            self._source = self._body.__aiter__()
        return AsyncPieces(self._source)

    async def read(self, limit: int | None = None) -> bytes:
        """The whole, or what has come by the time it is longer. Raises what the transport raises."""
        parts, size = [], 0
        self._source = self._body.__aiter__()
        async for piece in self._source:
            parts.append(piece)
            size += len(piece)
            if limit is not None and size > limit:
                break
        else:
            self._ended = True
        return b"".join(parts)

    async def aclose(self) -> None:
        """What has not been read never will be: the connection is closed."""
        async with shielded():
            try:
                if self._source is not None and not self._ended:
                    await abandon(self._source, TRANSPORT_ERRORS)
            finally:
                # No shield keeps out a cancellation of asyncio's own; the connection is free for others nevertheless.
                await self._body.aclose()


@attrs.define(eq=False)
class AsyncPieces(AsyncIterator[bytes]):
    """Translates the faults of the transport."""

    _source: AsyncIterator[bytes]

    def __aiter__(self) -> AsyncPieces:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await self._source.__anext__()
        except TRANSPORT_ERRORS as error:
            raise broken_stream(error) from error
