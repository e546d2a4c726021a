from __future__ import annotations

from typing import Any

import pytest
import trio

from kuzu_node.engine.values import Form, Query, Transaction
from kuzu_node.errors import Forbidden, StatementFailed, Unavailable
from tests.http.exchange import WITH_KEY, call, served

pytestmark = pytest.mark.trio
PATH = "/databases/g1/query"


async def test_a_short_answer_is_one_start_and_one_body_relayed_untouched() -> None:
    async with served() as (app, node):
        reply = await call(app, "POST", PATH, {"cypher": "RETURN 1"})
        assert [message["type"] for message in reply.messages] == ["http.response.start", "http.response.body"]
        assert reply.body == node.g1.answer.body
        assert reply.headers[b"content-length"] == b"%d" % len(reply.body)
        assert reply.headers[b"content-type"] == b"application/json"
        assert reply.headers[b"server-timing"] == b"queue;dur=0.250, execute;dur=1.500, encode;dur=0.125"
        assert b"x-streaming" not in reply.headers
        assert node.g1.query_exits == 1


async def test_the_query_is_handed_over_as_it_was_asked() -> None:
    async with served() as (app, node):
        body = {"cypher": " MATCH (n) RETURN n ", "parameters": {"a": [1, None]}, "read_only": True}
        await call(app, "POST", PATH, body, headers=(*WITH_KEY, (b"x-request-id", b"r-9")))
        query = node.g1.queries[0]
        assert (query.cypher, query.parameters) == (" MATCH (n) RETURN n ", {"a": [1, None]})
        assert (query.form, query.chunk_size, query.read_only, query.request_id) == (Form.JSON, 1000, True, "r-9")


@pytest.mark.parametrize(
    ("accept", "target", "form", "content_type"),
    [
        (b"*/*", PATH, Form.JSON, b"application/json"),
        (b"application/x-ndjson", PATH, Form.NDJSON, b"application/x-ndjson"),
        (b"application/jsonl", PATH, Form.JSONL, b"application/jsonl"),
        (b"application/vnd.apache.arrow.stream", PATH, Form.ARROW, b"application/vnd.apache.arrow.stream"),
        (b"text/csv", PATH, Form.CSV, b"text/csv; charset=utf-8; header=present"),
        (b"text/csv;q=0.4, application/jsonl;q=0.6", PATH, Form.JSONL, b"application/jsonl"),
        (b"text/csv", PATH + "?streaming=true", Form.NDJSON, b"application/x-ndjson"),
        (b"text/csv", PATH + "?streaming=false", Form.CSV, b"text/csv; charset=utf-8; header=present"),
    ],
)
async def test_the_form_is_negotiated(accept: bytes, target: str, form: Form, content_type: bytes) -> None:
    async with served() as (app, node):
        reply = await call(app, "POST", target, {"cypher": "RETURN 1"}, headers=(*WITH_KEY, (b"accept", accept)))
        assert (node.g1.queries[0].form, reply.headers[b"content-type"]) == (form, content_type)
        assert (reply.headers.get(b"x-streaming") == b"true") is (form is Form.NDJSON)


async def test_a_flag_that_is_neither_true_nor_false_is_422() -> None:
    async with served() as (app, _):
        reply = await call(app, "POST", PATH + "?streaming=maybe", {"cypher": "RETURN 1"})
        assert (reply.status, reply.json["errors"][0]["path"]) == (422, "query.streaming")


@pytest.mark.parametrize("cypher", ["", "  \n\t"])
async def test_an_empty_text_is_400(cypher: str) -> None:
    async with served() as (app, node):
        reply = await call(app, "POST", PATH, {"cypher": cypher})
        assert (reply.status, reply.json["code"], reply.json["committed"]) == (400, "empty_query", False)
        assert node.g1.queries == []


async def test_an_invalid_body_names_the_path() -> None:
    async with served() as (app, _):
        reply = await call(app, "POST", PATH, {"cypher": "RETURN 1", "paramters": {}})
        assert reply.status == 422
        assert reply.json["errors"] == [{"path": "paramters", "message": "is not a known field"}]
        assert reply.json["committed"] is False


@pytest.mark.parametrize(("asked", "seconds"), [(None, 30), (5, 5), (1000, 30), (0.01, 0.01)])
async def test_the_time_limit_is_the_smaller_of_both(asked: float | None, seconds: float, autojump_clock: Any) -> None:
    async with served() as (app, node):

        async def run(query: Query | Transaction) -> None:
            query.committed = None
            await trio.sleep_forever()

        node.g1.run = run
        began = trio.current_time()
        reply = await call(app, "POST", PATH, {"cypher": "RETURN 1", "timeout": asked})
        assert (reply.status, reply.json["code"]) == (408, "query_timeout")
        assert reply.json["committed"] is None
        assert trio.current_time() - began == pytest.approx(seconds, abs=0.001)
        assert node.g1.query_exits == 1


async def test_a_timeout_tells_what_the_query_knows_to_be_committed(autojump_clock: Any) -> None:
    async with served() as (app, node):

        async def run(query: Query | Transaction) -> None:
            query.committed = True
            await trio.sleep_forever()

        node.g1.run = run
        assert (await call(app, "POST", PATH, {"cypher": "CREATE (:A)"})).json["committed"] is True


async def test_an_error_of_the_engine_keeps_its_words() -> None:
    async with served() as (app, node):

        async def run(_: object) -> None:
            raise StatementFailed(
                "Binder exception: Table X does not exist.", code="binder", is_statement=True, committed=False, line=1
            )

        node.g1.run = run
        reply = await call(app, "POST", PATH, {"cypher": "MATCH (x:X) RETURN x"})
        assert (reply.status, reply.json["detail"]) == (400, "Binder exception: Table X does not exist.")
        assert (reply.json["line"], reply.json["committed"]) == (1, False)


async def test_an_error_that_does_not_know_asks_the_query() -> None:
    async with served() as (app, node):

        async def run(query: Query | Transaction) -> None:
            query.committed = None
            raise Unavailable("the worker died", code="database_restarting")

        node.g1.run = run
        reply = await call(app, "POST", PATH, {"cypher": "CREATE (:A)"})
        assert (reply.status, reply.json["committed"], reply.headers[b"retry-after"]) == (503, None, b"1")


async def test_an_error_inside_a_group_keeps_its_status() -> None:
    async with served() as (app, node):

        async def run(_: object) -> None:
            raise ExceptionGroup(
                "", [Forbidden("writes are refused", code="read_only", is_statement=True, committed=False)]
            )

        node.g1.run = run
        reply = await call(app, "POST", PATH, {"cypher": "CREATE (:A)", "read_only": True})
        assert (reply.status, reply.json["code"]) == (403, "read_only")


async def test_a_transaction_wraps_the_results_as_they_came() -> None:
    async with served() as (app, node):
        statements = [{"cypher": "CREATE (:A)", "parameter_sets": [{"a": 1}, {"a": 2}]}, {"cypher": "RETURN 1 AS x"}]
        reply = await call(app, "POST", "/databases/g1/transaction", {"statements": statements, "read_only": False})
        assert reply.json == {
            "results": [{"columns": ["x"], "data": [{"x": 1}], "row_count": 1}],
            "execution_time_ms": 1.5,
            "database": "g1",
        }
        first, second = node.g1.transactions[0].statements
        assert (first.parameter_sets, second.parameter_sets) == (({"a": 1}, {"a": 2}), None)


async def test_an_empty_statement_of_a_transaction_is_named() -> None:
    async with served() as (app, _):
        body = {"statements": [{"cypher": "RETURN 1"}, {"cypher": " "}]}
        reply = await call(app, "POST", "/databases/g1/transaction", body)
        assert (reply.status, reply.json["code"]) == (400, "empty_query")
        assert reply.json["errors"] == [{"path": "statements[1].cypher", "message": "must not be empty"}]


async def test_a_failing_transaction_names_its_statement() -> None:
    async with served() as (app, node):

        async def run(_: object) -> None:
            raise StatementFailed("duplicate", code="constraint", statement=2, is_statement=True, committed=False)

        node.g1.run = run
        reply = await call(app, "POST", "/databases/g1/transaction", {"statements": [{"cypher": "CREATE (:A)"}]})
        assert (reply.status, reply.json["statement"], reply.json["committed"]) == (409, 2, False)


async def test_a_transaction_that_takes_too_long_is_408(autojump_clock: Any) -> None:
    async with served() as (app, node):

        async def run(_: object) -> None:
            await trio.sleep_forever()

        node.g1.run = run
        body = {"statements": [{"cypher": "RETURN 1"}], "timeout": 2}
        reply = await call(app, "POST", "/databases/g1/transaction", body)
        assert (reply.status, reply.json["committed"]) == (408, False)
