"""The WebSocket below a session: connecting, TLS, the handshake, and frames that leave together."""

from __future__ import annotations

import urllib.parse
from collections.abc import Awaitable, Callable
from typing import Final

import attrs
import h11
import httpx
import trio
from trio_websocket import ConnectionRejected, WebSocketConnection, wrap_client_stream
from wsproto.utilities import ProtocolError

from kuzu_client._core.failures import from_answer
from kuzu_client._core.identifiers import segment
from kuzu_client._core.tls import ssl_context
from kuzu_client._core.wire import CONNECT_SECONDS, Endpoint
from kuzu_client.config import KuzuClientConfig
from kuzu_client.errors import KuzuAPIError, KuzuClientError, KuzuServerError, KuzuTimeoutError, KuzuTransientError
from kuzu_client.session.protocol import MAX_MESSAGE_BYTES, SUBPROTOCOL

# Messages that are read before the session has taken those before them; beyond that the socket is not read.
AHEAD: Final = 16
RECEIVE_BYTES: Final = 64 * 1024


# Sent by the handshake itself.
_OF_UPGRADES: Final = frozenset({"connection", "upgrade", "sec-websocket-key", "sec-websocket-version"})


def _nothing() -> None:
    return None


class JoiningStream(trio.abc.Stream):
    """While `holding`, what is sent waits for the next that is not: many frames, one system call and TLS record.

    A frame is kept or sent whole whatever gets cancelled, as long as the task that sends is not.
    """

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.holding = False
        self.on_end: Callable[[], None] = _nothing
        self._stream = stream
        self._held: list[bytes | bytearray | memoryview] = []

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        self._held.append(data)
        if self.holding:
            return
        joined, self._held = b"".join(self._held), []
        await self._stream.send_all(joined)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        ended = True
        try:
            data = await self._stream.receive_some(max_bytes)
            ended = not data
        finally:
            if ended:
                self.on_end()
        return data

    async def aclose(self) -> None:
        await self._stream.aclose()


@attrs.frozen
class Address:
    """Where a session connects to."""

    host: str
    port: int
    secure: bool
    path: str
    host_header: str
    headers: tuple[tuple[bytes, bytes], ...] = attrs.field(repr=False)  # the key is among them

    @classmethod
    def of(cls, endpoint: Endpoint, graph_id: str) -> Address:
        """Raises ValueError for a graph that cannot be part of a path, KuzuClientError for headers that cannot be."""
        parts = urllib.parse.urlsplit(endpoint.base_url)
        assert parts.hostname is not None
        port = parts.port or (443 if endpoint.secure else 80)
        path = f"{parts.path}/databases/{segment(graph_id)}/session"
        headers = {name.lower(): value for name, value in endpoint.headers.items()}
        host = headers.pop("host", parts.netloc.rpartition("@")[2])
        others = tuple((name.encode(), value.encode()) for name, value in headers.items() if name not in _OF_UPGRADES)
        try:
            h11.Request(method="GET", target=path, headers=[(b"host", host.encode()), *others])
        except h11.LocalProtocolError as error:
            raise KuzuClientError(f"the request cannot be sent: {error}", committed=False) from error
        return cls(parts.hostname, port, endpoint.secure, path, host, others)


Dial = Callable[[Address, KuzuClientConfig], Awaitable[trio.abc.Stream]]


@attrs.frozen
class Socket:
    """`messages` of the WebSocket on the stream below it."""

    messages: WebSocketConnection
    stream: JoiningStream

    async def send(self, texts: list[str]) -> None:
        """All in one write. Not to be cancelled unless the socket is closed after it."""
        self.stream.holding = True
        try:
            for text in texts[:-1]:
                await self.messages.send_message(text)
        finally:
            self.stream.holding = False
        await self.messages.send_message(texts[-1])

    async def aclose(self, code: int = 1000) -> None:
        """Returns when the node has taken leave too."""
        # Whoever sends just now is not going to send the last of its frames, which this one would wait for.
        self.stream.holding = False
        await self.messages.aclose(code)


async def connect(address: Address, config: KuzuClientConfig) -> trio.abc.Stream:
    """Raises KuzuTransientError with `committed` False; cancelled, it leaves nothing open."""
    try:
        with trio.fail_after(min(CONNECT_SECONDS, config.timeout)):
            stream: trio.abc.Stream = await trio.open_tcp_stream(address.host, address.port)
            if not address.secure:
                return stream
            tls = trio.SSLStream(stream, ssl_context(config), server_hostname=address.host, https_compatible=True)
            try:
                await tls.do_handshake()
            except BaseException:
                await trio.aclose_forcefully(stream)
                raise
            return tls
    except trio.TooSlowError:
        raise KuzuTimeoutError("could not connect in time", committed=False) from None
    except (OSError, trio.BrokenResourceError) as error:
        words = error.__cause__ or error
        raise KuzuTransientError(f"could not connect: {words}", committed=False) from error


async def run_socket(
    stream: trio.abc.Stream,
    address: Address,
    *,
    task_status: trio.TaskStatus[Socket] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Reads the stream until it ends; `started` when the node has accepted.

    Raises KuzuAPIError when it does not. What goes wrong later closes the WebSocket, and those who read from it see it.
    """
    joining = JoiningStream(stream)
    accepted = False
    refusal: BaseException | None = None
    try:
        async with trio.open_nursery(strict_exception_groups=True) as nursery:
            joining.on_end = nursery.cancel_scope.cancel  # trio-websocket would wait for the answer for ever
            messages = await wrap_client_stream(
                nursery,
                joining,  # type: ignore[arg-type] # documented as any trio.abc.Stream
                address.host_header,
                address.path,
                subprotocols=[SUBPROTOCOL],
                extra_headers=list(address.headers),
                message_queue_size=AHEAD,
                max_message_size=MAX_MESSAGE_BYTES,
                receive_buffer_size=RECEIVE_BYTES,
            )
            joining.on_end = _nothing
            if messages.subprotocol != SUBPROTOCOL:
                raise KuzuServerError(f"the node does not speak {SUBPROTOCOL}", committed=False)
            accepted = True
            task_status.started(Socket(messages, joining))
    except* (ConnectionRejected, ProtocolError, h11.LocalProtocolError, KuzuServerError) as group:
        refusal = group.exceptions[0]
    finally:
        await trio.aclose_forcefully(stream)
    if not accepted:
        raise _refused(refusal) from refusal


def _refused(refusal: BaseException | None) -> KuzuAPIError:
    if isinstance(refusal, KuzuServerError):
        return refusal
    if isinstance(refusal, ConnectionRejected):
        error = from_answer(refusal.status_code, httpx.Headers(list(refusal.headers)), bytes(refusal.body or b""))
        error.committed = False
        return error
    if refusal is not None:
        return KuzuServerError("what answered is no WebSocket", committed=False)
    return KuzuTransientError("the connection ended before a session was accepted", committed=False)
