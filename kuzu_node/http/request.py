"""One HTTP request: its headers, its path parameters, and its body read under limits. Handlers get it from the app."""

from __future__ import annotations

import enum
import math
import random
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import parse_qsl

import attrs
import msgspec
import trio

from kuzu_node.config.values import NodeConfig
from kuzu_node.errors import Fault, InvalidBody, NodeError, NotFound, RequestRefused
from kuzu_node.http.long_body import check_json, read_long
from kuzu_node.http.response import Header, Message, Receive, Send
from kuzu_node.http.structure import Bodies
from kuzu_node.http.watch import Watch, Watched

T = TypeVar("T")

REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")
TRACEPARENT: Final = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
GRAPH_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
TRUTH: Final = {"true": True, "1": True, "false": False, "0": False}
LENGTH_DIGITS: Final = 18
DECODER: Final = msgspec.json.Decoder()
NOT_JSON: Final = (RecursionError, msgspec.DecodeError, UnicodeDecodeError)

# A body has to move at least so fast, or a byte now and then would hold the request open for ever.
SLOWEST_BODY: Final = 1024

# A longer body is taken apart in a thread, and in pieces: 10 MiB of small values take a second.
READ_IN_THREAD: Final = 32 * 1024


class ClientGone(Exception):
    """The client went away before its body was complete: there is nobody to answer."""


class Work(Protocol):
    """What knows whether the effects of this request are durable; an engine query is one."""

    committed: bool | None


@attrs.define(eq=False)
class Effect:
    """The work of an operation that does not keep its own account: once begun, nobody knows."""

    committed: bool | None


class Stage(enum.Enum):
    """What a request is at until its answer starts: this decides what its cancellation means."""

    BODY = enum.auto()
    WORK = enum.auto()


@attrs.frozen
class Context:
    """What all requests of an app share.

    `files` bounds the threads that write uploads to the disk, `readers` those that take long JSON bodies apart, and
    `turn` is whose long parameter is a value at the moment: many at once would make each garbage collection long.
    """

    config: NodeConfig
    watch: Watch
    files: trio.CapacityLimiter
    readers: trio.CapacityLimiter
    turn: AbstractContextManager[object]
    bodies: Bodies
    openapi: bytes
    docs: bytes


@attrs.define(eq=False)
class Request:
    """`work` is what an error of this request is asked about: what it knows to be committed."""

    scope: Mapping[str, Any]
    receive: Receive
    send: Send
    context: Context
    watched: Watched
    id: bytes
    headers: Mapping[bytes, bytes]
    stage: Stage = Stage.BODY
    params: Mapping[str, str] = attrs.field(factory=dict)
    extra_headers: Sequence[Header] = ()
    template: str | None = None
    is_statement: bool = False
    work: Work | None = None
    started: bool = False
    body_ended: bool = False
    _received: int = 0
    _body_began: float | None = None
    _work_began: float | None = None
    _work_ended: float | None = None

    @property
    def method(self) -> str:
        method: str = self.scope["method"]
        return method

    @property
    def raw_path(self) -> bytes:
        path: bytes = self.scope["raw_path"]
        return path

    @property
    def is_http1(self) -> bool:
        version: str = self.scope["http_version"]
        return version.startswith("1")

    @property
    def content_length(self) -> int | None:
        """The announced length of the body. Raises RequestRefused for what is no number."""
        given = self.headers.get(b"content-length")
        if given is None:
            return None
        if not given.isdigit() or len(given) > LENGTH_DIGITS:
            raise RequestRefused("Content-Length is not a number")
        return int(given)

    @property
    def body_unread(self) -> bool:
        """The client may still be sending. Only HTTP/1 announces every body."""
        if self.body_ended:
            return False
        if self.is_http1:
            return self.headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in self.headers
        return self.method not in ("GET", "HEAD")

    @property
    def ambiguous_length(self) -> bool:
        """Two headers tell different ends of the body: nothing that follows on this connection can be trusted."""
        return b"transfer-encoding" in self.headers and b"content-length" in self.headers

    @property
    def graph_id(self) -> str:
        """The database named in the path. Raises NotFound for what cannot be a name, before any path is built."""
        name = self.params["graph_id"]
        if GRAPH_ID.fullmatch(name) is None:
            raise NotFound("a database name has 1 to 64 letters, digits, _ and -")
        return name

    def query_value(self, name: str) -> str | None:
        """The last value of a parameter of the query string."""
        raw: bytes = self.scope.get("query_string", b"")
        if not raw:
            return None
        values = [value for key, value in parse_qsl(raw.decode("latin-1"), keep_blank_values=True) if key == name]
        return values[-1] if values else None

    def query_flag(self, name: str, default: bool) -> bool:
        """A parameter that is true or false."""
        value = self.query_value(name)
        if value is None:
            return default
        flag = TRUTH.get(value.lower())
        if flag is None:
            raise invalid(f"query.{name}", "must be true or false")
        return flag

    def begin_work(self, seconds: float, work: Work | None = None) -> None:
        """The body is read; what follows ends after `seconds` or with the client, and `work` knows what it has done."""
        self.work = work
        # What has no time limit, a load, is not slow because it takes long.
        self._work_began = trio.current_time() if seconds < math.inf else None
        if not self.watched.scope.cancel_called:
            self.stage = Stage.WORK
        self.watched.expect(seconds)
        if not self.body_unread:
            self.watched.listen()

    def committed_by(self, error: NodeError) -> bool | None:
        """What is durable after `error`: its own word, else that of the work, else nothing, since none had begun."""
        if error.is_statement or self.work is None:
            return error.committed if error.is_statement else False
        return self.work.committed

    def begin_delivery(self) -> None:
        """The result is there: the time for the work does not cover what follows."""
        self._work_ended = trio.current_time()
        self.watched.relax()

    def work_seconds(self, now: float) -> float:
        """How long the work has taken, without the body before it and the delivery behind it; 0 before it begins."""
        return 0.0 if self._work_began is None else (self._work_ended or now) - self._work_began

    async def send_within(self, seconds: float, message: Message) -> None:
        """Send a part of the answer to a client that has to take it within `seconds`, else the request is cancelled."""
        self.started = True
        self.watched.expect(seconds)
        await self.send(message)
        self.watched.relax()

    async def read_json(self, model: type[T]) -> T:
        """The body as a `model`. Raises RequestRefused for what is no JSON, InvalidBody with paths."""
        body = await self.read_body()
        if len(body) <= READ_IN_THREAD:
            return self.context.bodies.read(decode_json(body), model)
        return await trio.to_thread.run_sync(self._read_long, body, model, limiter=self.context.readers)

    def _read_long(self, body: bytes, model: type[T]) -> T:
        try:
            document = read_long(body, model, self.context.turn)
        except NOT_JSON as error:
            raise not_json(body, error) from error
        return self.context.bodies.read(document, model)

    async def read_body(self) -> bytes:
        """The whole body, at most `max_request_size` bytes. Raises as `receive_some` does, and when it is too large."""
        limit = self.context.config.http.max_request_size
        chunks: list[bytes] = []
        while not self.body_ended:
            chunks.append(await self.receive_some())
            if self._received > limit:
                raise too_large(limit)
        return b"".join(chunks)

    async def receive_some(self) -> bytes:
        """The next bytes of the body, b"" at the latest when `body_ended` is true.

        Raises ClientGone. The request is cancelled when nothing comes for `body_idle_seconds` or all comes too slowly.
        """
        idle = self.context.config.http.body_idle_seconds
        now = trio.current_time()
        if self._body_began is None:
            self._body_began = now
        slowest = self._body_began + idle + self._received / SLOWEST_BODY
        self.watched.expect(min(idle, slowest - now))
        message = await self.receive()
        self.watched.relax()
        return self._take(message)
        raise RequestRefused(
            f"the body stalled: nothing for {idle:g} seconds, or less than {SLOWEST_BODY} bytes a second"
        )

    def _take(self, message: Message) -> bytes:
        if message["type"] == "http.disconnect":
            self.body_ended = True
            raise ClientGone
        body: bytes = message.get("body", b"")
        self._received += len(body)
        self.body_ended = not message.get("more_body", False)
        return body


def decode_json(body: bytes) -> Any:
    """Parse a JSON body. Raises RequestRefused that says where it stops being JSON."""
    try:
        return DECODER.decode(body)
    except NOT_JSON as error:
        raise not_json(body, error) from error


def not_json(body: bytes, error: Exception) -> RequestRefused:
    """For one of NOT_JSON, raised by a decoder of the body or of a part of it."""
    if isinstance(error, RecursionError):
        return RequestRefused("the body is nested too deeply", faults=(Fault("$", "nested too deeply"),))
    detail = _complaint(body, error) if body else "the body is empty"
    return RequestRefused(f"the body is not JSON in UTF-8: {detail}", faults=(Fault("$", detail),))


def _complaint(body: bytes, error: Exception) -> str:
    """The same words for a body of any length: those of the check for what is no JSON, else without a place in it."""
    try:
        check_json(body)
    except msgspec.DecodeError as found:
        return str(found)
    return str(error).partition(" - at `")[0]


def too_large(limit: int) -> RequestRefused:
    return RequestRefused(f"the body is longer than {limit} bytes", code="too_large")


def invalid(path: str, message: str) -> InvalidBody:
    """A refusal with a single fault."""
    return InvalidBody(f"{path} {message}", faults=(Fault(path, message),))


def collect_headers(raw: list[Header]) -> dict[bytes, bytes]:
    """Headers by lower-case name; those sent more than once are joined by commas."""
    headers = dict(raw)
    if len(headers) == len(raw):
        return headers
    headers.clear()
    for name, value in raw:
        headers[name] = headers[name] + b", " + value if name in headers else value
    return headers


def request_id(headers: Mapping[bytes, bytes]) -> bytes:
    """The client's own id when it is well-formed, else a new one."""
    given = headers.get(b"x-request-id")
    if given is not None and REQUEST_ID.fullmatch(given) is not None:
        return given
    return b"%032x" % random.getrandbits(128)
