"""One HTTP/1.1 connection: h11 speaks, over a stream of httpcore's. The stack of connections in `stack.py` uses it."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Any

import attrs
import h11
import httpcore
import httpx

from kuzu_client._async.upload import AsyncContent
from kuzu_client._core.wire import JOINED_BYTES, READ_BYTES, new_http


@attrs.define(eq=False)
class AsyncConnection:
    """One request at a time. Whatever it raises, cancellation included, leaves it good for nothing but `aclose`."""

    stream: httpcore.AsyncNetworkStream
    # Of one that is not in use, by the clock of `concurrency.now`.
    expires: float = math.inf
    _http: h11.Connection = attrs.field(factory=new_http)

    async def request(self, request: httpx.Request) -> h11.Response:
        """The head of the answer. Raises errors of httpcore."""
        timeouts = request.extensions["timeout"]
        # A node that refuses a body may close before it has read it, and what it said is there to be read.
        with suppress(httpcore.WriteError):
            await self._send(request, timeouts["write"])
        event = await self._event(timeouts["read"])
        while isinstance(event, h11.InformationalResponse):
            event = await self._event(timeouts["read"])
        assert isinstance(event, h11.Response)
        return event

    async def receive(self, timeout: float) -> bytes | None:
        """The next piece of the answer's body, None at its end."""
        event = await self._event(timeout)
        return bytes(event.data) if isinstance(event, h11.Data) else None

    def reusable(self) -> bool:
        """Whether request and answer have both ended in good order; the next request may then be made."""
        done = self._http.our_state is h11.DONE and self._http.their_state is h11.DONE
        # What came behind the answer would be taken for the next one.
        if not done or self._http.trailing_data[0]:
            return False
        self._http.start_next_cycle()
        return True

    def stale(self, now: float) -> bool:
        """Between two requests a node has nothing to say: what can be read is the end."""
        return now >= self.expires or bool(self.stream.get_extra_info("is_readable"))

    async def aclose(self) -> None:
        await self.stream.aclose()

    async def _send(self, request: httpx.Request, timeout: float) -> None:
        trace = request.extensions["trace"]
        head = self._head(request)
        body = request.stream
        await trace("http11.send_request_headers.started", {})
        try:
            if isinstance(body, AsyncContent) and len(body.content) <= JOINED_BYTES:
                await self.stream.write(head + self._data(body.content) + self._end(), timeout)
                return
            await self.stream.write(head, timeout)
        except httpcore.WriteError as error:
            await trace("http11.send_request_headers.failed", {"exception": error})
            raise
        assert isinstance(body, httpx.AsyncByteStream)
        async for piece in body:
            await self.stream.write(self._data(piece), timeout)
        await self.stream.write(self._end(), timeout)

    def _head(self, request: httpx.Request) -> bytes:
        try:
            head = h11.Request(method=request.method, target=request.url.raw_path, headers=request.headers.raw)
            return self._http.send(head) or b""
        except h11.LocalProtocolError as error:
            raise httpcore.LocalProtocolError(str(error)) from error

    def _data(self, piece: bytes) -> bytes:
        return self._sent(h11.Data(data=piece)) if piece else b""

    def _end(self) -> bytes:
        return self._sent(h11.EndOfMessage())

    def _sent(self, event: h11.Event) -> bytes:
        try:
            return self._http.send(event) or b""
        except h11.LocalProtocolError as error:
            # A body that is not as long as was told. The node may have got all that it waits for.
            raise httpcore.ProtocolError(str(error)) from error

    async def _event(self, timeout: float) -> Any:
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                raise httpcore.RemoteProtocolError(str(error)) from error
            if event is not h11.NEED_DATA:
                return event
            data = await self.stream.read(READ_BYTES, timeout)
            if not data and self._http.their_state is h11.SEND_RESPONSE:
                raise httpcore.RemoteProtocolError("the node closed the connection without an answer")
            self._http.receive_data(data)
