"""Listens and serves: our settings for hypercorn, our sockets, and the order in which a server shuts down.

The composition root awaits `run_server` with the app; docs/server.md says what is repaired in hypercorn and why.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from ssl import SSLContext, VerifyMode

import attrs
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ASGIFramework

from kuzu_node.http.hypercorn_fixes import Connection, ServerConfig

BACKLOG = 2048
TLS_HANDSHAKE_SECONDS = 10
KEEPALIVE_PROBE_SECONDS = 60

Address = tuple[str, int]


@attrs.frozen(kw_only=True)
class ServerOptions:
    """Times in seconds, sizes in bytes. `port` 0 takes a free one; TLS is on with `certfile` and `keyfile`.

    The app answers 431 and 414 beyond `max_header_size` and `max_path_length`; heads too long for that
    (`head_limit`) are refused by the server. `keep_alive_timeout` also bounds the arrival of a request's head.
    """

    host: str
    port: int
    drain_seconds: float
    stall_timeout: float
    max_websocket_message: int
    max_header_size: int
    max_path_length: int
    keep_alive_timeout: float = 15.0
    certfile: str | None = None
    keyfile: str | None = None
    client_ca: str | None = None

    @property
    def head_limit(self) -> int:
        return max(64 * 1024, 2 * (self.max_header_size + self.max_path_length))


async def run_server(
    app: ASGIFramework,
    options: ServerOptions,
    *,
    shutdown: Callable[[], Awaitable[None]],
    task_status: trio.TaskStatus[list[Address]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serves until `shutdown` returns, then lets requests under way finish for `drain_seconds`.

    `task_status` is started with the bound addresses. Raises OSError when an address cannot be bound and
    ssl.SSLError when the certificates are wrong, before it is started. Idle connections close at once at a
    shutdown; when the time is over the apps are cancelled and their connections reset.
    """
    config = _config(options)
    tls = config.create_ssl_context()
    context = WorkerContext(None)
    wrapped = ASGIWrapper(app)

    async def serve_connection(stream: trio.SocketStream | trio.SSLStream[trio.SocketStream]) -> None:
        await Connection(wrapped, config, context, stream).run()

    with _listening_sockets(options) as sockets:
        listeners = [_listener(sock, tls) for sock in sockets]
        async with trio.open_nursery() as connections:
            async with trio.open_nursery() as accepting:
                serve = partial(trio.serve_listeners, handler_nursery=connections)
                await accepting.start(serve, serve_connection, listeners)
                task_status.started([sock.getsockname()[:2] for sock in sockets])
                await shutdown()
                await context.terminated.set()
                accepting.cancel_scope.cancel()
            connections.cancel_scope.deadline = trio.current_time() + options.drain_seconds


def _config(options: ServerOptions) -> ServerConfig:
    config = ServerConfig()
    config.stall_timeout = options.stall_timeout
    config.head_limit = options.head_limit
    config.keep_alive_timeout = options.keep_alive_timeout
    config.ssl_handshake_timeout = TLS_HANDSHAKE_SECONDS
    config.websocket_max_message_size = options.max_websocket_message
    config.certfile = options.certfile
    config.keyfile = options.keyfile
    if options.client_ca is not None:
        config.ca_certs = options.client_ca
        config.verify_mode = VerifyMode.CERT_REQUIRED
    return config


@contextmanager
def _listening_sockets(options: ServerOptions) -> Iterator[list[socket.socket]]:
    """One socket for each address of the host, all on the same port."""
    with ExitStack() as stack:
        sockets: list[socket.socket] = []
        port = options.port
        found = socket.getaddrinfo(options.host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, host in dict.fromkeys((entry[0], str(entry[4][0])) for entry in found):
            sock = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
            _prepare(sock, options.stall_timeout)
            sock.bind((host, port))
            sock.listen(BACKLOG)
            port = sock.getsockname()[1]
            sockets.append(sock)
        yield sockets


def _prepare(sock: socket.socket, stall_timeout: float) -> None:
    """Accepted sockets inherit all of this on Linux."""
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    # Without these a peer that lost its power stays connected: with data under way until the kernel has tried
    # for a quarter of an hour, without any for ever.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(stall_timeout * 1000))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_PROBE_SECONDS)


def _listener(sock: socket.socket, tls: SSLContext | None) -> trio.SocketListener | trio.SSLListener[trio.SocketStream]:
    listener = trio.SocketListener(trio.socket.from_stdlib_socket(sock))
    return listener if tls is None else trio.SSLListener(listener, tls, https_compatible=True)
