"""The messages of sessions as text: what is read, what is refused and how, and what is written."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kuzu_node.errors import InvalidBody, RequestRefused, StatementFailed, Unavailable
from kuzu_node.http.session import messages
from kuzu_node.http.session.messages import (
    NO_ID,
    BeginOrder,
    Cancel,
    CommitOrder,
    Faulty,
    Ping,
    QueryOrder,
    RollbackOrder,
    read_message,
)
from kuzu_node.http.structure import Bodies

BODIES = Bodies()


def read(**message: Any) -> tuple[bytes, messages.Said]:
    return read_message(json.dumps(message), BODIES)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ({"type": "query", "cypher": "RETURN 1"}, QueryOrder(cypher="RETURN 1")),
        (
            {
                "type": "query",
                "cypher": "x",
                "parameters": {"a": [1]},
                "timeout": 2,
                "read_only": True,
                "format": "arrow",
            },
            QueryOrder(cypher="x", parameters={"a": [1]}, timeout=2.0, read_only=True, format="arrow"),
        ),
        (
            {"type": "query", "cypher": "x", "parameters": None, "timeout": None, "read_only": None, "format": None},
            QueryOrder(cypher="x"),
        ),
        ({"type": "begin"}, BeginOrder()),
        ({"type": "begin", "read_only": True}, BeginOrder(read_only=True)),
        ({"type": "commit"}, CommitOrder()),
        ({"type": "rollback"}, RollbackOrder()),
        ({"type": "cancel", "target": 7}, Cancel(b"7")),
        ({"type": "cancel", "target": "a"}, Cancel(b'"a"')),
        ({"type": "ping"}, Ping()),
    ],
)
def test_messages_are_read(message: dict[str, Any], said: messages.Said) -> None:
    assert read(**message, id=5) == (b"5", said)


@pytest.mark.parametrize("order_id", [0, -(2**63), 2**63 - 1, "", "a", 'q"\\\u2028', "x" * 1024])
def test_an_id_is_a_string_or_a_64_bit_integer(order_id: object) -> None:
    written, said = read(type="ping", id=order_id)
    assert json.loads(written) == order_id
    assert said == Ping()


@pytest.mark.parametrize("order_id", [None, True, 1.0, 2**63, -(2**63) - 1, [], {}, "x" * 1025])
def test_other_ids_are_of_no_use(order_id: object) -> None:
    written, said = read(type="ping", id=order_id)
    assert written == NO_ID
    assert isinstance(said, Faulty)
    assert said.error.code == "bad_request"


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "1", "null", '"ping"', "[" * 100_000, '{"type":"ping","id":"\\ud800"}']
)
def test_what_is_no_object_is_a_bad_request(text: str) -> None:
    written, said = read_message(text, BODIES)
    assert written == NO_ID
    assert isinstance(said, Faulty)
    assert isinstance(said.error, RequestRefused)


@pytest.mark.parametrize(
    ("message", "faults"),
    [
        ({}, {"type": "is required"}),
        ({"type": 1}, {"type": "must be one of query, begin, commit, rollback, ping, cancel"}),
        ({"type": "Query"}, {"type": "must be one of query, begin, commit, rollback, ping, cancel"}),
        ({"type": "query"}, {"cypher": "is required"}),
        ({"type": "query", "cypher": 1}, {"cypher": "must be a string"}),
        ({"type": "query", "cypher": "x", "parameters": []}, {"parameters": "must be an object"}),
        ({"type": "query", "cypher": "x", "timeout": 0}, {"timeout": "must be above 0"}),
        ({"type": "query", "cypher": "x", "timeout": "1"}, {"timeout": "must be a number"}),
        ({"type": "query", "cypher": "x", "read_only": 1}, {"read_only": "must be true or false"}),
        ({"type": "query", "cypher": "x", "format": "csv"}, {"format": "must be json or arrow"}),
        ({"type": "query", "cypher": "x", "a": 1, "b": 2}, {"a": "is not a known field", "b": "is not a known field"}),
        ({"type": "commit", "cypher": "x"}, {"cypher": "is not a known field"}),
        ({"type": "cancel"}, {"target": "is required"}),
        ({"type": "cancel", "target": 1.5}, {"target": "must be an id: a string or an integer"}),
        ({"type": "cancel", "target": 1, "x": 1}, {"x": "is not a known field"}),
        ({"type": "ping", "x": 1}, {"x": "is not a known field"}),
    ],
)
def test_faults_have_their_paths_and_the_id(message: dict[str, Any], faults: dict[str, str]) -> None:
    order_id, said = read(**message, id="i")
    assert order_id == b'"i"'
    assert isinstance(said, Faulty)
    assert isinstance(said.error, InvalidBody)
    assert {fault.path: fault.message for fault in said.error.faults} == faults


def test_answers_are_json() -> None:
    order_id = messages.id_text('"\u2028')
    assert order_id is not None
    rows = b'{"a":1},{"a":2}'
    took = {"execution_time_ms": 1.5}
    told = {"id": '"\u2028'}
    written = {
        messages.result(order_id, ("a",), rows, 2, 1.5): {
            "type": "result",
            **told,
            "columns": ["a"],
            "rows": [{"a": 1}, {"a": 2}],
            "row_count": 2,
            **took,
        },
        messages.columns(order_id, ('a"', "b")): {"type": "columns", **told, "columns": ['a"', "b"]},
        messages.rows(order_id, memoryview(b"," + rows)[1:]): {"type": "rows", **told, "rows": [{"a": 1}, {"a": 2}]},
        messages.announced(order_id, 3): {"type": "rows", **told, "binary": True, "row_count": 3},
        messages.done(order_id, 1.5): {"type": "done", **told, **took},
        messages.done_query(order_id, 3, 1.5): {"type": "done", **told, "row_count": 3, **took},
        messages.pong(order_id): {"type": "pong", **told},
    }
    for text, message in written.items():
        assert json.loads(text) == message


def test_errors_say_what_is_known() -> None:
    failed = StatementFailed("Binder exception: no", code="binder", line=1, column=7, statement=2)
    assert json.loads(messages.error(b"4", failed, committed=None)) == {
        "type": "error",
        "id": 4,
        "code": "binder",
        "status": 400,
        "title": "Binder error",
        "committed": None,
        "detail": "Binder exception: no",
        "line": 1,
        "column": 7,
        "statement": 2,
    }
    busy = Unavailable("wait", code="transaction_preempted", retry_after=0.2)
    told = json.loads(messages.error(NO_ID, busy, committed=False))
    assert (told["id"], told["status"], told["retry_after"], told["committed"]) == (None, 503, 1, False)
    _, said = read(type="query", id=1)
    assert isinstance(said, Faulty)
    assert json.loads(messages.error(b"1", said.error, committed=False))["errors"] == [
        {"path": "cypher", "message": "is required"}
    ]
