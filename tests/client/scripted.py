"""A server that does what a script says, over real sockets, in threads: each request on it takes the next step.

A step gets the connection before the request was read, so it can refuse to read it, break off in the midst of an
answer, or say nothing. Steps that stall hold the connection until the server is left.
"""

from __future__ import annotations

import json
import select
import socket
import ssl
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import attrs

PATIENCE = 20.0


@attrs.frozen
class Received:
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    connection: int

    def json(self) -> Any:
        return json.loads(self.body)


@attrs.define(eq=False)
class Talk:
    """One connection of the server. `number` counts from 1, in the order in which they were accepted."""

    server: ScriptedServer
    sock: socket.socket
    number: int
    buffer: bytes = b""

    def read_request(self) -> Received:
        """Raises ConnectionError when the client leaves before its end."""
        head = self._until(b"\r\n\r\n").decode()
        first, *lines = head.split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
        if headers.get("transfer-encoding") == "chunked":
            body = b"".join(iter(self._chunk, b""))
        else:
            body = self._exactly(int(headers.get("content-length", "0")))
        received = Received(method, target, headers, body, self.number)
        self.server.note(received)
        return received

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def reset(self) -> None:
        """Close with an RST, as a process that is killed with unread data does."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def hold(self) -> None:
        """Say nothing more until the server is left or the client has gone."""
        self.server.stalled.set()
        with suppress(OSError):
            while not self.server.leaving.is_set() and self.sock.recv(65536):
                pass

    def _until(self, mark: bytes) -> bytes:
        while mark not in self.buffer:
            self.more()
        head, _, self.buffer = self.buffer.partition(mark)
        return head

    def _exactly(self, size: int) -> bytes:
        while len(self.buffer) < size:
            self.more()
        found, self.buffer = self.buffer[:size], self.buffer[size:]
        return found

    def _chunk(self) -> bytes:
        size = int(self._until(b"\r\n"), 16)
        return self._exactly(size + 2)[:size]

    def more(self) -> None:
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionError("the client left within its request")
        self.buffer += data


Step = Callable[[Talk], None]


@attrs.define(eq=False)
class ScriptedServer:
    """`received` are the requests that were read whole. Behind the end of the script, `otherwise` is the step."""

    sock: socket.socket
    otherwise: Step
    tls: ssl.SSLContext | None = None
    script: deque[Step] = attrs.field(factory=deque)
    received: list[Received] = attrs.field(factory=list)
    connections: int = 0
    stalled: threading.Event = attrs.field(factory=threading.Event)
    leaving: threading.Event = attrs.field(factory=threading.Event)
    talks: list[Talk] = attrs.field(factory=list)
    _lock: threading.Lock = attrs.field(factory=threading.Lock)

    @property
    def url(self) -> str:
        scheme, host = ("http", "127.0.0.1") if self.tls is None else ("https", "localhost")
        return f"{scheme}://{host}:{self.sock.getsockname()[1]}"

    def secured(self, sock: socket.socket) -> socket.socket:
        return sock if self.tls is None else self.tls.wrap_socket(sock, server_side=True)

    def then(self, *steps: Step) -> None:
        with self._lock:
            self.script.extend(steps)

    def note(self, received: Received) -> None:
        with self._lock:
            self.received.append(received)

    def next_step(self) -> Step:
        with self._lock:
            return self.script.popleft() if self.script else self.otherwise

    def accept(self) -> None:
        threads = []
        while not self.leaving.is_set():
            try:
                sock, _ = self.sock.accept()
            except OSError:
                break
            with self._lock:
                self.connections += 1
                talk = Talk(self, sock, self.connections)
                self.talks.append(talk)
            threads.append(threading.Thread(target=self.serve, args=(talk,), daemon=True))
            threads[-1].start()
        for thread in threads:
            thread.join(PATIENCE)

    def serve(self, talk: Talk) -> None:
        """One step a request, each begun when the request's first bytes are there."""
        with suppress(OSError), self.secured(talk.sock) as talk.sock:
            while talk.sock.fileno() >= 0:
                if not talk.buffer:
                    talk.more()
                self.next_step()(talk)


@contextmanager
def scripted(
    *steps: Step, otherwise: Step | None = None, tls: ssl.SSLContext | None = None
) -> Iterator[ScriptedServer]:
    sock = socket.create_server(("127.0.0.1", 0))
    server = ScriptedServer(sock, otherwise or answers({"ok": True}), tls, deque(steps))
    thread = threading.Thread(target=server.accept, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.leaving.set()
        _wake(server)
        thread.join(PATIENCE)
        assert not thread.is_alive(), "the scripted server does not end"


def _wake(server: ScriptedServer) -> None:
    """Out of accept and recv, which closing alone does not do."""
    with suppress(OSError):
        server.sock.shutdown(socket.SHUT_RDWR)
    server.sock.close()
    for talk in list(server.talks):
        with suppress(OSError):
            talk.sock.shutdown(socket.SHUT_RDWR)


@contextmanager
def refusing() -> Iterator[str]:
    """The URL of a port that refuses connections: it is bound, so nobody else gets it, and nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"


def head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Said", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def answer(status: int, body: bytes, headers: Mapping[str, str]) -> bytes:
    return head(status, {**headers, "Content-Length": str(len(body))}) + body


def chunked(pieces: Iterable[bytes]) -> bytes:
    """Without the end."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)


def answers(document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Step:
    """JSON, on a connection that stays open."""
    return says(answer(status, json.dumps(document).encode(), {"Content-Type": "application/json", **(headers or {})}))


def problem(status: int, code: str, headers: Mapping[str, str] | None = None, **more: Any) -> Step:
    document = {"status": status, "code": code, "detail": f"said {code}", "request_id": "r-1", **more}
    kind = {"Content-Type": "application/problem+json", **(headers or {})}
    return says(answer(status, json.dumps(document).encode(), kind))


def says(data: bytes) -> Step:
    """These bytes, and the connection stays open."""

    def step(talk: Talk) -> None:
        talk.read_request()
        talk.send(data)

    return step


def breaks_off(data: bytes, *, reset: bool = False) -> Step:
    """These bytes and then the end."""

    def step(talk: Talk) -> None:
        talk.read_request()
        talk.send(data)
        if reset:
            talk.reset()
        else:
            talk.sock.shutdown(socket.SHUT_WR)
            talk.hold()
            talk.sock.close()

    return step


def stalls(data: bytes = b"") -> Step:
    """These bytes and then nothing."""

    def step(talk: Talk) -> None:
        talk.read_request()
        if data:
            talk.send(data)
        talk.hold()

    return step


def drips(data: bytes, seconds: float) -> Step:
    """A byte at a time, that many seconds apart."""

    def step(talk: Talk) -> None:
        talk.read_request()
        for byte in data:
            talk.send(bytes([byte]))
            readable, _, _ = select.select([talk.sock], [], [], seconds)
            if readable or talk.server.leaving.is_set():
                return

    return step


def resets_unread(talk: Talk) -> None:
    talk.reset()


def resets_after_reading(talk: Talk) -> None:
    talk.read_request()
    talk.reset()
