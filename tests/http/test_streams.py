"""Results in pieces: their ends, their errors, readers that stall and clients that leave."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import trio

from kuzu_node.engine.values import Piece
from kuzu_node.errors import StatementFailed, Unavailable
from kuzu_node.http.app import App
from tests.http.exchange import WITH_KEY, Exchange, Reply, call, served
from tests.http.fakes import FakeAnswer, FakeNode, node_config, pieces

pytestmark = pytest.mark.trio
PATH = "/databases/g1/query"
NDJSON = ((b"accept", b"application/x-ndjson"), *WITH_KEY)
DIED = Unavailable("the worker died", code="database_restarting", is_statement=True, committed=False)


def piece(body: bytes, rows: int = 0, *, complete: bool = True) -> Piece:
    return Piece(body=body, rows=rows, complete=complete)


LINE = piece(
    b'{"chunk_index":0,"columns":["x"],"data":[{"x":1},{"x":2}],"is_last_chunk":false,"row_count":2,"total_rows_sent":2}\n',
    2,
)
CUT = piece(b'{"chunk_index":1,"columns":[],"data":[{"x":3}', 1, complete=False)


def streaming(node: FakeNode, *parts: Piece, failure: Exception | None = None) -> FakeAnswer:
    answer = FakeAnswer(body=None, produce=pieces(*parts), failure=failure)
    node.g1.answer = answer
    return answer


async def ask(app: App, headers: tuple[tuple[bytes, bytes], ...] = WITH_KEY) -> Reply:
    return await call(app, "POST", PATH, {"cypher": "RETURN 1"}, headers=headers)


async def test_pieces_are_relayed_as_they_come() -> None:
    async with served() as (app, node):
        answer = streaming(node, LINE, piece(b"second\n"))
        reply = await ask(app, NDJSON)
        assert (reply.status, reply.complete) == (200, True)
        assert [message.get("body") for message in reply.messages[1:]] == [LINE.body, b"second\n", b""]
        assert reply.headers[b"x-streaming"] == b"true"
        assert reply.headers[b"content-type"] == b"application/x-ndjson"
        assert b"content-length" not in reply.headers
        assert reply.headers[b"x-request-id"]
        assert answer.delivery_ended
        assert node.g1.query_exits == 1


async def test_an_error_before_the_first_piece_has_its_status() -> None:
    async with served() as (app, node):
        streaming(node, failure=DIED)
        reply = await ask(app, NDJSON)
        assert (reply.status, reply.json["code"]) == (503, "database_restarting")


@pytest.mark.parametrize("parts", [(LINE, CUT), (piece(LINE.body + CUT.body, 3, complete=False),)])
async def test_ndjson_closes_the_cut_line_and_tells_the_error(parts: tuple[Piece, ...]) -> None:
    async with served(FakeNode(config=node_config(chunk_size=2))) as (app, node):
        streaming(node, *parts, failure=DIED)
        reply = await ask(app, NDJSON)
        assert (reply.status, reply.complete) == (200, True)
        first, cut, error = [msgspec.json.decode(line) for line in reply.body.splitlines()]
        assert first["row_count"] == 2
        assert cut == {
            "chunk_index": 1,
            "columns": [],
            "data": [{"x": 3}],
            "is_last_chunk": False,
            "row_count": 1,
            "total_rows_sent": 3,
        }
        assert error == {
            "error": "the worker died",
            "error_type": "Database restarting",
            "code": "database_restarting",
            "committed": False,
            "chunk_index": 2,
            "row_count": 0,
            "total_rows_sent": 3,
            "is_last_chunk": True,
        }


async def test_ndjson_that_broke_inside_a_row_breaks_off() -> None:
    async with served() as (app, node):
        streaming(node, LINE, piece(b'{"chunk_index":1,"columns":[],"data":[{"x":"long', complete=False), failure=DIED)
        reply = await ask(app, NDJSON)
        assert not reply.complete
        assert b"database_restarting" not in reply.body


async def test_ndjson_that_broke_between_lines_has_nothing_to_close() -> None:
    async with served() as (app, node):
        streaming(node, LINE, failure=StatementFailed("overflow"))
        reply = await ask(app, NDJSON)
        lines = [msgspec.json.decode(line) for line in reply.body.splitlines()]
        assert [line["chunk_index"] for line in lines] == [0, 1]
        assert (lines[1]["code"], lines[1]["committed"]) == ("runtime", False)


@pytest.mark.parametrize(
    "accept", [b"application/json", b"application/jsonl", b"text/csv", b"application/vnd.apache.arrow.stream"]
)
async def test_other_forms_break_off(accept: bytes) -> None:
    async with served() as (app, node):
        answer = streaming(node, piece(b"first"), failure=DIED)
        reply = await ask(app, ((b"accept", accept), *WITH_KEY))
        assert (reply.status, reply.body, reply.complete) == (200, b"first", False)
        assert answer.delivery_ended


async def test_an_unexpected_error_in_the_middle_breaks_off_too() -> None:
    async with served() as (app, node):
        streaming(node, LINE, failure=RuntimeError("bug"))
        reply = await ask(app, NDJSON)
        assert (reply.body, reply.complete) == (LINE.body, False)


async def test_a_reader_that_takes_nothing_is_cut_off(autojump_clock: Any) -> None:
    async with served() as (app, node):
        answer = streaming(node, LINE, LINE)
        exchange = Exchange("POST", PATH, NDJSON)
        exchange.feed(b'{"cypher":"RETURN 1"}')
        exchange.gate = trio.Event()
        began = trio.current_time()
        reply = await exchange.run(app)
        assert 10 <= trio.current_time() - began < 10.1
        assert not reply.complete
        assert answer.delivery_ended
        assert node.g1.query_exits == 1


async def test_a_slow_producer_is_no_stalled_reader(autojump_clock: Any) -> None:
    async with served() as (app, node):

        async def produce(send: trio.MemorySendChannel[Piece]) -> None:
            await send.send(LINE)
            with trio.move_on_after(120):
                await trio.sleep_forever()
            await send.send(LINE)

        node.g1.answer = FakeAnswer(body=None, produce=produce)
        assert (await ask(app, NDJSON)).complete


@asynccontextmanager
async def running(app: App, exchange: Exchange) -> AsyncIterator[None]:
    """The request runs beside the block and has ended, by itself, a second after it."""
    with trio.fail_after(1):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(exchange.run, app)
            yield


async def test_a_client_that_leaves_stops_the_stream(autojump_clock: Any) -> None:
    async with served() as (app, node):

        async def produce(send: trio.MemorySendChannel[Piece]) -> None:
            await send.send(LINE)
            await trio.sleep_forever()

        answer = node.g1.answer = FakeAnswer(body=None, produce=produce)
        exchange = Exchange("POST", PATH, NDJSON)
        exchange.feed(b'{"cypher":"RETURN 1"}')
        async with running(app, exchange):
            with trio.move_on_after(0.1):
                await trio.sleep_forever()
            exchange.disconnect()
        assert answer.delivery_ended
        assert not exchange.reply().complete


async def test_a_client_that_leaves_cancels_the_query(autojump_clock: Any) -> None:
    async with served() as (app, node):

        async def run(_: object) -> None:
            await trio.sleep_forever()

        node.g1.run = run
        exchange = Exchange("POST", PATH, WITH_KEY)
        exchange.feed(b'{"cypher":"RETURN 1"}')
        async with running(app, exchange):
            with trio.move_on_after(0.1):
                await trio.sleep_forever()
            exchange.disconnect()
        assert exchange.sent == []
        assert node.g1.query_exits == 1


async def test_a_fast_query_leaves_receive_alone() -> None:
    async with served() as (app, _):
        exchange = Exchange("POST", PATH, WITH_KEY)
        exchange.feed(b'{"cypher":"RETURN 1"}')
        exchange.disconnect()
        assert (await exchange.run(app)).status == 200
        assert exchange.reads == 1
