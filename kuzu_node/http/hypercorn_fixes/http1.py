"""HTTP/1.1 and the opening of WebSockets on one connection, in the place of hypercorn's H11Protocol.

Head and body leave in one write, a pipelined request does not hide a disconnect, and what cannot be parsed is
answered with a problem document. The reader task of the connection calls `handle`, the app's task `stream_send`.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import trio
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.events import Body, Data, EndBody, EndData, Request, Response, StreamClosed
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.typing import ConnectionState

from kuzu_node.http.hypercorn_fixes.checks import has_compiled_h11
from kuzu_node.http.hypercorn_fixes.endings import Aborted, Lingering
from kuzu_node.http.hypercorn_fixes.inbox import BodyInbox, MessageInbox
from kuzu_node.http.hypercorn_fixes.peer import Peer
from kuzu_node.http.hypercorn_fixes.refusal import refusal
from kuzu_node.http.hypercorn_fixes.streams import Http1Stream, WebSocketStream
from kuzu_node.http.hypercorn_fixes.tasks import OneApp

if TYPE_CHECKING:
    import h11
elif has_compiled_h11():
    import h11_mypyc as h11
else:
    import h11

STREAM_ID = 1
_ABSOLUTE = re.compile(rb"https?://[^/?]*", re.IGNORECASE)
BODY_LIMIT = 256 * 1024
MESSAGES_LIMIT = 1024 * 1024


class Http2Assumed(Exception):
    """The client began with the preface of HTTP/2. `data` is what it sent, the preface included."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.data = data


class Http1:
    """`pause` is a scope while bytes of a next request wait; it is cancelled when they can be handled."""

    def __init__(self, peer: Peer) -> None:
        self.pause: trio.CancelScope | None = None
        self.held = 0
        self._peer = peer
        self._connection = h11.Connection(h11.SERVER, max_incomplete_event_size=peer.config.head_limit)
        self._stream: Http1Stream | WebSocketStream | None = None
        self._upgraded = False
        self._method = ""
        self._unsent = b""

    async def initiate(self) -> None:
        """Nothing to say before the client has spoken."""

    async def handle(self, event: Event) -> None:
        if isinstance(event, RawData):
            if self._upgraded:
                if self._stream is not None:
                    await self._stream.handle(Data(stream_id=STREAM_ID, data=event.data))
                return
            self._connection.receive_data(event.data)
            self.held += len(event.data)
            await self._handle_events()
        elif isinstance(event, Closed):
            await self._close_stream()

    async def resume(self) -> None:
        """Goes on with the bytes that waited for the end of the previous request."""
        self.pause = None
        await self._handle_events()

    async def _handle_events(self) -> None:
        while True:
            try:
                event = self._connection.next_event()
            except h11.RemoteProtocolError as error:
                await self._refuse(error.error_status_hint, str(error))
                return
            if event is h11.NEED_DATA:
                self.held = 0
                return
            if event is h11.PAUSED:
                if self.pause is None:
                    self.pause = trio.CancelScope()
                return
            if type(event) is h11.Request:
                await self._begin(event)
            elif self._stream is None:
                return
            elif type(event) is h11.Data:
                await self._stream.handle(Body(stream_id=STREAM_ID, data=event.data))
            elif type(event) is h11.EndOfMessage:
                await self._stream.handle(EndBody(stream_id=STREAM_ID))
            if self._upgraded:
                return

    async def _begin(self, request: h11.Request) -> None:
        if request.method == b"PRI" and request.target == b"*" and request.http_version == b"2.0":
            raise Http2Assumed(b"PRI * HTTP/2.0\r\n\r\n" + self._connection.trailing_data[0])
        self._method = method = request.method.decode("ascii").upper()
        headers = list(request.headers)
        names = {name for name, _ in headers}
        if b"transfer-encoding" in names and b"content-length" in names:
            await self._refuse(HTTPStatus.BAD_REQUEST, "Content-Length and Transfer-Encoding exclude each other")
            return
        await self._peer.send(Updated(idle=False))
        self._upgraded = method == "GET" and b"upgrade" in names and _asks_for_websocket(headers)
        self._stream = stream = self._new_stream()
        await stream.handle(
            Request(
                stream_id=STREAM_ID,
                headers=headers,
                http_version=request.http_version.decode("ascii"),
                method=method,
                raw_path=_origin_form(request.target),
                state=ConnectionState({}),
            )
        )
        early = self._connection.trailing_data[0] if self._upgraded else b""
        if early:
            await stream.handle(Data(stream_id=STREAM_ID, data=early))

    def _new_stream(self) -> Http1Stream | WebSocketStream:
        peer = self._peer
        inbox: BodyInbox | MessageInbox
        stream_class: type[Http1Stream] | type[WebSocketStream]
        if self._upgraded:
            stream_class, inbox = WebSocketStream, MessageInbox(limit=MESSAGES_LIMIT)
        else:
            before = self._say_continue if self._connection.they_are_waiting_for_100_continue else None
            stream_class, inbox = Http1Stream, BodyInbox(limit=BODY_LIMIT, before=before)
        return stream_class(
            peer.app,
            peer.config,
            peer.context,
            OneApp(peer.tasks, inbox),  # type: ignore[arg-type]
            peer.ssl,
            peer.client,
            peer.server,
            self.stream_send,
            STREAM_ID,
        )

    async def _say_continue(self) -> None:
        """The app wants the body, so a client that asked before sending it may begin."""
        if self._connection.they_are_waiting_for_100_continue:
            await self._write(h11.InformationalResponse(status_code=100, headers=[]))

    async def stream_send(self, event: StreamEvent) -> None:
        if isinstance(event, Body):
            if self._stream is not None and getattr(self._stream, "final", False):
                self._keep(h11.Data(data=event.data))
            else:
                await self._write(h11.Data(data=event.data))
        elif isinstance(event, Response):
            self._start(event)
            if event.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
                await self._flush()
        elif isinstance(event, EndBody):
            await self._write(h11.EndOfMessage())
        elif isinstance(event, StreamClosed):
            await self._recycle()
        elif isinstance(event, Data):
            await self._peer.send(RawData(data=event.data))
        elif not isinstance(event, EndData):
            raise TypeError(f"HTTP/1.1 has no {type(event).__name__}")

    def _start(self, event: Response) -> None:
        headers = [*event.headers, *self._peer.config.response_headers("h11")]
        if event.status_code < HTTPStatus.OK:
            self._keep(h11.InformationalResponse(status_code=event.status_code, headers=headers))
            return
        if self._upgraded or self._peer.context.terminated.is_set():
            headers.append((b"connection", b"close"))
        self._keep(h11.Response(status_code=event.status_code, headers=headers))

    def _keep(self, event: Any) -> None:
        self._unsent += self._connection.send(event) or b""

    async def _write(self, event: Any) -> None:
        self._keep(event)
        await self._flush()

    async def _flush(self) -> None:
        if self._unsent:
            data, self._unsent = self._unsent, b""
            await self._peer.send(RawData(data=data))

    async def _refuse(self, status: int, detail: str) -> None:
        """Answers by itself where that is still possible; in any case nothing more is read from this client."""
        running = self._stream is not None
        await self._close_stream()
        if self._connection.our_state not in (h11.IDLE, h11.SEND_RESPONSE) or self._unsent:
            await self._peer.send(Aborted())
            return
        known = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        shown = known if status == known and not running else HTTPStatus.BAD_REQUEST
        headers, body = refusal(shown, detail)
        headers += [(b"connection", b"close"), *self._peer.config.response_headers("h11")]
        self._keep(h11.Response(status_code=shown, headers=headers))
        if self._method != "HEAD":
            self._keep(h11.Data(data=body))
        await self._write(h11.EndOfMessage())
        await self._peer.send(Lingering())

    async def _recycle(self) -> None:
        await self._close_stream()
        connection = self._connection
        ours, theirs = connection.our_state, connection.their_state
        if ours is h11.DONE and theirs is h11.DONE and not self._peer.context.terminated.is_set():
            connection.start_next_cycle()
            if self.pause is not None:
                self.pause.cancel()
            await self._peer.send(Updated(idle=True))
        elif ours in (h11.DONE, h11.MUST_CLOSE, h11.CLOSED):
            # The client may still be sending a body that nobody will read.
            await self._peer.send(Lingering() if theirs is h11.SEND_BODY else Closed())
        elif ours is h11.SWITCHED_PROTOCOL:
            await self._peer.send(Lingering())
        elif connection.their_http_version == b"1.0":
            # The end of the connection is the end of the body there: only a reset says that it is not whole.
            await self._peer.send(Aborted())
        else:
            await self._peer.send(Closed())

    async def _close_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.handle(StreamClosed(stream_id=STREAM_ID))


def _asks_for_websocket(headers: list[tuple[bytes, bytes]]) -> bool:
    upgrade = [value.strip().lower() for name, value in headers if name == b"upgrade"]
    tokens = b",".join(value for name, value in headers if name == b"connection").lower().split(b",")
    return upgrade == [b"websocket"] and any(token.strip() == b"upgrade" for token in tokens)


def _origin_form(target: bytes) -> bytes:
    """Path and query of a target in absolute form, as clients send it to proxies; other targets as they are."""
    if target[:1] == b"/":
        return target
    absolute = _ABSOLUTE.match(target)
    if absolute is None:
        return target
    rest = target[absolute.end() :]
    return rest if rest[:1] == b"/" else b"/" + rest
