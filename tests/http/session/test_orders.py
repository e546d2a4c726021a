"""Orders and their answers, over real sockets to a real node."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.http.session.sockets import FOREVER, LONG, Client, running

pytestmark = pytest.mark.trio
CREATE = "CREATE (:P {id: $id, name: $name})"
COUNT = "MATCH (p:P) RETURN count(*) AS n"


async def test_small_answers_come_in_one_message(tmp_path: Path) -> None:
    async with running(tmp_path) as node, node.client() as client:
        created = await client.query(CREATE, parameters={"id": 7, "name": "Zoë\u2028"})
        assert (created["type"], created["rows"], created["row_count"]) == ("result", [], 0)
        found = await client.query("MATCH (p:P {id: $id}) RETURN p.id AS id, p.name AS name", parameters={"id": 7})
        took = found.pop("execution_time_ms")
        assert 0 < took < 1000
        row = {"id": 7, "name": "Zoë\u2028"}
        assert found == {"type": "result", "id": 2, "columns": ["id", "name"], "rows": [row], "row_count": 1}


async def test_ids_come_back_as_they_were(tmp_path: Path) -> None:
    async with running(tmp_path) as node, node.client() as client:
        for order_id in ("", 'a"b\u2028é', 0, -(2**63), 2**63 - 1, "1"):
            await client.socket.send_message(Client.encode("ping", order_id))
            assert await client.hear() == {"type": "pong", "id": order_id}


async def test_long_answers_come_in_messages_of_bounded_size(tmp_path: Path) -> None:
    async with running(tmp_path, KUZU_CHUNK_SIZE="700") as node, node.client() as client:
        order = await client.say("query", cypher=LONG)
        assert await client.hear() == {"type": "columns", "id": order, "columns": ["x", "z"]}
        seen = 0
        while (message := await client.hear())["type"] == "rows":
            assert message["id"] == order
            assert 0 < len(message["rows"]) <= 700
            assert message["rows"][0] == {"x": seen + 1, "z": "some text that fills the row"}
            seen += len(message["rows"])
        assert (message["type"], message["id"], message["row_count"]) == ("done", order, seen)
        assert seen == 1_500_000


@pytest.mark.parametrize("count", [0, 1, 300_000])
async def test_arrow_comes_as_whole_streams(tmp_path: Path, count: int) -> None:
    async with running(tmp_path) as node, node.client() as client:
        cypher = f"UNWIND range(1, {count}) AS x RETURN x, 'some text that fills the row' AS z"
        order = await client.say("query", cypher=cypher, format="arrow")
        assert await client.hear() == {"type": "columns", "id": order, "columns": ["x", "z"]}
        tables = []
        while (message := await client.hear())["type"] == "rows":
            assert (message["id"], message["binary"]) == (order, True)
            stream = await client.hear()
            assert len(stream) <= 4 << 20
            tables.append(pa.ipc.open_stream(io.BytesIO(stream)).read_all())
            assert len(tables[-1]) == message["row_count"]
        assert (message["type"], message["id"], message["row_count"]) == ("done", order, count)
        assert pa.concat_tables(tables).column("x").to_pylist() == list(range(1, count + 1))


async def test_orders_run_and_are_answered_as_they_came(tmp_path: Path) -> None:
    async with running(tmp_path) as node, node.client() as client:
        orders = [await client.say("query", cypher=f"CREATE (:P {{id: {n}}}) RETURN {n} AS n") for n in range(400)]
        heard: list[dict[str, Any]] = [await client.hear() for _ in orders]
        assert [(message["id"], message["rows"]) for message in heard] == [
            (order, [{"n": n}]) for n, order in enumerate(orders)
        ]


async def test_pings_overtake(tmp_path: Path) -> None:
    async with running(tmp_path) as node, node.client() as client:
        await client.say("query", cypher=FOREVER)
        ping = await client.say("ping")
        assert await client.hear() == {"type": "pong", "id": ping}


async def test_errors_say_what_the_engine_says_and_what_is_committed(tmp_path: Path) -> None:
    async with running(tmp_path) as node, node.client() as client:
        error = await client.query("RETURN 1 +")
        assert (error["type"], error["code"], error["status"], error["committed"]) == ("error", "syntax", 400, False)
        assert error["detail"].startswith("Parser exception")
        assert error["line"] == 1
        await client.query("CREATE (:P {id: 1})")
        error = await client.query("CREATE (:P {id: 1})")
        assert (error["code"], error["status"], error["committed"]) == ("constraint", 409, False)
        error = await client.query("CREATE (:P {id: 2}); CREATE (:P {id: 1})")
        assert (error["code"], error["statement"], error["committed"]) == ("constraint", 1, True)
        error = await client.query("CREATE (:P {id: 3})", read_only=True)
        assert (error["code"], error["committed"]) == ("read_only", False)
        assert (await client.query(" "))["code"] == "empty_query"
        assert (await client.query("BEGIN TRANSACTION"))["code"] == "forbidden_statement"
        assert await client.value(COUNT) == 2


async def test_time_limits_count_from_the_turn(tmp_path: Path) -> None:
    async with running(tmp_path) as node, node.client() as client:
        first = await client.say("query", cypher=FOREVER, timeout=0.5)
        second = await client.say("query", cypher="RETURN 1 AS n", timeout=0.4)
        error, answer = await client.hear(), await client.hear()
        assert (error["id"], error["code"], error["committed"]) == (first, "query_timeout", False)
        assert (answer["id"], answer["rows"]) == (second, [{"n": 1}])
