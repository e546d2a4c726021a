"""HTTP/2 on one connection: hypercorn's protocol with backpressure, and with streams that can fail alone."""

from __future__ import annotations

from contextlib import suppress
from http import HTTPStatus
from typing import Any

import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import trio
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.events import Body, Request, StreamClosed
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.h2 import BufferCompleteError, H2Protocol
from hypercorn.typing import ConnectionState
from hypercorn.utils import filter_pseudo_headers

from kuzu_node.http.hypercorn_fixes.endings import Lingering
from kuzu_node.http.hypercorn_fixes.inbox import BodyInbox
from kuzu_node.http.hypercorn_fixes.peer import Peer
from kuzu_node.http.hypercorn_fixes.refusal import refusal
from kuzu_node.http.hypercorn_fixes.streams import RequestStream
from kuzu_node.http.hypercorn_fixes.tasks import OneApp

BUFFER_HIGH_WATER = 32 * 1024
PIECE = 64 * 1024
STREAM_WINDOW = 256 * 1024
CONNECTION_WINDOW = 1024 * 1024
FIRST_CONNECTION_WINDOW = 65535  # RFC 9113, 6.9.2


class StreamStalled(Exception):
    """The client has opened no window for a stream for the whole stall timeout."""


class StreamBuffer:
    """Has the interface of hypercorn's class of this name, but looks at the buffer, not at what was popped."""

    def __init__(self, stall_timeout: float) -> None:
        self.finished = False
        self._stall_timeout = stall_timeout
        self._buffer = bytearray()
        self._moved: trio.Event | None = None

    def set_complete(self) -> None:
        self.finished = True

    async def close(self) -> None:
        self.finished = True
        self._buffer.clear()
        self._wake()

    @property
    def complete(self) -> bool:
        return self.finished and not self._buffer

    async def push(self, data: bytes) -> None:
        """Waits until little is left. Raises StreamStalled when nothing leaves for the stall timeout."""
        if self.finished:
            raise BufferCompleteError()
        self._buffer += data
        await self._wait_below(BUFFER_HIGH_WATER)

    async def drain(self) -> None:
        await self._wait_below(1)

    async def pop(self, max_length: int) -> bytes:
        data = bytes(self._buffer[:max_length])
        if data:
            del self._buffer[: len(data)]
            self._wake()
        return data

    async def _wait_below(self, size: int) -> None:
        while len(self._buffer) >= size:
            self._moved = trio.Event()
            with trio.move_on_after(self._stall_timeout) as waiting:
                await self._moved.wait()
            if waiting.cancelled_caught:
                raise StreamStalled()

    def _wake(self) -> None:
        if self._moved is not None:
            self._moved.set()


class Http2(H2Protocol):
    """The reader task of the connection calls `handle` and is never held up by an app: windows bound what comes in."""

    pause = None
    held = 0

    def __init__(self, peer: Peer) -> None:
        super().__init__(
            peer.app,
            peer.config,
            peer.context,
            peer.tasks,  # type: ignore[arg-type]
            ConnectionState({}),
            peer.ssl,
            peer.client,
            peer.server,
            peer.send,
        )
        self._peer = peer
        # Answered streams whose client goes on sending: reset when the whole answer is out.
        self._unwanted: set[int] = set()
        # No extended CONNECT: a WebSocket whose app is slow would hold up every stream beside it.
        codes = h2.settings.SettingCodes
        self.connection.local_settings = h2.settings.Settings(
            client=False,
            initial_values={
                codes.MAX_CONCURRENT_STREAMS: peer.config.h2_max_concurrent_streams,
                codes.MAX_HEADER_LIST_SIZE: peer.config.head_limit,
                codes.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
            },
        )
        self.connection.decoder.max_header_list_size = peer.config.head_limit

    async def initiate(self, headers: list[tuple[bytes, bytes]] | None = None, settings: bytes | None = None) -> None:
        await super().initiate(headers, settings)
        self.connection.increment_flow_control_window(CONNECTION_WINDOW - FIRST_CONNECTION_WINDOW)
        await self._flush()

    async def resume(self) -> None:
        """Never paused."""

    async def handle(self, event: Event) -> None:
        if isinstance(event, RawData):
            try:
                events = self.connection.receive_data(event.data)
            except h2.exceptions.ProtocolError:
                await self._flush()  # the GOAWAY that says why
                await self.send(Lingering())
            else:
                await self._handle_events(events)
        elif isinstance(event, Closed):
            await super().handle(event)
            for buffer in list(self.stream_buffers.values()):
                await buffer.close()  # else apps that wait for a window would wait for ever

    async def _handle_events(self, events: list[h2.events.Event]) -> None:
        for event in events:
            if isinstance(event, h2.events.RequestReceived):
                await self._request(event)
            elif isinstance(event, h2.events.DataReceived):
                await self._data(event)
            else:
                await super()._handle_events([event])
        await self._flush()

    async def _priority_updated(self, event: h2.events.PriorityUpdated) -> None:
        """Ignored, as RFC 9113 allows: streams take turns, and a client cannot grow the tree."""

    async def _request(self, event: h2.events.RequestReceived) -> None:
        # Apps whose stream was reset still run for a moment; counting them bounds what resets can cost.
        if self.context.terminated.is_set() or self._peer.tasks.running >= self.config.h2_max_concurrent_streams:
            self._reset_stream(event.stream_id, h2.errors.ErrorCodes.REFUSED_STREAM)
        else:
            await self.send(Updated(idle=False))
            await self._create_stream(event)

    async def _create_stream(self, request: h2.events.RequestReceived) -> None:
        stream_id = request.stream_id
        pseudo = {name: value for name, value in request.headers if name[:1] == b":"}
        method, path = pseudo.get(b":method", b""), pseudo.get(b":path", b"")
        if method.upper() == b"CONNECT" or not path or not path.isascii() or not method.isascii():
            await self._refuse(stream_id, "the request has no method and path that this server can serve")
            return

        async def taken(size: int) -> None:
            await self._acknowledge(size, stream_id)

        stream = RequestStream(
            self.app,
            self.config,
            self.context,
            OneApp(self._peer.tasks, BodyInbox(taken=taken)),  # type: ignore[arg-type]
            self.ssl,
            self.client,
            self.server,
            self.stream_send,
            stream_id,
        )
        self.streams[stream_id] = stream
        self.stream_buffers[stream_id] = StreamBuffer(self._peer.config.stall_timeout)  # type: ignore[assignment]
        self.priority.insert_stream(stream_id)
        self.priority.block(stream_id)
        await stream.handle(
            Request(
                stream_id=stream_id,
                headers=filter_pseudo_headers(list(request.headers)),
                http_version="2",
                method=method.decode("ascii").upper(),
                raw_path=path,
                state=self.connection_state,
            )
        )

    async def _refuse(self, stream_id: int, detail: str) -> None:
        headers, body = refusal(HTTPStatus.BAD_REQUEST, detail)
        answer = [(b":status", b"400"), *headers, *self.config.response_headers("h2")]
        try:
            self.connection.send_headers(stream_id, answer)
            self.connection.send_data(stream_id, body, end_stream=True)
            self.connection.reset_stream(stream_id, h2.errors.ErrorCodes.NO_ERROR)
        except h2.exceptions.ProtocolError:
            pass  # reset meanwhile, or not even a window for the reason
        await self.send(Updated(idle=self.idle))

    async def _data(self, event: h2.events.DataReceived) -> None:
        stream_id, size = event.stream_id, event.flow_controlled_length
        stream = self.streams.get(stream_id)
        if stream is not None and not stream.closed:
            await stream.handle(Body(stream_id=stream_id, data=event.data))
            size -= len(event.data)  # those are acknowledged when the app takes them
        else:
            self._unwanted.add(stream_id)
            self._reset_unwanted(stream_id)
        if size:
            self.connection.acknowledge_received_data(size, stream_id)

    async def _acknowledge(self, size: int, stream_id: int) -> None:
        if size and not self.closed:
            try:
                self.connection.acknowledge_received_data(size, stream_id)
            except h2.exceptions.ProtocolError:
                return  # the connection has ended meanwhile
            await self._flush()

    async def stream_send(self, event: StreamEvent) -> None:
        try:
            if isinstance(event, Body) and len(event.data) > PIECE:
                for start in range(0, len(event.data), PIECE):
                    piece = Body(stream_id=event.stream_id, data=event.data[start : start + PIECE])
                    await super().stream_send(piece)
                return
            if isinstance(event, StreamClosed):
                await self._cut_unfinished(event.stream_id)
            await super().stream_send(event)
        except StreamStalled:
            await self._cut(event.stream_id, h2.errors.ErrorCodes.CANCEL)
            await self.send(Updated(idle=self.idle))

    async def _cut_unfinished(self, stream_id: int) -> None:
        """An app that returned in the middle of its answer: the client must not take it for the whole, or wait."""
        buffer: Any = self.stream_buffers.get(stream_id)
        if buffer is not None and not buffer.finished:
            await self._cut(stream_id, h2.errors.ErrorCodes.INTERNAL_ERROR)

    async def _cut(self, stream_id: int, code: h2.errors.ErrorCodes) -> None:
        self._reset_stream(stream_id, code)
        if stream_id in self.stream_buffers:
            await self.stream_buffers[stream_id].close()
        await self._flush()
        await self._close_stream(stream_id)
        await self._window_updated(stream_id)  # lets the sending task forget the stream

    async def _send_data(self, stream_id: int) -> None:
        await super()._send_data(stream_id)
        if self._reset_unwanted(stream_id):
            await self._flush()

    def _reset_unwanted(self, stream_id: int) -> bool:
        """Answered in full before the body was: the rest of it is not wanted. Whether it was time to say so."""
        if stream_id not in self._unwanted or stream_id in self.streams or stream_id in self.stream_buffers:
            return False
        self._unwanted.discard(stream_id)
        self._reset_stream(stream_id, h2.errors.ErrorCodes.NO_ERROR)
        return True

    def _reset_stream(self, stream_id: int, code: h2.errors.ErrorCodes) -> None:
        with suppress(h2.exceptions.ProtocolError):  # closed by the other side, maybe by the same read
            self.connection.reset_stream(stream_id, code)

    async def _close_stream(self, stream_id: int) -> None:
        stream = self.streams.get(stream_id)
        await super()._close_stream(stream_id)
        if stream is not None:
            # What nobody took counts against the window of the connection until it is acknowledged.
            inbox: Any = stream.app_put
            left = inbox.drop()
            if left:
                self._unwanted.add(stream_id)
                self._reset_unwanted(stream_id)
            await self._acknowledge(left, stream_id)
