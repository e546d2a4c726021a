"""How sessions end: by the client, by time, by what they say, with the database, and with the node."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import trio

from kuzu_node.http.session.inbox import MOST_ORDERS
from tests.http.server.serving import read_all
from tests.http.session.sockets import FOREVER, LONG, Running, masked, running, upgrade
from tests.http.session.test_cancel import runs
from tests.http.session.test_transactions import end_worker

pytestmark = pytest.mark.trio
COUNT = "MATCH (p:P) RETURN count(*) AS n"


async def nothing_is_held(node: Running) -> None:
    """Until neither session nor lane, lock or slot is taken."""
    floor = node.node.databases.get("g").floor
    with trio.fail_after(15):
        while node.node.sessions.total or floor.presence.users or floor.locks.slots.borrowed_tokens:
            await trio.lowlevel.checkpoint()


@pytest.mark.parametrize("politely", [True, False])
async def test_a_client_that_goes_interrupts_what_runs(tmp_path: Path, politely: bool) -> None:
    async with running(tmp_path) as node:
        async with node.client() as client:
            await client.say("query", cypher=FOREVER)
            await client.say("query", cypher="CREATE (:P {id: 1})")
            await runs(node)
            if politely:
                await client.socket.aclose()
        await nothing_is_held(node)
        async with node.client() as other:
            assert await other.value(COUNT) == 0


async def test_a_client_that_goes_with_a_full_inbox_is_noticed(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        async with node.client() as client:
            await client.ask("begin")
            await client.query("CREATE (:P {id: 1})")
            await client.say("query", cypher=FOREVER)
            for _ in range(MOST_ORDERS + 50):
                await client.say("query", cypher="CREATE (:P {id: 2})")
            await runs(node)
        await nothing_is_held(node)
        async with node.client() as other:
            assert await other.value(COUNT) == 0


async def test_so_many_orders_are_read_ahead(tmp_path: Path) -> None:
    async with running(tmp_path) as node, node.client() as client:
        first = await client.say("query", cypher=FOREVER)
        await runs(node)
        for _ in range(MOST_ORDERS):
            await client.say("query", cypher="RETURN 1 AS n")
        ping = await client.say("ping")
        with trio.move_on_after(0.3):
            raise AssertionError(await client.hear())
        # The cancel waits behind them as well; the session ends by its client.
        assert (first, ping) == (1, MOST_ORDERS + 2)


async def test_bytes_are_read_ahead_within_bounds(tmp_path: Path) -> None:
    async with running(tmp_path, KUZU_MAX_REQUEST_SIZE="100 KiB") as node, node.client() as client:
        await client.say("query", cypher=FOREVER, timeout=1)
        long = "RETURN '" + "x" * 9_000 + "' AS s"
        for _ in range(12):
            await client.say("query", cypher=long)
        ping = await client.say("ping")
        assert (await client.hear())["code"] == "query_timeout"
        heard = [await client.hear() for _ in range(13)]
        assert ping in [message["id"] for message in heard]


async def test_idle_sockets_are_closed(tmp_path: Path) -> None:
    async with running(tmp_path, KUZU_IDLE_EVICT_SECONDS="0.4") as node, node.client() as client:
        until = trio.current_time() + 1
        while trio.current_time() < until:
            await client.ask("ping")
        closed = await client.closed()
        assert (closed.code, closed.reason) == (4408, "idle")


async def test_binary_messages_close_the_socket(tmp_path: Path) -> None:
    async with running(tmp_path) as node, node.client() as client:
        await client.say("query", cypher=FOREVER)
        await client.socket.send_message(b"{}")
        closed = await client.closed()
        assert (closed.code, closed.reason) == (1003, "bad_request")
        await nothing_is_held(node)


async def test_what_is_not_utf8_closes_the_socket(tmp_path: Path) -> None:
    async with running(tmp_path) as node, node.client() as client:
        await client.stream.send_all(b"\x81\x82\x00\x00\x00\x00\xff\xfe")
        closed = await client.closed()
        assert (closed.code, closed.reason) == (1007, "bad_request")
        await nothing_is_held(node)


@pytest.mark.parametrize(
    "frame", [b"\x83\x80\x00\x00\x00\x00", b"\x81\x02{}", b"\xf1\x80\x00\x00\x00\x00", b"\x89\x7f"]
)
async def test_frames_that_cannot_be_close_the_socket(tmp_path: Path, frame: bytes) -> None:
    async with running(tmp_path) as node, node.client() as client:
        await client.ask("ping")
        await client.stream.send_all(frame + b"\x00" * 16)
        assert (await client.closed()).code == 1002
        await nothing_is_held(node)
        async with node.client() as other:
            assert await other.value("RETURN 1 AS n") == 1


@pytest.mark.parametrize("letter", ["x", "é"])
async def test_messages_that_are_too_long_close_the_socket(tmp_path: Path, letter: str) -> None:
    async with running(tmp_path, KUZU_MAX_REQUEST_SIZE="40 KiB") as node, node.client() as client:
        fits = json.dumps({"type": "ping", "id": 1, "x": ""}, ensure_ascii=False)
        await client.socket.send_message(fits[:-2] + "x" * (40 * 1024 - len(fits)) + fits[-2:])
        assert (await client.hear())["code"] == "invalid"
        await client.socket.send_message(letter * (40 * 1024 // len(letter.encode()) + 1))
        closed = await client.closed()
        assert (closed.code, closed.reason) == (1009, "too_large")
        await nothing_is_held(node)


async def test_long_messages_are_read_like_short_ones(tmp_path: Path) -> None:
    async with running(tmp_path) as node, node.client() as client:
        rows = [{"id": n, "name": "x" * 100} for n in range(1000)]
        text = "UNWIND $rows AS row CREATE (:P {id: row.id, name: row.name})"
        assert (await client.query(text, parameters={"rows": rows}))["type"] == "result"
        assert await client.value(COUNT) == 1000
        error = await client.query("RETURN 1", parameters=[[1] * 20_000])
        assert (error["code"], error["errors"]) == (
            "invalid", [{"path": "parameters", "message": "must be an object"}]
        )  # fmt: skip
        await client.socket.send_message("[" * 40_000)
        error = await client.hear()
        assert (error["id"], error["code"]) == (None, "bad_request")


async def test_deletion_answers_what_waits_and_closes(tmp_path: Path) -> None:
    async with running(tmp_path) as node, node.client() as client, node.client() as idle:
        await idle.ask("ping")
        await client.ask("begin")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(node.node.databases.delete, "g")
            for ended in (client, idle):
                closed = await ended.closed()
                assert (closed.code, closed.reason) == (4404, "unknown_database")


async def test_a_worker_that_dies_costs_one_order(tmp_path: Path) -> None:
    async with running(tmp_path) as node, node.client() as client:
        await client.query("CREATE (:P {id: 1})")
        first = await client.say("query", cypher=FOREVER)
        second = await client.say("query", cypher=COUNT)
        await runs(node)
        await end_worker(node)
        error, answer = await client.hear(), await client.hear()
        assert (error["id"], error["code"], error["committed"]) == (first, "database_restarting", False)
        assert (answer["id"], answer["rows"]) == (second, [{"n": 1}])


async def test_a_worker_that_dies_takes_the_transaction_along(tmp_path: Path) -> None:
    async with running(tmp_path) as node, node.client() as client:
        await client.ask("begin")
        await client.query("CREATE (:P {id: 1})")
        await client.say("query", cypher=FOREVER)
        await runs(node)
        await end_worker(node)
        error = await client.hear()
        assert (error["type"], error["committed"]) == ("error", False)
        assert (await client.query(COUNT))["code"] in ("transaction_aborted", "transaction_preempted")
        assert (await client.ask("rollback"))["type"] == "done"
        assert await client.value(COUNT) == 0


async def test_a_draining_node_ends_idle_sessions_and_lets_orders_end(tmp_path: Path) -> None:
    async with running(tmp_path) as node, node.client() as idle, node.client() as busy, node.client() as open_one:
        for client in (idle, busy, open_one):
            await client.ask("ping")
        await open_one.ask("begin")
        order = await busy.say("query", cypher="UNWIND range(1, 3000000) AS x RETURN sum(x % 7) AS n")
        await runs(node)
        node.node.drain()
        closed = await idle.closed()
        assert (closed.code, closed.reason) == (1012, "draining; retry_after=5")
        assert (await busy.hear())["id"] == order
        assert (await busy.closed()).reason == "draining; retry_after=5"
        assert (await open_one.query("CREATE (:P {id: 1})"))["type"] == "result"
        await open_one.say("commit")
        late = await open_one.say("query", cypher=COUNT)
        assert (await open_one.hear())["type"] == "done"
        with trio.move_on_after(5):
            error = await open_one.hear()
            assert (error["id"], error["code"], error["committed"]) == (late, "draining", False)
        assert (await open_one.closed()).code == 1012
        node.node.undrain()
        async with node.client() as client:
            assert await client.value(COUNT) == 1


async def test_the_time_to_drain_ends_transactions(tmp_path: Path) -> None:
    async with running(tmp_path, KUZU_DRAIN_SECONDS="1") as node, node.client() as idle, node.client() as busy:
        await idle.ask("begin", read_only=True)
        await busy.ask("begin")
        await busy.query("CREATE (:P {id: 1})")
        await busy.say("query", cypher=FOREVER)
        await runs(node)
        node.node.drain()
        node.served.stop.set()
        error = await busy.hear()
        assert (error["code"], error["committed"]) == ("draining", False)
        assert (await idle.closed()).reason == (await busy.closed()).reason == "draining; retry_after=5"
        await node.served.stopped.wait()
        await nothing_is_held(node)


async def test_a_client_that_takes_nothing_is_reset_and_holds_nothing(tmp_path: Path) -> None:
    async with running(tmp_path, KUZU_STREAM_STALL_TIMEOUT="0.5") as node:
        async with await node.served.connect() as stream:
            await stream.send_all(upgrade())
            received = b""
            while b"\r\n\r\n" not in received:
                received += await stream.receive_some()
            await stream.send_all(masked('{"type":"begin","id":1}'))
            text = LONG.replace("1500000", "400000")
            await stream.send_all(masked(f'{{"type":"query","id":2,"cypher":"{text}"}}'))
            while not node.node.sessions.total:
                await trio.lowlevel.checkpoint()
            await nothing_is_held(node)
            with pytest.raises(trio.BrokenResourceError):
                await read_all(stream)
        async with node.client() as client:
            assert (await client.ask("begin"))["type"] == "done"
