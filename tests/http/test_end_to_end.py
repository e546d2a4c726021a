"""The app over the real node and the real server: real sockets, real workers."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import h2.events
import h11
import msgspec
import pytest
import trio

from kuzu_node.config import load
from kuzu_node.engine.values import Piece
from kuzu_node.errors import Unavailable
from kuzu_node.http.app import open_app
from kuzu_node.node import Node, open_node
from tests.http import fakes
from tests.http.exchange import served as fake_served
from tests.http.server.serving import Answer, Served, http2, read_all, read_answer, serving

pytestmark = pytest.mark.trio
PEOPLE = "CREATE NODE TABLE P(id INT64, name STRING, PRIMARY KEY(id));"
QUERY = "/databases/g/query"
LONG = {"cypher": "UNWIND range(1, 1500000) AS x RETURN x, x * 2 AS y, 'some text that fills the row' AS z"}


@asynccontextmanager
async def running(base_path: Path, **settings: str) -> AsyncIterator[tuple[Node, Served]]:
    """A node with one database `g` of people behind a server."""
    config = load(
        {"KUZU_DATABASE_PATH": str(base_path), "KUZU_MEMORY_PER_DB_MB": "512", "KUZU_SPARE_WORKER": "false", **settings}
    )
    async with open_node(config) as node, open_app(node) as app, serving(app) as served:
        body = {"graph_id": "g", "schema_type": "custom", "custom_schema_ddl": PEOPLE}
        assert (await call(served, "POST", "/databases", body)).status == 201
        yield node, served


async def send(stream: trio.SocketStream, method: str, path: str, body: Any = None, *headers: str) -> None:
    data = body if isinstance(body, bytes) else b"" if body is None else msgspec.json.encode(body)
    head = [f"{method} {path} HTTP/1.1", "Host: x", f"Content-Length: {len(data)}", *headers]
    await stream.send_all("\r\n".join(head).encode() + b"\r\n\r\n" + data)


async def call(served: Served, method: str, path: str, body: Any = None, *headers: str) -> Answer:
    async with await served.connect() as stream:
        await send(stream, method, path, body, *headers)
        return await read_answer(stream, method)


async def query(served: Served, cypher: str, *headers: str, **more: Any) -> Answer:
    return await call(served, "POST", QUERY, {"cypher": cypher, **more}, *headers)


async def test_rows_are_equal_in_every_text_form(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, served):
        created = await query(served, "CREATE (:P {id: $id, name: $name})", parameters={"id": 7, "name": "Zoë\u2028"})
        assert created.status == 200
        text = "MATCH (p:P {id: $id}) RETURN p, p.id AS id, p.name AS name"
        forms = {}
        for accept in ("application/json", "application/x-ndjson", "application/jsonl"):
            reply = await query(served, text, f"Accept: {accept}", parameters={"id": 7})
            assert (reply.status, reply.headers[b"content-type"]) == (200, accept.encode())
            document = msgspec.json.decode(reply.body)
            forms[accept] = document.get("data", [document])
        node = {"_id": {"offset": 0, "table": 0}, "_label": "P", "id": 7, "name": "Zoë\u2028"}
        assert list(forms.values()) == [[{"p": node, "id": 7, "name": "Zoë\u2028"}]] * 3


async def test_a_transaction_is_all_or_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, served):
        statements = [{"cypher": "CREATE (:P {id: $id})", "parameter_sets": [{"id": 1}, {"id": 2}, {"id": 1}]}]
        failed = await call(served, "POST", "/databases/g/transaction", {"statements": statements})
        problem = msgspec.json.decode(failed.body)
        assert (failed.status, problem["code"], problem["committed"]) == (409, "constraint", False)
        counted = await query(served, "MATCH (p:P) RETURN count(*) AS n")
        assert msgspec.json.decode(counted.body)["data"] == [{"n": 0}]


async def test_rows_in_reach_the_table(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, served):
        rows = b"".join(b'{"id":%d,"name":"name %d"}\n' % (number, number) for number in range(50_000))
        loaded = await call(served, "PUT", "/databases/g/tables/P/rows", rows, "Content-Type: application/x-ndjson")
        assert loaded.status == 200, loaded.body
        answer = msgspec.json.decode(loaded.body)
        assert (answer["status"], answer["rows_inserted"], answer["rows_skipped"]) == ("completed", 50_000, 0)
        found = await query(served, "MATCH (p:P {id: 49999}) RETURN p.name AS name")
        assert msgspec.json.decode(found.body)["data"] == [{"name": "name 49999"}]


async def kill_worker_while_delivering(node: Node, served: Served, stream: trio.SocketStream, *headers: str) -> None:
    await send(stream, "POST", QUERY, LONG, *headers)
    assert await stream.receive_some(1)
    worker = node.databases.get("g").floor.presence.worker
    assert worker is not None
    os.kill(worker.process.pid, signal.SIGKILL)


async def test_a_worker_killed_while_ndjson_is_delivered_is_told_in_its_last_line(tmp_path: Path) -> None:
    async with running(tmp_path) as (node, served):
        async with await served.connect() as stream:
            await kill_worker_while_delivering(
                node, served, stream, "Accept: application/x-ndjson", "Connection: close"
            )
            received = await read_all(stream)
        assert received.endswith(b"\r\n0\r\n\r\n")
        last_line = b'{"error"' + received.rpartition(b'{"error"')[2].partition(b"\n")[0]
        error = msgspec.json.decode(last_line)
        assert (error["code"], error["committed"], error["is_last_chunk"]) == ("database_restarting", False, True)
        assert (await query(served, "RETURN 1")).status == 200


async def test_a_worker_killed_while_json_is_delivered_breaks_the_connection(tmp_path: Path) -> None:
    async with running(tmp_path) as (node, served):
        async with await served.connect() as stream:
            await kill_worker_while_delivering(node, served, stream)
            received = await read_all(stream)
        assert not received.endswith(b"0\r\n\r\n")
        assert (await query(served, "RETURN 1")).status == 200


async def test_an_unread_stream_holds_no_slot(tmp_path: Path) -> None:
    async with running(tmp_path, KUZU_MAX_CONNECTIONS_PER_DB="1") as (_, served), await served.connect() as stream:
        await send(stream, "POST", QUERY, LONG)
        assert await stream.receive_some(1)
        with trio.fail_after(5):
            assert (await query(served, "RETURN 1")).status == 200
            assert (await query(served, "CREATE (:P {id: 1})")).status == 200


async def test_a_client_that_leaves_gives_its_slot_back(tmp_path: Path) -> None:
    async with running(tmp_path, KUZU_MAX_CONNECTIONS_PER_DB="1") as (_, served):
        filled = await query(served, "UNWIND range(1, 3000) AS i CREATE (:P {id: i})")
        assert filled.status == 200
        async with await served.connect() as stream:
            await send(
                stream,
                "POST",
                QUERY,
                {"cypher": "MATCH (a:P), (b:P), (c:P) WHERE (a.id * b.id + c.id) % 7 = 3 RETURN count(*)"},
            )
            with trio.move_on_after(0.2):
                await stream.receive_some(1)
        with trio.fail_after(3):
            assert (await query(served, "RETURN 1")).status == 200


async def test_a_time_limit_ends_a_query_and_the_node_goes_on(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, served):
        await query(served, "UNWIND range(1, 3000) AS i CREATE (:P {id: i})")
        late = await query(
            served, "MATCH (a:P), (b:P), (c:P) WHERE (a.id * b.id + c.id) % 7 = 3 RETURN count(*)", timeout=0.3
        )
        assert (late.status, msgspec.json.decode(late.body)["code"]) == (408, "query_timeout")
        assert (await query(served, "RETURN 1")).status == 200


async def test_an_upload_that_is_too_large_gets_its_answer_and_its_connection_closed() -> None:
    async with fake_served() as (app, _), serving(app) as served, await served.connect() as stream:
        await stream.send_all(
            b"POST /databases/g1/query HTTP/1.1\r\nHost: x\r\nX-Kuzu-API-Key: a-secret-key\r\n"
            b"Content-Length: 100000000\r\n\r\n"
        )
        async with trio.open_nursery() as nursery:

            async def upload() -> None:
                try:
                    while True:
                        await stream.send_all(b"x" * 65536)
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    return

            nursery.start_soon(upload)
            answer = await read_answer(stream, "POST")
            assert answer.status == 413
            nursery.cancel_scope.cancel()


async def test_http2_streams_that_break_are_reset() -> None:
    node = fakes.FakeNode()
    parts = fakes.pieces(Piece(body=b"first", rows=1, complete=False))
    died = Unavailable("the worker died", code="database_restarting", is_statement=True, committed=False)
    node.g1.answer = fakes.FakeAnswer(body=None, produce=parts, failure=died)
    async with fake_served(node) as (app, _), serving(app) as served, http2(served) as client:
        headers = [
            (b":method", b"POST"),
            (b":scheme", b"http"),
            (b":authority", b"x"),
            (b":path", b"/databases/g1/query"),
            (b"x-kuzu-api-key", fakes.KEY),
        ]
        await client.request(1, headers, end=False)
        client.connection.send_data(1, b'{"cypher":"RETURN 1"}', end_stream=True)
        await client.flush()
        await client.wait(h2.events.StreamReset, 1)
        assert await client.status(1) == 200
        assert not any(isinstance(event, h2.events.StreamEnded) for event in client.events)


async def test_http1_streams_that_break_have_no_last_chunk() -> None:
    node = fakes.FakeNode(config=fakes.node_config(api_keys=()))
    parts = fakes.pieces(Piece(body=b"first", rows=1, complete=False))
    node.g1.answer = fakes.FakeAnswer(body=None, produce=parts, failure=RuntimeError("bug"))
    async with fake_served(node) as (app, _), serving(app) as served, await served.connect() as stream:
        await send(stream, "POST", "/databases/g1/query", {"cypher": "RETURN 1"})
        with pytest.raises(h11.RemoteProtocolError):
            await read_answer(stream, "POST")
