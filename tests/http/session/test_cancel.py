"""Orders that are cancelled before, while and after they run."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from tests.http.session.sockets import FOREVER, LONG, Client, Running, running

pytestmark = pytest.mark.trio
COUNT = "MATCH (p:P) RETURN count(*) AS n"


async def runs(node: Running) -> None:
    """Until a statement is in the engine."""
    while not (worker := node.node.databases.get("g").floor.presence.worker) or not worker.executing:
        await trio.lowlevel.checkpoint()


async def cancelled(client: Client, target: object) -> list[dict[str, object]]:
    """What comes after the cancel is taken note of, up to the target's last answer."""
    cancel = await client.say("cancel", target=target)
    heard = []
    while True:
        message = await client.hear()
        if isinstance(message, bytes):
            continue
        if message["id"] == cancel:
            assert message == {"type": "done", "id": cancel, "execution_time_ms": 0.0}
        elif message["type"] not in ("columns", "rows"):
            heard.append(message)
            if message["id"] == target:
                return heard


async def test_a_query_that_runs_is_interrupted(tmp_path: Path) -> None:
    async with running(tmp_path) as node, node.client() as client:
        order = await client.say("query", cypher=FOREVER)
        await runs(node)
        [error] = await cancelled(client, order)
        assert (error["code"], error["status"], error["committed"]) == ("cancelled", 499, False)
        assert await client.value("RETURN 1 AS n") == 1


async def test_an_order_that_waits_never_runs(tmp_path: Path) -> None:
    async with running(tmp_path) as node, node.client() as client:
        first = await client.say("query", cypher=FOREVER)
        second = await client.say("query", cypher="CREATE (:P {id: 1})")
        await runs(node)
        await client.say("cancel", target=second)
        answers = await cancelled(client, first)
        last = await client.hear()
        assert [answer["id"] for answer in answers] == [second + 1, first] or answers[0]["id"] == first
        assert (last["id"], last["code"], last["committed"]) == (second, "cancelled", False)
        assert await client.value(COUNT) == 0


async def test_rows_under_way_end_with_an_error(tmp_path: Path) -> None:
    async with running(tmp_path) as node, node.client() as client:
        for form in ("json", "arrow"):
            order = await client.say("query", cypher=LONG, format=form)
            assert (await client.hear())["type"] == "columns"
            [error] = await cancelled(client, order)
            assert (error["code"], error["committed"]) == ("cancelled", False)
            assert await client.value("RETURN 1 AS n") == 1


async def test_a_write_whose_rows_are_under_way_has_run(tmp_path: Path) -> None:
    async with running(tmp_path) as node, node.client() as client:
        text = "UNWIND range(1, 200000) AS i CREATE (p:P {id: i, name: 'a name that is long enough'}) RETURN p"
        order = await client.say("query", cypher=text, timeout=30)
        assert (await client.hear())["type"] == "columns"
        [error] = await cancelled(client, order)
        assert (error["code"], error["committed"]) == ("cancelled", True)
        assert await client.value(COUNT) == 200_000


async def test_a_cancelled_order_ends_its_transaction(tmp_path: Path) -> None:
    async with running(tmp_path) as node, node.client() as client:
        await client.ask("begin")
        await client.query("CREATE (:P {id: 1})")
        order = await client.say("query", cypher=FOREVER)
        await runs(node)
        [error] = await cancelled(client, order)
        assert (error["code"], error["committed"]) == ("cancelled", False)
        assert (await client.ask("commit"))["code"] == "transaction_aborted"
        assert (await client.ask("rollback"))["type"] == "done"
        assert await client.value(COUNT) == 0


async def test_what_is_not_under_way_can_be_cancelled_in_vain(tmp_path: Path) -> None:
    async with running(tmp_path) as node, node.client() as client:
        assert (await client.ask("cancel", target="nothing"))["type"] == "done"
        await client.query("RETURN 1 AS n")
        assert (await client.ask("cancel", target=2))["type"] == "done"
        assert await client.value("RETURN 2 AS n") == 2


async def test_an_id_under_way_is_not_taken_twice(tmp_path: Path) -> None:
    async with running(tmp_path) as node, node.client() as client:
        order = await client.say("query", cypher=FOREVER)
        await runs(node)
        for kind in ("query", "ping", "cancel"):
            await client.socket.send_message(Client.encode(kind, order, cypher="RETURN 1"))
        await cancelled(client, order)
        for _ in range(3):
            error = await client.hear()
            assert (error["id"], error["code"]) == (None, "bad_request")
        client.ids = order - 1
        assert await client.value("RETURN 1 AS n") == 1
