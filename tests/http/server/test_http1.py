"""HTTP/1.1: what is refused before the app, what the app learns, and how few writes an answer takes."""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

import attrs
import h11
import pytest
import trio
import trio.testing

from tests.http.server.serving import (
    Served,
    answer,
    assert_alive,
    hello,
    read_all,
    read_answer,
    serving,
    wait_disconnect,
)

pytestmark = pytest.mark.trio

# Linux, include/uapi/linux/tcp.h: tcpi_data_segs_in of struct tcp_info.
DATA_SEGMENTS_IN = 152


async def refused(served: Served, data: bytes) -> dict[str, Any]:
    """The problem document of an answer after which the server closes the connection."""
    async with await served.connect() as stream:
        await stream.send_all(data)
        received = await read_all(stream)
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    assert b"x-request-id" in head.lower()
    problem: dict[str, Any] = json.loads(body)
    assert head.startswith(b"HTTP/1.1 %d " % problem["status"])
    return problem


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS where there is none
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\nx",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\nx",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HEAD / HTTP/1.0\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
async def test_a_head_that_means_two_things_or_none_is_refused(data: bytes) -> None:
    async with serving(hello) as served:
        if data.startswith(b"HEAD"):
            async with await served.connect() as stream:
                await stream.send_all(data)
                assert (await read_all(stream)).startswith(b"HTTP/1.1 400 ")
        else:
            assert (await refused(served, data))["code"] == "bad_request"
        await assert_alive(served)


async def test_a_broken_chunk_is_refused_and_told_to_the_app_as_a_disconnect() -> None:
    told = trio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await wait_disconnect(receive)
        told.set()

    async with serving(app) as served:
        head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        assert (await refused(served, head + b"zz\r\n"))["status"] == 400
        await told.wait()


async def test_a_head_without_end_is_refused_with_431() -> None:
    async with serving(hello) as served:
        problem = await refused(served, b"GET / HTTP/1.1\r\nHost: x\r\nx: " + b"y" * 300_000)
        assert (problem["status"], problem["code"]) == (431, "headers_too_large")
        await assert_alive(served)


async def test_headers_and_paths_over_the_limits_of_the_app_reach_it() -> None:
    seen: list[tuple[int, int]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((len(scope["raw_path"]), sum(len(n) + len(v) for n, v in scope["headers"])))
        await answer(send, 431, b"")

    async with serving(app) as served, await served.connect() as stream:
        await stream.send_all(b"GET /%s HTTP/1.1\r\nHost: x\r\nx: %s\r\n\r\n" % (b"p" * 5000, b"y" * 20000))
        assert (await read_answer(stream)).status == 431
    assert seen == [(5001, 20006)]


@pytest.mark.parametrize(
    ("target", "path"), [(b"http://x/a?b=/", b"/a"), (b"http://x", b"/"), (b"http://x?q", b"/"), (b"/a//b", b"/a//b")]
)
async def test_a_target_in_absolute_form_is_its_path(target: bytes, path: bytes) -> None:
    async with serving(hello) as served, await served.connect() as stream:
        await stream.send_all(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % target)
        assert (await read_answer(stream)).body == path


async def test_an_offer_of_h2c_is_answered_in_http1() -> None:
    async with serving(hello) as served, await served.connect() as stream:
        offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
        for path in (b"/one", b"/two"):
            await stream.send_all(b"GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n" % (path, offer))
            assert (await read_answer(stream)).body == path


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with serving(hello) as served, await served.connect() as stream:
        await stream.send_all(b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % n for n in range(200)))
        client = h11.Connection(h11.CLIENT)
        bodies: list[bytes] = []
        while len(bodies) < 200:
            client.send(h11.Request(method="GET", target="/", headers=[("host", "x")]))
            client.send(h11.EndOfMessage())
            body = b""
            while not isinstance(event := client.next_event(), h11.EndOfMessage):
                if event is h11.NEED_DATA:
                    client.receive_data(await stream.receive_some())
                elif isinstance(event, h11.Data):
                    body += bytes(event.data)
            bodies.append(body)
            client.start_next_cycle()
        assert bodies == [b"/%d" % n for n in range(200)]


async def test_the_next_request_may_arrive_in_parts_while_one_is_under_way() -> None:
    begun, go_on = trio.Event(), trio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/first":
            begun.set()
            await go_on.wait()
        await answer(send, 200, scope["path"].encode())

    async with serving(app) as served, await served.connect() as stream:
        await stream.send_all(b"GET /first HTTP/1.1\r\nHost: x\r\n\r\n")
        await begun.wait()
        for part in (b"GET /se", b"cond HTTP/1.1\r\n", b"Host: x\r\n\r\n"):
            await stream.send_all(part)
            await trio.testing.wait_all_tasks_blocked(0.01)
        go_on.set()
        received = b""
        while not received.endswith(b"/second"):
            part = await stream.receive_some()
            assert part, received
            received += part
        assert b"/first" in received


@pytest.mark.parametrize("behind", [b"", b"G", b"GET /next HTTP/1.1\r\nHost: x\r\n\r\n"])
async def test_the_app_learns_of_a_disconnect_whatever_was_sent_behind_its_request(behind: bytes) -> None:
    begun, told = trio.Event(), trio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        begun.set()
        await wait_disconnect(receive)
        told.set()

    async with serving(app) as served:
        async with await served.connect() as stream:
            await stream.send_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + behind)
            await begun.wait()
        await told.wait()


async def test_a_disconnect_is_told_again_and_receiving_it_can_be_cancelled() -> None:
    done = trio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await wait_disconnect(receive)
        with trio.move_on_after(0.1) as patience:
            while True:
                assert (await receive())["type"] == "http.disconnect"
        assert patience.cancelled_caught
        with trio.move_on_after(0.1) as patience:
            while True:
                await send({"type": "http.response.start", "status": 200, "headers": []})
        assert patience.cancelled_caught
        done.set()

    async with serving(app) as served:
        async with await served.connect() as stream:
            await stream.send_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await done.wait()


async def test_an_answer_ahead_of_a_long_body_arrives_and_its_connection_ends() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, 413, b"too large")

    async with serving(app) as served, await served.connect() as stream:
        await stream.send_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 50000000\r\n\r\n")
        await stream.send_all(b"x" * 4_000_000)  # blocks, or breaks, unless the server reads on
        refusal = await read_answer(stream, "POST")
        assert (refusal.status, refusal.body) == (413, b"too large")
        assert await read_all(stream) == b""


async def test_a_body_that_nobody_reads_ends_with_its_request() -> None:
    leave = trio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await leave.wait()
        await answer(send, 200, b"")

    async with serving(app, drain_seconds=60) as served, await served.connect() as stream:
        await stream.send_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 50000000\r\n\r\n")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.send_all, b"x" * 4_000_000)  # far more than anybody buffers
            await trio.testing.wait_all_tasks_blocked(0.05)
            leave.set()
            assert (await read_answer(stream, "POST")).status == 200
        await stream.aclose()
        served.stop.set()
        await served.stopped.wait()


async def test_continue_is_said_when_the_app_asks_for_the_body() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/refuse":
            await answer(send, 413, b"")
        else:
            await hello(scope, receive, send)

    async with serving(app) as served:
        head = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n"
        async with await served.connect() as stream:
            await stream.send_all(head % b"/take")
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 100 ")
            await stream.send_all(b"x")
            assert (await read_answer(stream, "POST")).status == 200
        async with await served.connect() as stream:
            await stream.send_all(head % b"/refuse")
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 413 ")


def segments(stream: trio.SocketStream) -> int:
    """How many segments with data have arrived."""
    info = stream.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    return int(struct.unpack_from("I", info, DATA_SEGMENTS_IN)[0])


@pytest.mark.parametrize("headers", [[], [(b"content-length", b"4")]])
async def test_head_and_body_of_a_short_answer_are_one_write(headers: list[tuple[bytes, bytes]]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"body"})

    async with serving(app) as served, await served.connect() as stream:
        for count in range(1, 4):
            await stream.send_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await read_answer(stream)).body == b"body"
            assert segments(stream) == count


async def test_the_head_of_a_stream_leaves_with_its_first_message_even_an_empty_one() -> None:
    more = trio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        await more.wait()
        await send({"type": "http.response.body", "body": b"late"})

    async with serving(app) as served, await served.connect() as stream:
        await stream.send_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await stream.receive_some()).startswith(b"HTTP/1.1 200 ")
        more.set()
        assert b"late" in await stream.receive_some()


@attrs.frozen
class Unfinished:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a part", "more_body": True})


async def test_an_answer_that_its_app_does_not_finish_breaks_the_connection() -> None:
    async with serving(Unfinished()) as served, await served.connect() as stream:
        await stream.send_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        with pytest.raises(h11.RemoteProtocolError):
            await read_answer(stream)


async def test_an_unfinished_answer_to_http10_is_reset_since_its_end_says_nothing() -> None:
    async with serving(Unfinished()) as served, await served.connect() as stream:
        await stream.send_all(b"GET / HTTP/1.0\r\n\r\n")
        with pytest.raises(trio.BrokenResourceError):
            await read_all(stream)


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nHost: x\r\nslow"])
async def test_a_connection_without_a_whole_head_is_closed_after_the_keep_alive_time(begun: bytes) -> None:
    async with serving(hello, keep_alive_timeout=0.3) as served, await served.connect() as stream:
        await stream.send_all(begun or b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        if not begun:
            assert (await read_answer(stream)).status == 200
        assert await read_all(stream) == b""


async def test_the_keep_alive_time_does_not_end_a_request_that_takes_longer() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        with trio.move_on_after(1):
            await wait_disconnect(receive)
        await answer(send, 200, b"slow")

    async with serving(app, keep_alive_timeout=0.2) as served, await served.connect() as stream:
        await stream.send_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await read_answer(stream)).body == b"slow"
