"""One request or WebSocket between a protocol and the app: hypercorn's streams with their dead ends repaired."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import trio
from hypercorn.protocol.events import Body, Data, EndBody, Event, Request, Response, StreamClosed
from hypercorn.protocol.http_stream import ASGIHTTPState, HTTPStream
from hypercorn.protocol.ws_stream import ASGIWebsocketState, FrameTooLargeError, Handshake, WSStream
from hypercorn.typing import ASGISendEvent, HTTPResponseBodyEvent, WebsocketAcceptEvent
from hypercorn.utils import suppress_body
from wsproto.connection import ConnectionState
from wsproto.events import CloseConnection, Message, Ping
from wsproto.frame_protocol import CloseReason, Opcode

from kuzu_node.http.hypercorn_fixes.refusal import refusal

_WEBSOCKET_HEADERS = {b"connection", b"sec-websocket-protocol", b"sec-websocket-key"}


class RequestStream(HTTPStream):
    """A `send` that writes nothing is a checkpoint, so that a loop of sends can be cancelled and starves nobody.

    It writes nothing on a dead stream, for the body of a HEAD, and for a piece of a body that is empty.
    """

    async def app_send(self, message: ASGISendEvent | None) -> None:
        if self.closed:
            if message is not None:
                await trio.lowlevel.checkpoint()
            return
        if message is not None and message["type"] == "http.response.body" and self._writes_nothing(message):
            await trio.lowlevel.checkpoint()
        await super().app_send(message)

    def _writes_nothing(self, message: HTTPResponseBodyEvent) -> bool:
        if not message.get("more_body", False) or self.state is not ASGIHTTPState.RESPONSE:
            return False
        return not message.get("body") or suppress_body(self.scope["method"], int(self.response["status"]))


class Http1Stream(RequestStream):
    """Tells its protocol which body message is the last, so that it can be written together with the end."""

    final = False

    async def app_send(self, message: ASGISendEvent | None) -> None:
        if message is not None and message["type"] == "http.response.body" and not self.closed:
            self.final = not message.get("more_body", False)
            if not self.final and not message.get("body") and self.state is ASGIHTTPState.RESPONSE:
                # The head waits for the first body message, which is this one although it is empty.
                await self.send(Body(stream_id=self.stream_id, data=b""))
        await super().app_send(message)


class WebSocketStream(WSStream):
    """Refuses broken handshakes, and offers no compression.

    What is wrong with a handshake may show when the app is at work already: then nobody hears what it says.
    """

    refused = False

    async def handle(self, event: Event) -> None:
        if self.closed:
            return
        if isinstance(event, Request):
            await self._open(event)
        elif isinstance(event, (Body, Data)) and not self.handshake.accepted:
            if self.state is ASGIWebsocketState.HANDSHAKE:
                await self._refuse("a WebSocket client has to wait for the answer to its handshake")
        else:
            await super().handle(event)

    async def app_send(self, message: Any) -> None:
        if self.closed or self.refused:
            if message is not None:
                await trio.lowlevel.checkpoint()
        elif message is not None and message["type"] == "websocket.send.many":
            await self._send_many(message["messages"])
        else:
            if message is None and self.state is ASGIWebsocketState.CONNECTED:
                self.state = ASGIWebsocketState.CLOSED
                await self._send_wsproto_event(CloseConnection(code=CloseReason.INTERNAL_ERROR, reason="internal"))
            await super().app_send(message)

    async def _send_many(self, messages: list[tuple[bool, bytes]]) -> None:
        """An extension: messages, each text or not, in one write, and texts without being decoded on the way."""
        if self.connection.state is not ConnectionState.OPEN:
            await trio.lowlevel.checkpoint()
            return
        parts: list[bytes] = []
        for text, data in messages:
            parts += (_frame_header(Opcode.TEXT if text else Opcode.BINARY, len(data)), data)
        await self.send(Data(stream_id=self.stream_id, data=b"".join(parts)))

    async def _open(self, request: Request) -> None:
        if any(not value.isascii() for name, value in request.headers if name in _WEBSOCKET_HEADERS):
            await self._refuse("a header of the WebSocket handshake is not ASCII")
            return
        # A message is bounded before it is inflated or not at all, so compression is never negotiated,
        # and what the client says about it needs no parsing.
        headers = [(name, value) for name, value in request.headers if name != b"sec-websocket-extensions"]
        if not Handshake(headers, request.http_version).is_valid():
            await self._refuse("the WebSocket handshake is not one of version 13")
            return
        await super().handle(
            Request(
                stream_id=request.stream_id,
                headers=headers,
                http_version=request.http_version,
                method=request.method,
                raw_path=request.raw_path,
                state=request.state,
            )
        )

    async def _refuse(self, detail: str) -> None:
        self.refused = True
        self.state = ASGIWebsocketState.HTTPCLOSED
        headers, body = refusal(HTTPStatus.BAD_REQUEST, detail)
        await self.send(Response(stream_id=self.stream_id, headers=headers, status_code=400))
        await self.send(Body(stream_id=self.stream_id, data=body))
        await self.send(EndBody(stream_id=self.stream_id))
        await self.send(StreamClosed(stream_id=self.stream_id))

    async def _accept(self, message: WebsocketAcceptEvent) -> None:
        # The handshake first: when the app's answer is wrong, the state must not say that there is a connection.
        status, headers, self.connection = self.handshake.accept(message.get("subprotocol"), message.get("headers", []))
        self.state = ASGIWebsocketState.CONNECTED
        await self.send(Response(stream_id=self.stream_id, status_code=status, headers=headers))

    async def _handle_events(self) -> None:
        for event in self.connection.events():
            if isinstance(event, Message):
                try:
                    self.buffer.extend(event)
                except FrameTooLargeError:
                    # Hypercorn goes on collecting what follows; the connection has to end here.
                    too_big = CloseConnection(code=CloseReason.MESSAGE_TOO_BIG, reason="too_large")
                    await self._send_wsproto_event(too_big)
                    await self.send(StreamClosed(stream_id=self.stream_id))
                    return
                if event.message_finished:
                    await self._put(self.buffer.to_message())
                    self.buffer.clear()
            elif isinstance(event, Ping):
                await self._send_wsproto_event(event.response())
            elif isinstance(event, CloseConnection):
                if self.connection.state == ConnectionState.REMOTE_CLOSING:
                    await self._send_wsproto_event(event.response())
                elif self.connection.state == ConnectionState.OPEN:
                    # What the client has sent is no WebSocket; wsproto says so to us alone.
                    await self._send_wsproto_event(CloseConnection(code=event.code, reason="bad_request"))
                await self.send(StreamClosed(stream_id=self.stream_id))

    async def _put(self, message: dict[str, Any]) -> None:
        assert self.app_put is not None
        await self.app_put(message)


def _frame_header(opcode: Opcode, length: int) -> bytes:
    """Of a whole message in one frame, unmasked as a server's are (RFC 6455, 5.2)."""
    first = 0x80 | opcode
    if length < 126:
        return bytes((first, length))
    if length < 1 << 16:
        return bytes((first, 126)) + length.to_bytes(2, "big")
    return bytes((first, 127)) + length.to_bytes(8, "big")
