"""Transactions over sockets: what the engine is told and what the client hears."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from tests.http.session.sockets import FOREVER, Client, Running, running

pytestmark = pytest.mark.trio
COUNT = "MATCH (p:P) RETURN count(*) AS n"
NEXT = "CREATE (:P {id: %d})"


async def is_done(client: Client, kind: str, **fields: Any) -> None:
    answer = await client.ask(kind, **fields)
    assert (answer["type"], list(answer)) == ("done", ["type", "id", "execution_time_ms"]), answer


async def is_refused(client: Client, code: str, kind: str, **fields: Any) -> dict[str, Any]:
    answer: dict[str, Any] = await client.ask(kind, **fields)
    assert (answer["type"], answer.get("code"), answer.get("committed")) == ("error", code, False), answer
    return answer


async def test_a_transaction_is_seen_by_others_when_it_has_committed(tmp_path: Path) -> None:
    async with running(tmp_path) as node, node.client() as writer, node.client() as reader:
        await is_done(writer, "begin")
        await writer.query(NEXT % 1)
        assert (await writer.value(COUNT), await reader.value(COUNT)) == (1, 0)
        await is_done(writer, "commit")
        assert await reader.value(COUNT) == 1
        await is_done(writer, "begin")
        await writer.query(NEXT % 2)
        await is_done(writer, "rollback")
        assert await reader.value(COUNT) == await writer.value(COUNT) == 1


async def test_no_order_behind_an_error_reaches_the_engine(tmp_path: Path) -> None:
    async with running(tmp_path) as node, node.client() as client:
        texts = [NEXT % 1, NEXT % 1, NEXT % 2, NEXT % 3]
        await client.say("begin")
        for text in texts:
            await client.say("query", cypher=text)
        await client.say("commit")
        await client.say("rollback")
        heard = [await client.hear() for _ in range(7)]
        assert [message.get("code", message["type"]) for message in heard] == [
            *("done", "result", "constraint", "transaction_aborted", "transaction_aborted", "transaction_aborted"),
            "done",
        ]
        assert all(message["committed"] is False for message in heard[2:6])
        assert await client.value(COUNT) == 0


async def test_what_cannot_be_read_ends_a_transaction_too(tmp_path: Path) -> None:
    async with running(tmp_path) as node, node.client() as client:
        for broken in ("{", '{"id":"x","type":"nothing"}', '{"id":"x","type":"query","cypher":" "}'):
            await is_done(client, "begin")
            await client.query(NEXT % 1)
            await client.socket.send_message(broken)
            assert (await client.hear())["type"] == "error"
            await is_refused(client, "transaction_aborted", "commit")
            await is_done(client, "rollback")
        await is_done(client, "begin")
        await is_refused(client, "bad_request", "begin")
        await is_refused(client, "transaction_aborted", "query", cypher=COUNT)
        await is_done(client, "rollback")
        assert await client.value(COUNT) == 0


async def test_commit_and_rollback_need_a_transaction(tmp_path: Path) -> None:
    async with running(tmp_path) as node, node.client() as client:
        await is_refused(client, "bad_request", "commit")
        await is_refused(client, "bad_request", "rollback")
        assert await client.value("RETURN 1 AS n") == 1


async def test_a_reading_transaction_does_not_write(tmp_path: Path) -> None:
    async with running(tmp_path) as node, node.client() as client, node.client() as other:
        await is_done(client, "begin", read_only=True)
        await is_done(other, "begin")
        await is_done(other, "commit")
        await is_refused(client, "read_only", "query", cypher=NEXT % 1)
        await is_done(client, "rollback")


async def test_writers_contend_and_one_that_goes_lets_the_other_in(tmp_path: Path) -> None:
    async with running(tmp_path, KUZU_QUEUE_TIMEOUT="0.2") as node, node.client() as second:
        async with node.client() as first:
            await is_done(first, "begin")
            await first.query(NEXT % 1)
            refused = await is_refused(second, "pool_exhausted", "begin")
            assert (refused["status"], refused["retry_after"]) == (503, 1)
        while (await second.ask("begin")).get("code") == "pool_exhausted":
            pass
        assert await second.value(COUNT) == 0
        await second.query(NEXT % 1)
        await is_done(second, "commit")
        assert await second.value(COUNT) == 1


async def test_a_begin_that_waits_can_be_cancelled(tmp_path: Path) -> None:
    async with running(tmp_path) as node, node.client() as first, node.client() as second:
        await is_done(first, "begin")
        begin = await second.say("begin")
        await second.ask("ping")
        await second.say("cancel", target=begin)
        heard = {message["id"]: message for message in [await second.hear(), await second.hear()]}
        assert (heard[begin]["code"], heard[begin]["status"], heard[begin]["committed"]) == ("cancelled", 499, False)
        assert await second.value("RETURN 1 AS n") == 1


async def test_an_idle_transaction_is_ended_and_pings_keep_one_open(tmp_path: Path) -> None:
    async with running(tmp_path, KUZU_TRANSACTION_IDLE_TIMEOUT="0.5") as node, node.client() as client:
        await is_done(client, "begin")
        await client.query(NEXT % 1)
        until = trio.current_time() + 1.5
        while trio.current_time() < until:
            await client.ask("ping")
        assert await client.value(COUNT) == 1
        # The writer's lock is free when the time is up; who asks for it finds out without waiting by the clock.
        async with node.client() as other:
            await is_done(other, "begin")
        told = await is_refused(client, "transaction_preempted", "query", cypher=COUNT)
        assert (told["status"], told["retry_after"]) == (503, 1)
        await is_refused(client, "transaction_aborted", "commit")
        await is_done(client, "rollback")
        assert await client.value(COUNT) == 0


async def test_a_transaction_that_lasts_too_long_is_interrupted(tmp_path: Path) -> None:
    async with running(tmp_path, KUZU_TRANSACTION_MAX_SECONDS="0.5") as node, node.client() as client:
        await is_done(client, "begin")
        await is_refused(client, "transaction_preempted", "query", cypher=FOREVER)
        await is_refused(client, "transaction_aborted", "query", cypher=COUNT)
        await is_done(client, "rollback")


async def test_a_projected_graph_lives_for_its_session(tmp_path: Path) -> None:
    async with running(tmp_path) as node, node.client() as client, node.client() as other:
        await client.query(f"{NEXT % 1}; {NEXT % 2}")
        await client.query("CREATE REL TABLE R(FROM P TO P)")
        await client.query("MATCH (a:P {id: 1}), (b:P {id: 2}) CREATE (a)-[:R]->(b)")
        projected = await client.query("CALL project_graph('x', ['P'], ['R'])")
        assert projected["type"] == "result", projected
        text = "CALL page_rank('x') RETURN node.id AS id, rank ORDER BY id"
        found = await client.query(text)
        assert [row["id"] for row in found["rows"]] == [1, 2]
        assert (await other.query(text))["type"] == "error"
        await end_worker(node)
        closed = await client.closed()
        assert (closed.code, closed.reason) == (1012, "database_restarting; retry_after=1")
        assert await other.value(COUNT) == 2


async def end_worker(node: Running) -> None:
    worker = node.node.databases.get("g").floor.presence.worker
    assert worker is not None
    worker.process.kill()
