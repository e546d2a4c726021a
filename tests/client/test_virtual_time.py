"""The async client on clocks that jump, over a transport that answers at once or never."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

import anyio
import attrs
import httpx
import pytest

from kuzu_client._async.caller import AsyncCaller
from kuzu_client.errors import KuzuAPIError, KuzuTimeoutError, KuzuTransientError, ServiceUnavailableError
from tests.client.calls import KEYED, READ, WRITE, Events
from tests.client.virtual_time import BACKENDS, JumpingClock, JumpingLoop, LoopClock, jumping

pytestmark = pytest.mark.anyio


@pytest.fixture(params=BACKENDS)
def timed_backend(request: pytest.FixtureRequest) -> Any:
    return jumping(request.param)


@pytest.fixture
def clock(timed_backend: Any) -> Any:
    return timed_backend[0]


@pytest.fixture
def anyio_backend(timed_backend: Any) -> Any:
    return timed_backend[1]


@attrs.define(eq=False)
class Node(httpx.AsyncBaseTransport):
    """`reply` may raise; it takes `seconds` of virtual time."""

    reply: Callable[[httpx.Request], httpx.Response]
    seconds: float = 0.0
    times: list[float] = attrs.field(factory=list)
    targets: list[str] = attrs.field(factory=list)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.times.append(anyio.current_time())
        self.targets.append(request.url.path)
        await anyio.sleep_until(anyio.current_time() + self.seconds)
        return self.reply(request)


def good(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json={"ok": True})


def broken(request: httpx.Request) -> httpx.Response:
    return httpx.Response(500, json={"code": "internal", "detail": "broken"})


def unreachable(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("no way")


async def outcome(caller: AsyncCaller) -> str:
    try:
        await caller.call(WRITE)
    except KuzuAPIError as error:
        return type(error).__name__
    return "ok"


async def test_a_half_open_breaker_lets_a_single_call_of_many_probe(clock: JumpingClock) -> None:
    node, events = Node(broken, seconds=1.0), Events()
    caller = AsyncCaller("http://node", transport=node, observers=[events], circuit_breaker_threshold=2)
    assert [await outcome(caller) for _ in range(3)] == ["KuzuServerError"] * 2 + ["ServiceUnavailableError"]
    clock.jump(59.0)
    assert await outcome(caller) == "ServiceUnavailableError"
    clock.jump(1.0)
    node.reply = good
    outcomes: list[str] = []

    async def one() -> None:
        outcomes.append(await outcome(caller))

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(one)
    assert sorted(outcomes) == ["ServiceUnavailableError"] * 19 + ["ok"]
    assert len(node.times) == 3
    assert await outcome(caller) == "ok"
    assert events.changes == [("closed", "open"), ("open", "half_open"), ("half_open", "closed")]


async def test_an_open_breaker_tells_when_to_come_again(clock: JumpingClock) -> None:
    node = Node(broken)
    caller = AsyncCaller("http://node", transport=node, circuit_breaker_threshold=1, circuit_breaker_timeout=30.0)
    await outcome(caller)
    clock.jump(12.0)
    with pytest.raises(ServiceUnavailableError) as caught:
        await caller.call(READ)
    assert caught.value.retry_after == pytest.approx(18.0)


async def test_retries_are_spread_and_end_before_the_deadline() -> None:
    node, events = Node(unreachable), Events()
    caller = AsyncCaller(
        "http://node", transport=node, observers=[events], timeout=10.0, max_retries=50, circuit_breakers_enabled=False
    )
    begin = anyio.current_time()
    with pytest.raises(KuzuTransientError, match="no way") as caught:
        await caller.call(WRITE)
    assert anyio.current_time() - begin < 10.0
    assert caught.value.committed is False
    for wait in events.waits:
        assert 0 <= wait.seconds <= 1.0 * 2.0 ** (wait.attempt - 1)


async def test_a_node_that_says_nothing_is_given_up_at_the_deadline() -> None:
    node = Node(good, seconds=1000.0)
    begin = anyio.current_time()
    with pytest.raises(KuzuTimeoutError) as caught:
        await AsyncCaller("http://node", transport=node, timeout=7.0).call(READ)
    assert anyio.current_time() - begin == pytest.approx(7.0)
    assert caught.value.committed is None


async def test_a_retry_after_is_waited_for() -> None:
    told = iter(
        [
            httpx.Response(503, headers={"Retry-After": "9"}, json={"committed": False}),
            good(httpx.Request("GET", "http://x")),
        ]
    )
    node = Node(lambda request: next(told))
    begin = anyio.current_time()
    await AsyncCaller("http://node", transport=node).call(WRITE)
    assert anyio.current_time() - begin == pytest.approx(9.0)


@pytest.mark.parametrize(
    ("status", "asked_again_after"), [(200, 60.0), (404, 60.0), (503, 5.0)], ids=["lists-it-not", "no-info", "draining"]
)
async def test_a_node_without_the_feature_is_asked_again_after_a_time(
    status: int, asked_again_after: float, clock: JumpingClock
) -> None:
    node = Node(lambda request: httpx.Response(status if request.url.path == "/info" else 200, json={"features": []}))
    caller = AsyncCaller("http://node", transport=node)
    await caller.call(KEYED)
    clock.jump(asked_again_after - 0.1)
    await caller.call(KEYED)
    assert node.targets == ["/info", "/write", "/write"]
    clock.jump(0.2)
    await caller.call(KEYED)
    assert node.targets[3:] == ["/info", "/write"]


async def test_many_first_writes_ask_once() -> None:
    node = Node(lambda request: httpx.Response(200, json={"features": ["idempotency"]}), seconds=1.0)
    caller = AsyncCaller("http://node", transport=node)
    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(caller.call, KEYED)
    assert node.targets.count("/info") == 1
    assert node.targets.count("/write") == 10


@pytest.mark.parametrize(("timeout", "waited"), [(30.0, 5.0), (1.0, 0.25)])
async def test_a_node_that_does_not_tell_costs_a_write_some_seconds_and_not_its_deadline(
    timeout: float,  # noqa: ASYNC109 - a parameter of the client
    waited: float,
) -> None:
    class Slow(Node):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.url.path == "/info":
                await anyio.sleep_forever()
            return await super().handle_async_request(request)

    begin = anyio.current_time()
    assert await AsyncCaller("http://node", timeout=timeout, transport=Slow(good)).call(KEYED) == {"ok": True}
    assert anyio.current_time() - begin == pytest.approx(waited)


def test_a_loop_that_watches_a_socket_refuses_to_jump() -> None:
    async def main() -> None:
        asyncio.get_running_loop().add_reader(ours, print)
        await anyio.sleep_until(1)

    ours, theirs = socket.socketpair()
    clock = LoopClock()
    with ours, theirs, asyncio.Runner(loop_factory=partial(JumpingLoop, clock)) as runner:
        with pytest.raises(RuntimeError, match="real file"):
            runner.run(main())
        assert clock.now == 0
        runner.get_loop().remove_reader(ours)
