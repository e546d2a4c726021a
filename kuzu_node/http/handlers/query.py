"""One text to run: the answer in the form that was asked for, at once or as a stream."""

from __future__ import annotations

from typing import Final

from kuzu_node.core.negotiation import choose
from kuzu_node.engine.values import Form, Query, Timing
from kuzu_node.errors import RequestRefused
from kuzu_node.http.models import QueryBody
from kuzu_node.http.ports import Node
from kuzu_node.http.request import Request
from kuzu_node.http.response import Header, Response, Streamed
from kuzu_node.http.stream import CONTENT_TYPES, STREAMING, deliver

OFFERS: Final[dict[str, Form]] = {
    "application/json": Form.JSON,
    "application/x-ndjson": Form.NDJSON,
    "application/jsonl": Form.JSONL,
    "application/vnd.apache.arrow.stream": Form.ARROW,
    "text/csv": Form.CSV,
}
WHOLE: Final[dict[Form, tuple[Header, ...]]] = {Form.JSON: (), Form.NDJSON: (STREAMING,)}


async def run_query(node: Node, request: Request) -> Response | Streamed:
    database = node.databases.get(request.graph_id)
    form = choose_form(request)
    body = await request.read_json(QueryBody)
    if not body.cypher.strip():
        raise RequestRefused("cypher is empty", code="empty_query")
    query = Query(
        cypher=body.cypher,
        parameters=body.parameters,
        form=form,
        chunk_size=node.config.engine.chunk_size,
        read_only=body.read_only,
        request_id=request.id.decode(),
    )
    request.begin_work(time_limit(node, body.timeout), query)
    async with database.query(query) as answer:
        request.begin_delivery()
        if answer.body is None:
            return await deliver(request, answer, form)
        return Response(200, answer.body, CONTENT_TYPES[form], (*WHOLE.get(form, ()), server_timing(answer.timing)))


def time_limit(node: Node, asked: float | None) -> float:
    """Seconds for waiting and execution: what the request asks for, at most the node's own limit."""
    longest = node.config.engine.query_timeout
    return longest if asked is None else min(asked, longest)


def choose_form(request: Request) -> Form:
    """The representation of the rows; `?streaming=true` wins over Accept."""
    if request.query_flag("streaming", default=False):
        return Form.NDJSON
    accept = request.headers.get(b"accept")
    if accept is None or accept == b"*/*":
        return Form.JSON
    form = choose(accept, OFFERS)
    if form is None:
        raise RequestRefused("rows come as " + ", ".join(OFFERS), code="not_acceptable")
    return form


def server_timing(timing: Timing) -> Header:
    text = f"queue;dur={timing.queue_ms:.3f}, execute;dur={timing.execute_ms:.3f}, encode;dur={timing.encode_ms:.3f}"
    return (b"server-timing", text.encode())
