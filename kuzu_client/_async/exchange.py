"""One attempt at a call: a request, and its answer or what became of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Generic, TypeVar

import attrs
import httpcore
import httpx

from kuzu_client._async.concurrency import fail_after, now, read_ahead
from kuzu_client._async.streams import AsyncStream
from kuzu_client._async.upload import AsyncContent, AsyncUpload
from kuzu_client._core import failures, wire
from kuzu_client._core.calls import Call
from kuzu_client._core.retry import Answered, Lost
from kuzu_client.errors import KuzuAPIError

T = TypeVar("T")
# Of the body of an error, no more is read: what is longer is no problem document.
ERROR_BYTES = 1 << 20


@attrs.frozen(kw_only=True)
class AttemptEnd(Generic[T]):
    """`value` unless there is an error."""

    outcome: Answered | Lost
    value: T | None
    status: int | None
    seconds: float
    reused: bool | None


@attrs.frozen(kw_only=True)
class AsyncExchange(Generic[T]):
    """`receive` makes something of a good answer; it owns the response, and closes it when it raises.

    `stall` bounds each step of reading and writing, in seconds; `traces` tells whether the transport is one that does.
    """

    transport: httpx.AsyncBaseTransport
    endpoint: wire.Endpoint
    call: Call
    key: str | None
    stall: float
    traces: bool
    receive: Callable[[Call, httpx.Response], Awaitable[T]]

    async def attempt(self, seconds: float) -> AttemptEnd[T]:
        """Raises what the body's own iterator raises, and KuzuClientError for what cannot be sent at all."""
        tracks = wire.Tracks()
        began = now()
        status: int | None = None
        value: T | None = None
        outcome: Answered | Lost
        try:
            with fail_after(seconds):
                response = await self._send(tracks, seconds)
                status = response.status_code
                error = await _refusal(self.call, response)
                if error is None:
                    value = await self.receive(self.call, response)
            outcome = Answered(now(), error)
        except failures.TRANSPORT_ERRORS as raised:
            outcome = self._lost(raised, tracks)
        return AttemptEnd(outcome=outcome, value=value, status=status, seconds=now() - began, reused=tracks.reused)

    def _lost(self, raised: Exception, tracks: wire.Tracks) -> Lost:
        if self.traces and tracks.queued and isinstance(raised, TimeoutError):
            # The deadline of the attempt is that of the queue as well, and may be the first to tell.
            raised = httpcore.PoolTimeout()
        found = failures.verdict(raised)
        sent = found.sent if found.sent is not None else tracks.sending or not self.traces
        error = failures.from_exception(raised, found, sent=sent)
        if found.final:
            raise error from raised
        error.__cause__ = raised
        return Lost(now(), error, sent=sent, blame=found.blame)

    async def _send(self, tracks: wire.Tracks, seconds: float) -> httpx.Response:
        async def trace(event: str, info: dict[str, Any]) -> None:
            tracks.note(event, info)

        asked = partial(
            httpx.Request,
            self.call.method,
            self.endpoint.url(self.call),
            headers=self.endpoint.headers_of(self.call, self.key),
            extensions={"timeout": wire.timeouts(seconds, self.stall), "trace": trace},
        )
        body = self.call.body
        if body is None or body.pieces is None:
            content = AsyncContent(b"" if body is None else body.content)
            return await self.transport.handle_async_request(asked(stream=content))
        response: httpx.Response | None = None
        try:
            async with read_ahead(body.pieces) as pieces:
                response = await self.transport.handle_async_request(asked(stream=AsyncUpload(pieces)))
        except BaseException:
            # Cancelled behind the answer, while the reader is waited for: nobody else would close it.
            if response is not None:
                await stream_of(response).aclose()
            raise
        return response


async def receive_whole(call: Call, response: httpx.Response) -> bytes:
    stream = stream_of(response)
    try:
        return await stream.read()
    finally:
        await stream.aclose()


async def receive_stream(call: Call, response: httpx.Response) -> AsyncStream:
    """Leaves the response open: whoever gets the stream closes it."""
    return stream_of(response)


def stream_of(response: httpx.Response) -> AsyncStream:
    assert isinstance(response.stream, httpx.AsyncByteStream)
    return AsyncStream(response.headers, response.stream)


async def _refusal(call: Call, response: httpx.Response) -> KuzuAPIError | None:
    """What the head tells, with the body of a bad answer. Of a good one nothing is read."""
    status, headers = response.status_code, response.headers
    says = failures.disagreement(call, headers) if 200 <= status < 300 else None
    if says is None and 200 <= status < 300:
        return None
    stream = stream_of(response)
    try:
        body = await stream.read(ERROR_BYTES)
    finally:
        await stream.aclose()
    if says is not None:
        return failures.wrong_answer(status, headers, body, says)
    return failures.from_answer(status, headers, body)
