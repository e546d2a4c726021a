"""The client's sessions with a real node, and each side's messages read by the other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import psutil
import pytest
import trio
from trio_websocket import CloseReason

from kuzu_client import AsyncKuzuClient
from kuzu_client.errors import KuzuAPIError, KuzuClientError, KuzuSyntaxError, KuzuTransientError
from kuzu_client.session import Session
from kuzu_client.session.losses import Loss
from kuzu_client.session.protocol import Conversation, Effect, Kind, Order, order_text, query_text
from kuzu_node.errors import StatementFailed
from kuzu_node.http.session import messages
from kuzu_node.http.session.conversation import BINARY, DRAINING, IDLE, LOST, TOO_LONG
from kuzu_node.http.session.messages import read_message
from kuzu_node.http.session.outbox import Ending
from kuzu_node.http.structure import Bodies
from tests.process.nodes import NodeProcess

COUNT = "MATCH (p:P) RETURN count(*) AS n"
ENDLESS = "UNWIND range(1, 100000) AS a UNWIND range(1, 1000) AS b UNWIND range(1, 1000) AS c RETURN sum(a + b * c)"


@asynccontextmanager
async def session(url: str, graph: str) -> AsyncIterator[Session]:
    async with AsyncKuzuClient(url, graph_id=graph) as client, client.session(graph) as opened:
        yield opened


async def count(asked: Any) -> int:
    found: int = (await asked.query(COUNT)).data[0]["n"]
    return found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            query_text(7, "RETURN $a", {"a": [1, None]}, timeout=2, read_only=True, answer="arrow"),
            messages.QueryOrder(
                cypher="RETURN $a", parameters={"a": [1, None]}, timeout=2.0, read_only=True, format="arrow"
            ),
        ),
        (query_text(7, "RETURN 1", None), messages.QueryOrder(cypher="RETURN 1")),
        (order_text(7, Kind.BEGIN, read_only=True), messages.BeginOrder(read_only=True)),
        (order_text(7, Kind.BEGIN), messages.BeginOrder()),
        (order_text(7, Kind.COMMIT), messages.CommitOrder()),
        (order_text(7, Kind.ROLLBACK), messages.RollbackOrder()),
        (order_text(7, Kind.CANCEL, target=3), messages.Cancel(b"3")),
        (order_text(7, Kind.PING), messages.Ping()),
    ],
)
def test_the_node_reads_what_the_client_writes(text: str, said: messages.Said) -> None:
    assert read_message(text, Bodies()) == (b"7", said)


def test_the_client_reads_what_the_node_writes() -> None:
    conversation: Conversation[Order] = Conversation()

    def sent(order_id: int, kind: Kind) -> Order:
        order = conversation.under_way[order_id] = Order(order_id, kind, "", Effect.NONE)
        conversation.sent(order)
        return order

    def hear(text: bytes) -> Any:
        taken = conversation.receive(text.decode())
        assert taken is not None
        return taken[1]

    whole = sent(1, Kind.QUERY)
    assert hear(messages.result(b"1", ("a",), b'{"a":1}', 1, 0.5)) == [{"a": 1}]
    assert (whole.columns, whole.execution_time_ms) == (["a"], 0.5)
    long = sent(2, Kind.QUERY)
    hear(messages.columns(b"2", ("a",)))
    assert hear(messages.rows(b"2", b'{"a":1},{"a":2}')) == [{"a": 1}, {"a": 2}]
    hear(messages.announced(b"2", 3))
    assert conversation.receive(b"arrow") == (long, b"arrow")
    hear(messages.done_query(b"2", 5, 0.5))
    failed = sent(3, Kind.COMMIT)
    hear(messages.error(b"3", StatementFailed("no", code="syntax", line=1, column=2), committed=None))
    assert isinstance(failed.failure, KuzuSyntaxError)
    assert (failed.failure.line, failed.failure.committed) == (1, None)
    sent(4, Kind.BEGIN)
    hear(messages.done(b"4", 0.25))
    sent(5, Kind.PING)
    hear(messages.pong(b"5"))
    assert not conversation.under_way


@pytest.mark.trio
async def test_queries_of_many_tasks(url: str, graph: str) -> None:
    found: dict[int, Any] = {}

    async def ask(number: int) -> None:
        found[number] = (await opened.query("RETURN $n AS n", {"n": number})).data

    async with session(url, graph) as opened:
        async with trio.open_nursery() as nursery:
            for number in range(300):
                nursery.start_soon(ask, number)
        assert found == {number: [{"n": number}] for number in range(300)}
        assert opened.under_way == 0


@pytest.mark.trio
@pytest.mark.parametrize("rows", [0, 1, 200_000])
async def test_rows_come_in_every_form(url: str, graph: str, rows: int) -> None:
    text = f"UNWIND range(1, {rows}) AS x RETURN x, 'text' AS t"
    async with session(url, graph) as opened:
        whole = await opened.query(text)
        assert (whole.columns, whole.row_count, len(whole.data)) == (["x", "t"], rows, rows)
        table = await opened.query(text, format="arrow")
        assert table.to_pylist() == whole.data
        async with opened.stream(text) as stream:
            assert [row async for batch in stream for row in batch] == whole.data
        async with opened.stream_arrow(text) as batches:
            assert sum([batch.num_rows async for batch in batches]) == rows


@pytest.mark.trio
async def test_transactions(url: str, graph: str) -> None:
    async with session(url, graph) as opened, session(url, graph) as other:
        before = await count(other)
        async with opened.transaction() as transaction:
            await transaction.query("CREATE (:P {id: 10})")
            assert (await count(transaction), await count(other)) == (before + 1, before)
        assert await count(other) == before + 1
        with pytest.raises(KuzuAPIError) as failure:  # noqa: PT012 - the block is what raises
            async with opened.transaction() as transaction:
                await transaction.query("CREATE (:P {id: 11})")
                await transaction.query("CREATE (:P {id: 10})")
        assert (failure.value.code, failure.value.committed) == ("constraint", False)
        with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the block is what raises
            async with opened.transaction() as transaction:
                await transaction.query("CREATE (:P {id: 12})")
                raise ZeroDivisionError
        with pytest.raises(KuzuClientError) as refused:
            async with opened.transaction(read_only=True) as transaction:
                await transaction.query("CREATE (:P {id: 13})")
        assert refused.value.code == "read_only"
        assert await count(opened) == before + 1


@pytest.mark.trio
async def test_errors_have_their_kinds_and_places(url: str, graph: str) -> None:
    async with session(url, graph) as opened:
        with pytest.raises(KuzuSyntaxError) as syntax:
            await opened.query("RETURN 1 +")
        assert (syntax.value.line, syntax.value.committed) == (1, False)
        with pytest.raises(KuzuAPIError) as timeout:
            await opened.query(ENDLESS, timeout=0.2)
        assert (timeout.value.code, timeout.value.committed) == ("query_timeout", False)
        assert (await opened.query("RETURN 1 AS n")).data == [{"n": 1}]


@pytest.mark.trio
async def test_a_query_that_is_given_up_is_stopped(url: str, graph: str) -> None:
    async with session(url, graph) as opened:
        with trio.move_on_after(0.3):
            await opened.query(ENDLESS)
        with trio.fail_after(5):
            assert (await opened.query("RETURN 1 AS n")).data == [{"n": 1}]
        with trio.move_on_after(0.3):
            async with opened.transaction() as transaction:
                await transaction.query("CREATE (:P {id: 20})")
                await transaction.query(ENDLESS)
        async with opened.stream("UNWIND range(1, 1000000) AS x RETURN x") as stream:
            async for _ in stream:
                break
        assert (await opened.query("MATCH (p:P {id: 20}) RETURN count(*) AS n")).data == [{"n": 0}]
        assert opened.under_way == 0


@pytest.mark.trio
async def test_refusals_are_told_when_a_session_is_opened(url: str, graph: str) -> None:
    with pytest.raises(KuzuClientError) as unknown:
        async with session(url, "nobody"):
            pass
    assert (unknown.value.status_code, unknown.value.code) == (404, "unknown_database")
    async with session(url, graph) as opened:
        async with AsyncKuzuClient(url, graph_id=graph) as client:
            await client.delete_database(graph)
        with pytest.raises(KuzuAPIError) as gone:
            await opened.query("RETURN 1")
        assert gone.value.code == "unknown_database"


@pytest.mark.trio
async def test_a_worker_that_dies_costs_the_query_that_ran(node: NodeProcess, url: str, graph: str) -> None:
    async with session(url, graph) as opened:
        before = await count(opened)
        caught: list[KuzuTransientError] = []

        async def ask() -> None:
            with pytest.raises(KuzuTransientError) as lost:
                await opened.query(ENDLESS, read_only=True)
            caught.append(lost.value)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            openings = [event for event in node.events if event["event"] == "database_opened"]
            worker = psutil.Process(next(event["pid"] for event in openings if event["database"] == graph))
            while worker.cpu_percent(0.05) < 50:
                await trio.lowlevel.checkpoint()
            worker.kill()
        assert (caught[0].code, caught[0].committed) == ("database_restarting", False)
        assert await count(opened) == before


@pytest.mark.trio
async def test_many_transactions_leak_nothing(node: NodeProcess, url: str, graph: str) -> None:
    process = psutil.Process(node.popen.pid)

    async def transact(opened: Session, number: int) -> None:
        for _ in range(number):
            async with opened.transaction(read_only=True) as transaction:
                await transaction.query("RETURN 1 AS n")

    async with session(url, graph) as opened:
        await transact(opened, 200)
        before = held(process)
        await transact(opened, 1000)
        # The node may have begun another spare worker meanwhile.
        assert held(process).descriptors <= before.descriptors + 4
        assert held(process).bytes < before.bytes + (8 << 20)
        assert opened.under_way == 0


@attrs.frozen
class Held:
    descriptors: int
    bytes: int


def held(process: psutil.Process) -> Held:
    return Held(process.num_fds(), process.memory_info().rss)


@pytest.mark.parametrize("ending", [BINARY, TOO_LONG, DRAINING, LOST, IDLE])
def test_every_close_code_means_something_to_the_client(ending: Ending) -> None:
    error = Loss.from_close(CloseReason(ending.code, ending.reason)).error()
    code, _, after = ending.reason.partition("; retry_after=")
    assert (error.code, error.retry_after) == (code, float(after) if after else None)
    assert error.status_code is not None
