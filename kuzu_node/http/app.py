"""The ASGI callable: route, policy, handler, response. `serve` runs it; every request passes through `App._answer`."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import attrs
import structlog
import trio

from kuzu_node.core.groups import unwrapped
from kuzu_node.core.routing import Mismatch, Router
from kuzu_node.errors import Internal, NodeError, NotFound, QueryTimeout, RequestRefused
from kuzu_node.http.cors import Cors
from kuzu_node.http.docs import docs_page
from kuzu_node.http.errors import problem
from kuzu_node.http.openapi import openapi_document
from kuzu_node.http.policy import Gatekeeper
from kuzu_node.http.ports import Node
from kuzu_node.http.request import (
    GRAPH_ID,
    TRACEPARENT,
    ClientGone,
    Context,
    Request,
    Stage,
    collect_headers,
    request_id,
)
from kuzu_node.http.response import (
    CLIENT_GONE,
    Receive,
    Response,
    Send,
    Streamed,
    discard_body,
    send_early,
    send_response,
)
from kuzu_node.http.route import Route
from kuzu_node.http.routes import ROUTES
from kuzu_node.http.session import Upgrades
from kuzu_node.http.structure import Bodies
from kuzu_node.http.watch import open_watch

BROKEN: Final = Streamed(200, broken=True)
UPLOAD_THREADS: Final = 4
BODY_THREADS: Final = 2
SMALL_REST_DIGITS: Final = range(1, 6)  # announced below 100 000 bytes
REST_SECONDS: Final = 1.0


@asynccontextmanager
async def open_app(node: Node) -> AsyncIterator[App]:
    """The app over a node, ready to be served. Leaving the block ends its watch over requests."""
    async with open_watch() as watch:
        context = Context(
            config=node.config,
            watch=watch,
            files=trio.CapacityLimiter(UPLOAD_THREADS),
            readers=trio.CapacityLimiter(BODY_THREADS),
            turn=threading.Lock(),
            bodies=Bodies(),
            openapi=openapi_document(ROUTES),
            docs=docs_page(),
        )
        yield App(node, context)


@attrs.define(eq=False)
class App:
    """Answers HTTP; the only state is the node's. An answer that was broken off is returned from without an end."""

    node: Node
    context: Context
    _router: Router[Route] = attrs.field(init=False)
    _gatekeeper: Gatekeeper = attrs.field(init=False)
    _cors: Cors = attrs.field(init=False)
    _upgrades: Upgrades = attrs.field(init=False)
    _log: Any = attrs.field(init=False, factory=lambda: structlog.get_logger().bind())

    def __attrs_post_init__(self) -> None:
        config = self.context.config.http
        self._router = Router((route.method, route.template, route) for route in ROUTES)
        self._gatekeeper = Gatekeeper(self.node, config)
        self._cors = Cors(config.cors_origins)
        self._upgrades = Upgrades(self.node, self.context, self._gatekeeper)

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "http":
            await self._serve_request(scope, receive, send)
        elif kind == "lifespan":
            await _acknowledge_lifespan(receive, send)
        elif kind == "websocket":
            await self._upgrades.serve(scope, receive, send)

    async def _serve_request(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        began = trio.current_time()
        headers = collect_headers(scope["headers"])
        watched = self.context.watch.over(receive)
        request = Request(scope, receive, send, self.context, watched, request_id(headers), headers)
        request.extra_headers = [(b"x-request-id", request.id), *self._cors.headers(request)]
        outcome: Response | Streamed = BROKEN
        with watched:
            outcome = await self._attempt(request)
            if isinstance(outcome, Response):
                await self._send(request, outcome)
        if watched.scope.cancelled_caught:
            outcome = await self._cut_off(request)
        self._write_log(request, outcome, began)

    def _write_log(self, request: Request, outcome: Response | Streamed, began: float) -> None:
        now = trio.current_time()
        names = {"route": request.template, "request_id": request.id.decode(), **_names_of(request)}
        self._log.info(
            "request",
            method=request.method,
            status=outcome.status,
            duration_ms=round((now - began) * 1000, 3),
            **({"broken": True} if isinstance(outcome, Streamed) and outcome.broken else {}),
            **names,
        )
        work_ms = request.work_seconds(now) * 1000
        if work_ms and work_ms >= self.context.config.log.slow_query_ms:
            self._log.warning("slow_query", work_ms=round(work_ms, 3), **names)

    async def _attempt(self, request: Request) -> Response | Streamed:
        try:
            with unwrapped():
                return await self._answer(request)
        except Exception as error:
            return self._failure(request, error)

    async def _cut_off(self, request: Request) -> Response | Streamed:
        """What the end of a cancelled request is: silence to a client that is gone or does not read, else a refusal."""
        if request.watched.client_gone:
            return CLIENT_GONE
        if request.started:
            return BROKEN
        if request.stage is Stage.WORK:
            error: NodeError = QueryTimeout("the request took longer than its time limit")
        else:
            error = RequestRefused("the body came too slowly or not at all")
        response = self._problem(request, error)
        with trio.move_on_after(self.context.config.http.stall_timeout):
            await self._send(request, response)
        return response

    async def _answer(self, request: Request) -> Response | Streamed:
        self._gatekeeper.check_envelope(request)
        found = self._router.match(request.method, request.raw_path)
        if isinstance(found, Mismatch):
            return self._unrouted(request, found.allowed)
        route = found.value
        request.params = found.params
        request.template = route.template
        request.is_statement = route.policy.is_statement
        self._gatekeeper.enforce(route.policy, request)
        return await route.handler(self.node, request)

    def _unrouted(self, request: Request, allowed: tuple[str, ...]) -> Response:
        if not allowed:
            raise NotFound("there is nothing at this path; /docs shows what there is", code="unknown_route")
        if request.method == "OPTIONS" and self._cors.allows(request):
            return self._cors.preflight(allowed)
        refusal = RequestRefused(f"this path takes {', '.join(allowed)}", code="method_not_allowed")
        response = problem(refusal, request.id.decode())
        return attrs.evolve(response, headers=((b"allow", ", ".join(allowed).encode()),))

    def _failure(self, request: Request, error: Exception) -> Response | Streamed:
        """What is left to send after an error; nothing when the client is gone or has seen a part of the answer."""
        if isinstance(error, ClientGone):
            return CLIENT_GONE
        if not isinstance(error, NodeError):
            names = {"route": request.template, "request_id": request.id.decode()}
            self._log.error("request_failed", exc_info=error, **names)
            error = Internal("the node failed to answer this request", is_statement=request.work is not None)
        return BROKEN if request.started else self._problem(request, error)

    def _problem(self, request: Request, error: NodeError) -> Response:
        if not request.is_statement and not error.is_statement:
            return problem(error, request.id.decode())
        return problem(error, request.id.decode(), {"committed": request.committed_by(error)})

    async def _send(self, request: Request, response: Response) -> None:
        extra = request.extra_headers
        if request.body_unread:
            await _read_small_rest(request)
        unread = request.body_unread
        if request.is_http1 and (unread or request.ambiguous_length):
            extra = [*extra, (b"connection", b"close")]
        request.started = True
        request.watched.expect(self.context.config.http.stall_timeout)
        if unread:
            await send_early(request.receive, request.send, response, extra)
        else:
            await send_response(request.send, response, extra)


async def _read_small_rest(request: Request) -> None:
    """Read what is left of a body that fits a buffer anyway: that is cheaper than a new connection."""
    if len(request.headers.get(b"content-length", b"")) in SMALL_REST_DIGITS:
        with trio.move_on_after(REST_SECONDS):
            await discard_body(request.receive)
            request.body_ended = True


async def _acknowledge_lifespan(receive: Receive, send: Send) -> None:
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return


def _names_of(request: Request) -> dict[str, str]:
    """The database that the path names, and the id of the trace that the caller is in."""
    names: dict[str, str] = {}
    graph_id = request.params.get("graph_id", "")
    if GRAPH_ID.fullmatch(graph_id) is not None:
        names["database"] = graph_id
    given = request.headers.get(b"traceparent")
    if given is not None and TRACEPARENT.fullmatch(given) is not None:
        names["trace_id"] = given[3:35].decode()
    return names
