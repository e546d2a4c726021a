"""Answers to requests whose body has not come yet, or not at all, or too slowly."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
import trio
import trio.testing

from kuzu_node.http.app import App
from tests.http.exchange import WITH_KEY, Exchange, Message, Reply, call, served

pytestmark = pytest.mark.trio
CHUNKED = (b"transfer-encoding", b"chunked")


def post(*headers: tuple[bytes, bytes], version: str = "1.1") -> Exchange:
    return Exchange("POST", "/databases/g1/query", (*WITH_KEY, *headers), http_version=version)


async def start(nursery: trio.Nursery, app: App, exchange: Exchange) -> list[Reply]:
    """Run the request beside the test, as far as it gets."""
    replies: list[Reply] = []

    async def run() -> None:
        replies.append(await exchange.run(app))

    nursery.start_soon(run)
    await trio.testing.wait_all_tasks_blocked()
    return replies


async def test_an_announced_length_above_the_limit_is_refused_before_the_body_comes(autojump_clock: Any) -> None:
    async with served() as (app, _):
        reply = await post((b"content-length", b"5000000")).run(app)
        assert (reply.status, reply.json["code"]) == (413, "too_large")
        assert reply.headers[b"connection"] == b"close"
        assert reply.complete


async def test_a_body_without_a_length_is_counted(autojump_clock: Any) -> None:
    async with served() as (app, _):
        exchange = post(CHUNKED)
        for _ in range(50):
            exchange.feed(b"x" * 1000, more=True)
        reply = await exchange.run(app)
        assert (reply.status, reply.json["code"]) == (413, "too_large")
        assert reply.headers[b"connection"] == b"close"


async def test_a_body_of_exactly_the_limit_is_read() -> None:
    async with served() as (app, _):
        body = b'{"cypher":"RETURN 1"}'.ljust(4096)
        assert (await call(app, "POST", "/databases/g1/query", body)).status == 200
        assert (await call(app, "POST", "/databases/g1/query", body + b" ")).status == 413


async def test_a_small_rest_is_read_and_the_connection_kept() -> None:
    async with served() as (app, _):
        exchange = Exchange("POST", "/databases/g1/query", ((b"content-length", b"21"),))
        exchange.feed(b'{"cypher":"RETURN 1"}')
        reply = await exchange.run(app)
        assert reply.status == 401
        assert b"connection" not in reply.headers
        assert exchange.reads == 1


async def test_connection_close_is_not_said_on_http2(autojump_clock: Any) -> None:
    async with served() as (app, _):
        reply = await post((b"content-length", b"5000000"), version="2").run(app)
        assert reply.status == 413
        assert b"connection" not in reply.headers


async def test_the_answer_goes_out_before_the_rest_of_the_upload_is_dropped() -> None:
    async with served() as (app, _), trio.open_nursery() as nursery:
        exchange = post((b"content-length", b"5000000"))
        await start(nursery, app, exchange)
        assert [message["type"] for message in exchange.sent] == ["http.response.start", "http.response.body"]
        exchange.feed(b"", more=False)


@attrs.define(eq=False)
class CrowdedExchange(Exchange):
    """More of the body comes while the last part of the answer is being sent."""

    dropped: int = 0

    async def send(self, message: Message) -> None:
        await super().send(message)
        if message.get("more_body") is False:
            self.feed(b"x", more=True)
            await trio.testing.wait_all_tasks_blocked()
            self.dropped = self.reads


async def test_dropping_goes_on_while_the_answer_ends(autojump_clock: Any) -> None:
    # The server tells the end of a request through the queue of its body: nobody reading it would block for ever.
    async with served() as (app, _):
        exchange = CrowdedExchange("POST", "/databases/g1/query", (*WITH_KEY, (b"content-length", b"5000000")))
        await exchange.run(app)
        assert exchange.dropped == 1


async def test_a_body_that_nobody_wants_has_one_reader(autojump_clock: Any) -> None:
    async with served() as (app, node):

        async def pause() -> None:
            with trio.move_on_after(1):
                await trio.sleep_forever()

        node.g1.run_schema = pause
        exchange = Exchange("GET", "/databases/g1/schema", (*WITH_KEY, (b"content-length", b"100000")))
        reply = await exchange.run(app)
        assert (reply.status, reply.headers[b"connection"]) == (200, b"close")


async def test_a_stalled_body_is_refused(autojump_clock: Any) -> None:
    async with served() as (app, node):
        exchange = post((b"content-length", b"100"))
        exchange.feed(b"{", more=True)
        began = trio.current_time()
        reply = await exchange.run(app)
        assert (reply.status, reply.json["code"], reply.json["committed"]) == (400, "bad_request", False)
        assert 30 <= trio.current_time() - began < 40
        assert node.g1.queries == []


async def test_a_body_that_drips_is_refused_too(autojump_clock: Any) -> None:
    async with served() as (app, _), trio.open_nursery() as nursery:
        exchange = post(CHUNKED)
        began = trio.current_time()
        replies = await start(nursery, app, exchange)
        async with trio.open_nursery() as dripping:

            async def drip() -> None:
                while not replies:
                    exchange.feed(b" ", more=True)
                    with trio.move_on_after(10):
                        await trio.sleep_forever()

            dripping.start_soon(drip)
        assert replies[0].status == 400
        assert trio.current_time() - began < 60


async def test_a_client_that_leaves_during_its_upload_gets_nothing() -> None:
    async with served() as (app, node):
        exchange = post(CHUNKED)
        exchange.feed(b"{", more=True)
        exchange.disconnect()
        await exchange.run(app)
        assert exchange.sent == []
        assert node.g1.queries == []
