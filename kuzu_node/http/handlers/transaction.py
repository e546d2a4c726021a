"""Several statements that commit together or not at all."""

from __future__ import annotations

import itertools

import msgspec

from kuzu_node.engine.values import Transaction, TransactionStatement
from kuzu_node.errors import Fault, RequestRefused
from kuzu_node.http.handlers.query import server_timing, time_limit
from kuzu_node.http.models import StatementBody, TransactionBody
from kuzu_node.http.ports import Answer, Node
from kuzu_node.http.request import Request
from kuzu_node.http.response import JSON_TYPE, Response
from kuzu_node.http.structure import MOST_FAULTS


async def run_transaction(node: Node, request: Request) -> Response:
    database = node.databases.get(request.graph_id)
    body = await request.read_json(TransactionBody)
    _refuse_empty(body)
    transaction = Transaction(
        statements=tuple(_statement(statement) for statement in body.statements),
        read_only=body.read_only,
        request_id=request.id.decode(),
    )
    request.begin_work(time_limit(node, body.timeout), transaction)
    answer = await database.transaction(transaction)
    return _response(answer, database.graph_id)


def _refuse_empty(body: TransactionBody) -> None:
    empty = (index for index, statement in enumerate(body.statements) if not statement.cypher.strip())
    faults = tuple(
        Fault(f"statements[{index}].cypher", "must not be empty") for index in itertools.islice(empty, MOST_FAULTS)
    )
    if faults:
        raise RequestRefused("a statement is empty", code="empty_query", faults=faults)


def _statement(body: StatementBody) -> TransactionStatement:
    return TransactionStatement(
        cypher=body.cypher, parameters=body.parameters or {}, parameter_sets=body.parameter_sets
    )


def _response(answer: Answer, graph_id: str) -> Response:
    """Wraps the results as they came encoded."""
    timing = answer.timing
    tail = {"execution_time_ms": round(timing.execute_ms, 3), "database": graph_id}
    body = b'{"results":' + (answer.body or b"[]") + b"," + msgspec.json.encode(tail)[1:]
    return Response(200, body, JSON_TYPE, (server_timing(timing),))
