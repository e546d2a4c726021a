from __future__ import annotations

import io
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pytest
import trio
import trio.testing

from kuzu_client.errors import KuzuAPIError, KuzuSyntaxError, KuzuTransientError
from kuzu_client.session.traffic import UNDER_WAY
from tests.client.session.nodes import Peer, scripted

pytestmark = pytest.mark.trio


def frame(*values: int) -> bytes:
    """One Arrow IPC stream."""
    sink = io.BytesIO()
    table = pa.table({"n": pa.array(values, pa.int64())})
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


async def test_a_small_answer_comes_whole(autojump_clock: trio.testing.MockClock) -> None:
    async with scripted(Peer.answer_everything) as node, node.session() as session:
        result = await session.query("RETURN 1", {"a": 1}, timeout=3, read_only=True)
    assert result == {
        "columns": ["n"],
        "data": [{"n": "RETURN 1"}],
        "row_count": 1,
        "execution_time_ms": 0.5,
        "database": "g",
    }
    asked = {key: value for key, value in node.said[0].items() if key != "id"}
    assert asked == {"type": "query", "cypher": "RETURN 1", "parameters": {"a": 1}, "timeout": 3, "read_only": True}


async def test_a_long_answer_comes_in_pieces(autojump_clock: trio.testing.MockClock) -> None:
    async def script(peer: Peer) -> None:
        asked = (await peer.hear())["id"]
        await peer.say("columns", asked, columns=["n"])
        await peer.say("rows", asked, rows=[{"n": 1}, {"n": 2}])
        await peer.say("novelty", asked, of="a later node")
        await peer.say("rows", asked, rows=[{"n": None}], hint="ignored")
        await peer.done(asked, row_count=3)
        await peer.hear()

    async with scripted(script) as node, node.session() as session:
        result = await session.query("MATCH (p) RETURN p.n AS n")
    assert result.data == [{"n": 1}, {"n": 2}, {"n": None}]
    assert (result.columns, result.row_count) == (["n"], 3)


async def test_answers_reach_their_tasks_in_order_while_others_wait(autojump_clock: trio.testing.MockClock) -> None:
    got: list[str] = []
    seen = trio.Event()

    async def script(peer: Peer) -> None:
        asked = await peer.hear_all(16)
        await peer.result(asked[0]["id"], asked[0]["cypher"])
        await seen.wait()
        for query in asked[1:]:
            await peer.result(query["id"], query["cypher"])
        await peer.hear()

    async def ask(number: int) -> None:
        got.append((await session.query(str(number))).data[0]["n"])
        seen.set()

    async with scripted(script) as node, node.session() as session:
        async with trio.open_nursery() as nursery:
            for number in range(16):
                nursery.start_soon(ask, number)
        assert len(got) == 16
        assert got[0] == node.said[0]["cypher"]
        assert set(got) == {str(number) for number in range(16)}


async def test_orders_of_many_tasks_leave_in_one_write(autojump_clock: trio.testing.MockClock) -> None:
    async with scripted(Peer.answer_everything) as node, node.session() as session:
        stream = node.streams[0]
        assert isinstance(stream, trio.StapledStream)
        counted = CountingSend(stream.send_stream)
        stream.send_stream = counted
        async with trio.open_nursery() as nursery:
            for number in range(16):
                nursery.start_soon(session.query, str(number))
        assert len(node.said) == 16
        assert counted.writes == 1


class CountingSend(trio.abc.SendStream):
    def __init__(self, below: trio.abc.SendStream) -> None:
        self._below = below
        self.writes = 0

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        self.writes += 1
        await self._below.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._below.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._below.aclose()


async def test_only_so_many_orders_are_under_way(autojump_clock: trio.testing.MockClock) -> None:
    release = trio.Event()

    async def script(peer: Peer) -> None:
        asked = await peer.hear_all(UNDER_WAY)
        await release.wait()
        for query in asked:
            await peer.result(query["id"], 1)
        await peer.answer_everything()

    async with scripted(script) as node, node.session() as session, trio.open_nursery() as nursery:
        for number in range(UNDER_WAY + 10):
            nursery.start_soon(session.query, str(number))
        await trio.testing.wait_all_tasks_blocked()
        assert session.under_way == UNDER_WAY
        release.set()
        await trio.testing.wait_all_tasks_blocked()
        assert session.under_way == 0
        assert len(node.said) == UNDER_WAY + 10


async def test_arrow_answers_are_tables(autojump_clock: trio.testing.MockClock) -> None:
    async def script(peer: Peer) -> None:
        asked = await peer.hear()
        assert asked["format"] == "arrow"
        await peer.say("columns", asked["id"], columns=["n"])
        for values in ((1, 2), (3,)):
            await peer.say("rows", asked["id"], binary=True, row_count=len(values))
            await peer.socket.send_message(frame(*values))
        await peer.done(asked["id"], row_count=3)
        empty = await peer.hear()
        await peer.say("columns", empty["id"], columns=["n"])
        await peer.say("rows", empty["id"], binary=True, row_count=0)
        await peer.socket.send_message(frame())
        await peer.done(empty["id"], row_count=0)
        await peer.hear()

    async with scripted(script) as node, node.session() as session:
        table = await session.query("MATCH ..", format="arrow")
        assert table.to_pydict() == {"n": [1, 2, 3]}
        empty = await session.query("MATCH ..", format="arrow")
        assert empty.schema.names == ["n"]
        assert empty.num_rows == 0


async def test_errors_have_the_class_of_their_code(autojump_clock: trio.testing.MockClock) -> None:
    async def script(peer: Peer) -> None:
        await peer.error((await peer.hear())["id"], "syntax", 400, line=1, column=7)
        await peer.error((await peer.hear())["id"], "pool_exhausted", 503, retry_after=4)
        await peer.error((await peer.hear())["id"], "constraint", 409)
        await peer.answer_everything()

    async with scripted(script) as node, node.session() as session:
        with pytest.raises(KuzuSyntaxError, match="the syntax") as wrong:
            await session.query("RETRUN 1")
        assert (wrong.value.line, wrong.value.column, wrong.value.committed) == (1, 7, False)
        with pytest.raises(KuzuTransientError) as busy:
            await session.query("RETURN 1")
        assert (busy.value.retry_after, busy.value.code) == (4, "pool_exhausted")
        with pytest.raises(KuzuAPIError) as twice:
            await session.query("CREATE ..")
        assert (twice.value.status_code, type(twice.value)) == (409, KuzuAPIError)
        assert (await session.query("RETURN 1")).row_count == 1


@pytest.mark.parametrize("value", [float("nan"), object()])
async def test_parameters_that_json_cannot_carry_are_refused_unsent(
    value: Any, autojump_clock: trio.testing.MockClock
) -> None:
    async with scripted(Peer.answer_everything) as node, node.session() as session:
        with pytest.raises((ValueError, TypeError)):
            await session.query("RETURN $a", {"a": value})
        assert node.said == []
        assert (await session.query("RETURN 1")).row_count == 1


async def test_a_ping_overtakes_a_query(autojump_clock: trio.testing.MockClock) -> None:
    async with scripted(Peer.hear_to_the_end) as node, node.session() as session, trio.open_nursery() as nursery:
        nursery.start_soon(session.query, "slow")
        await trio.testing.wait_all_tasks_blocked()
        await session.ping()
        assert session.under_way == 1
        nursery.cancel_scope.cancel()
