"""Programs of plain asyncio, which know neither anyio nor its scopes: their cancellations, timeouts and generators."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable

import pytest

from kuzu_client import AsyncKuzuClient
from kuzu_client._async.caller import AsyncCaller
from kuzu_client._async.results import AsyncResultStream, AsyncRows
from kuzu_client._core.breaker import BreakerState
from tests.client import test_cancellation as cancellation
from tests.client.calls import QUICK, WRITE
from tests.client.scripted import ScriptedServer, answers, chunked, head, says, scripted, stalls
from tests.client.steps import InterruptedAt

NDJSON = head(200, {"Content-Type": "application/x-ndjson", "Transfer-Encoding": "chunked"})
CHUNK = b'{"chunk_index":0,"data":[{"a":1}],"columns":["a"],"is_last_chunk":false,"row_count":1}\n'
STALLED = stalls(NDJSON + chunked([CHUNK]))
# The one that is left out has a task group of anyio, which such programs do not know.
OPERATIONS = [one for one in cancellation.OPERATIONS if one is not cancellation.call_behind_another]
EMPTY = answers({"columns": [], "data": [], "row_count": 0})


async def ended(operation: Awaitable[object], step: int) -> bool:
    """Whether it came to its end before it was cancelled. No cancellation may be swallowed."""

    async def run() -> None:
        await interrupted

    task = asyncio.create_task(run())
    interrupted = InterruptedAt(operation, step, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        return False
    assert not interrupted.reached
    return True


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.__name__)
def test_wherever_its_task_is_cancelled_the_one_connection_is_free(
    operation: Callable[[AsyncCaller, ScriptedServer], Awaitable[None]],
) -> None:
    async def cancelled_at(step: int) -> bool:
        with scripted() as server:
            async with asyncio.timeout(10), AsyncCaller(server.url, **QUICK, max_connections=1) as caller:
                done = await ended(operation(caller, server), step)
                server.script.clear()
                assert await caller.call(WRITE) == {"ok": True}
                assert caller._breaker.state is BreakerState.CLOSED
                assert asyncio.all_tasks() == {asyncio.current_task()}
        return done

    step = 1
    while not asyncio.run(cancelled_at(step)):
        step += 1
        assert step < 500
    assert step > 3


async def timed_out(operation: Awaitable[object], server: ScriptedServer) -> bool:
    """Whether a timeout that passes when the server has stalled ends it."""
    loop = asyncio.get_running_loop()
    server.stalled.clear()
    try:
        async with asyncio.timeout(20) as scope:
            watching = loop.run_in_executor(None, server.stalled.wait, 10)
            watching.add_done_callback(lambda _: scope.reschedule(loop.time()))
            await operation
    except TimeoutError:
        return watching.done()
    return False


async def read(source: AsyncRows | AsyncResultStream) -> None:
    async with source as parts:
        async for _ in parts:
            pass


def test_a_timeout_of_asyncio_ends_a_call_or_a_stream_and_nothing_else() -> None:
    async def main() -> None:
        with scripted(stalls(), STALLED, STALLED, otherwise=EMPTY) as server:
            async with AsyncKuzuClient(server.url, **QUICK, max_connections=1) as client:
                assert await timed_out(client.query("RETURN 1", read_only=True), server)
                assert await timed_out(read(client.rows("RETURN 1", read_only=True)), server)
                assert await timed_out(read(client.stream("RETURN 1", read_only=True)), server)
                task = asyncio.current_task()
                assert task is not None
                assert not task.cancelling()
                assert (await client.query("RETURN 1", read_only=True)).row_count == 0

    asyncio.run(main())


def test_calls_that_are_gathered_share_the_pool_and_a_failing_one_leaves_the_others() -> None:
    async def main() -> None:
        with scripted(says(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"), otherwise=EMPTY) as server:
            async with AsyncKuzuClient(server.url, **QUICK, max_connections=2) as client:
                calls = [client.query("RETURN 1", read_only=True) for _ in range(6)]
                found = await asyncio.gather(*calls, return_exceptions=True)
        assert sum(isinstance(one, Exception) for one in found) == 1
        assert server.connections <= 2

    asyncio.run(main())


@pytest.mark.parametrize("collected", [True, False])
def test_an_iteration_that_is_just_left_frees_its_connection_without_a_word(
    collected: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """As programs do that `break` out of it: asyncio closes it when it is collected, or at the end of the loop."""

    async def main() -> None:
        with scripted(STALLED, otherwise=EMPTY) as server:
            async with AsyncKuzuClient(server.url, **QUICK, max_connections=1) as client:
                stream = await client.query("RETURN 1", streaming=True, read_only=True)
                async for chunk in stream:
                    assert chunk.data == [{"a": 1}]
                    break
                if collected:
                    del stream
                    gc.collect()
                    assert (await client.query("RETURN 1", read_only=True)).row_count == 0

    asyncio.run(main())
    gc.collect()
    assert caplog.records == []


def test_a_closed_client_goes_on_in_another_loop() -> None:
    async def main() -> None:
        async with client:
            await asyncio.gather(*(client.query("RETURN 1", read_only=True) for _ in range(3)))

    with scripted(otherwise=EMPTY) as server:
        client = AsyncKuzuClient(server.url, **QUICK, max_connections=2)
        asyncio.run(main())
        asyncio.run(main())
