"""Ways to ask a node for one small answer, as many at a time as there are tasks or threads; for bench.client_calls."""

from __future__ import annotations

import json
import statistics
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from functools import partial

import anyio
import anyio.abc
import attrs
import httpcore
import httpx

from kuzu_client import AsyncKuzuClient, KuzuClient
from kuzu_client._async.concurrency import LoopBackend
from kuzu_client.errors import KuzuAPIError

GRAPH = "calls"
CYPHER = "RETURN 1 AS one"
ASKED = {"cypher": CYPHER, "read_only": True}
PATH = f"/databases/{GRAPH}/query"
WARM_SECONDS = 0.5
# More than the default of 20, so that the pools are compared and not what they do when that is too few.
WIDE = httpx.Limits(max_connections=100, max_keepalive_connections=100)
BASE = "httpx"
VARIANTS = {
    "httpx": "one httpx client as it comes",
    "each": "an httpx client for each task",
    "wide": "one httpx client that keeps 100 connections",
    "pool": "our client over httpx's own transport, keeping 100",
    "lifo": "our client over a stack of httpcore's connections",
    "client": "our client as it comes",
    "session": "one session of our client (Trio alone)",
    "plain": "a bare connection for each task",
}
# What a canned HTTP server answers.
OVER_HTTP = tuple(name for name in VARIANTS if name != "session")
IN_THREADS = ("httpx", "each", "wide", "pool", "client")
Ask = Callable[[], Awaitable[object]]
SyncAsk = Callable[[], object]


@attrs.frozen(kw_only=True)
class Figures:
    """`rate` calls a second; `cpu` of this process and `p50` in microseconds a call; `failed` calls."""

    rate: float
    cpu: float
    p50: float
    failed: int


class LifoTransport(httpx.AsyncBaseTransport):
    """httpcore's HTTP/1.1 connections on a stack, with no limits: how far one gets without h11 at hand."""

    def __init__(self, url: str) -> None:
        at = httpx.URL(url)
        assert at.port is not None
        self._origin = httpcore.Origin(b"http", at.raw_host, at.port)
        self._idle: deque[httpcore.AsyncHTTP11Connection] = deque()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        origin = self._origin
        url = httpcore.URL(scheme=b"http", host=origin.host, port=origin.port, target=request.url.raw_path)
        assert isinstance(request.stream, httpx.AsyncByteStream)
        asked = httpcore.Request(
            request.method, url, headers=request.headers.raw, content=request.stream, extensions=request.extensions
        )
        connection = self._idle.pop() if self._idle else None
        if connection is None or connection.has_expired():
            stream = await LoopBackend().connect_tcp(origin.host.decode(), origin.port)
            connection = httpcore.AsyncHTTP11Connection(origin, stream, 5.0)
        answer = await connection.handle_async_request(asked)
        body = LifoBody(answer, self._idle, connection)
        return httpx.Response(answer.status, headers=answer.headers, stream=body)

    async def aclose(self) -> None:
        for connection in self._idle:
            await connection.aclose()


@attrs.define(eq=False)
class LifoBody(httpx.AsyncByteStream):
    answer: httpcore.Response
    idle: deque[httpcore.AsyncHTTP11Connection]
    connection: httpcore.AsyncHTTP11Connection

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self.answer.aiter_stream().__aiter__()

    async def aclose(self) -> None:
        await self.answer.aclose()
        if self.connection.is_idle():
            self.idle.append(self.connection)


@asynccontextmanager
async def over_httpx(url: str, limits: httpx.Limits | None = None) -> AsyncIterator[Ask]:
    given = {} if limits is None else {"limits": limits}
    async with httpx.AsyncClient(base_url=url, **given) as client:

        async def ask() -> object:
            return (await client.post(PATH, json=ASKED)).raise_for_status().json()

        yield ask


@asynccontextmanager
async def over_ours(url: str, transport: httpx.AsyncBaseTransport | None) -> AsyncIterator[Ask]:
    async with AsyncKuzuClient(url, graph_id=GRAPH, transport=transport, max_retries=0) as client:
        yield partial(client.query, CYPHER, read_only=True)


@asynccontextmanager
async def over_session(url: str) -> AsyncIterator[Ask]:
    async with AsyncKuzuClient(url, graph_id=GRAPH) as client, client.session() as session:
        yield partial(session.query, CYPHER, read_only=True)


@asynccontextmanager
async def plain(url: str) -> AsyncIterator[Ask]:
    """With neither a parser nor a check: nothing can be below it."""
    at = httpx.URL(url)
    assert at.port is not None
    body = json.dumps(ASKED).encode()
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    request = head.encode() + body
    async with await anyio.connect_tcp(at.host, at.port) as stream:

        async def ask() -> object:
            await stream.send(request)
            answer = await stream.receive()
            while not answer.endswith(b"}"):
                answer += await stream.receive()
            return json.loads(answer.partition(b"\r\n\r\n")[2])

        yield ask


def opened(variant: str, url: str) -> AbstractAsyncContextManager[Ask]:
    match variant:
        case "httpx" | "each":
            return over_httpx(url)
        case "wide":
            return over_httpx(url, WIDE)
        case "plain":
            return plain(url)
        case "session":
            return over_session(url)
        case "pool":
            return over_ours(url, httpx.AsyncHTTPTransport(limits=WIDE))
        case "lifo":
            return over_ours(url, LifoTransport(url))
    return over_ours(url, None)


@contextmanager
def opened_in_threads(variant: str, url: str) -> Iterator[SyncAsk]:
    if variant in ("httpx", "each", "wide"):
        limits = {"limits": WIDE} if variant == "wide" else {}
        with httpx.Client(base_url=url, **limits) as client:
            yield lambda: client.post(PATH, json=ASKED).raise_for_status().json()
        return
    transport = httpx.HTTPTransport(limits=WIDE) if variant == "pool" else None
    with KuzuClient(url, graph_id=GRAPH, transport=transport, max_retries=0) as ours:
        yield partial(ours.query, CYPHER, read_only=True)


@attrs.define(eq=False)
class Watch:
    """Times of calls between `begin` and `figures`."""

    times: list[float] = attrs.field(factory=list)
    failed: int = 0
    _began: tuple[float, float] = (0.0, 0.0)

    def begin(self) -> None:
        self.times.clear()
        self.failed = 0
        self._began = time.perf_counter(), time.process_time()

    def figures(self) -> Figures:
        seconds, spent = time.perf_counter() - self._began[0], time.process_time() - self._began[1]
        done = max(len(self.times), 1)
        p50 = statistics.median(self.times or [0.0])
        return Figures(rate=len(self.times) / seconds, cpu=spent / done * 1e6, p50=p50 * 1e6, failed=self.failed)


async def drive(variant: str, url: str, tasks: int, seconds: float) -> Figures:
    watch = Watch()

    async def one(ask: Ask) -> None:
        while True:
            began = time.perf_counter()
            try:
                await ask()
            except (httpx.HTTPError, KuzuAPIError):
                watch.failed += 1
            else:
                watch.times.append(time.perf_counter() - began)

    async with AsyncExitStack() as stack:
        own = variant in ("each", "plain")
        asks = [await stack.enter_async_context(opened(variant, url)) for _ in range(tasks if own else 1)]
        async with anyio.create_task_group() as group:
            for number in range(tasks):
                group.start_soon(one, asks[number % len(asks)])
            await anyio.sleep(WARM_SECONDS)
            watch.begin()
            await anyio.sleep(seconds)
            figures = watch.figures()
            group.cancel_scope.cancel()
    return figures


def drive_threads(variant: str, url: str, tasks: int, seconds: float) -> Figures:
    watch = Watch()
    ended = threading.Event()

    def one(ask: SyncAsk) -> None:
        while not ended.is_set():
            began = time.perf_counter()
            try:
                ask()
            except (httpx.HTTPError, KuzuAPIError):
                watch.failed += 1
            else:
                watch.times.append(time.perf_counter() - began)

    with ExitStack() as stack:
        asks = [stack.enter_context(opened_in_threads(variant, url)) for _ in range(tasks if variant == "each" else 1)]
        threads = [threading.Thread(target=one, args=(asks[number % len(asks)],)) for number in range(tasks)]
        for thread in threads:
            thread.start()
        ended.wait(WARM_SECONDS)
        watch.begin()
        ended.wait(seconds)
        figures = watch.figures()
        ended.set()
        for thread in threads:
            thread.join()
    return figures
