"""HTTP/2: windows hold apps back, streams fail alone, and nobody waits for a client that is gone."""

from __future__ import annotations

from typing import Any

import attrs
import h2.events
import h2.settings
import pytest
import trio
import trio.testing

from tests.http.server.serving import Http2Client, answer, assert_alive, hello, http2, serving, wait_disconnect

pytestmark = pytest.mark.trio

CHUNK = b"x" * 65536
POST = [(b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"x"), (b":path", b"/")]


@attrs.define(eq=False)
class Flood:
    """Sends without end and counts the bytes that `send` has accepted; `ended` is set when it is told to stop."""

    accepted: int = 0
    ended: trio.Event = attrs.field(factory=trio.Event)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/alive":
            await hello(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.pour, send)
                await wait_disconnect(receive)
                nursery.cancel_scope.cancel()
        finally:
            self.ended.set()

    async def pour(self, send: Any) -> None:
        while True:
            await send({"type": "http.response.body", "body": CHUNK, "more_body": True})
            self.accepted += len(CHUNK)


async def close_windows(client: Http2Client) -> None:
    client.connection.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0})
    await client.flush()
    await client.wait(h2.events.SettingsAcknowledged)


async def test_closed_windows_hold_the_apps_back() -> None:
    flood = Flood()
    async with serving(flood) as served, http2(served) as client:
        await close_windows(client)
        for stream_id in (1, 3, 5, 7):
            await client.request(stream_id, path="/flood")
        for stream_id in (1, 3, 5, 7):
            assert await client.status(stream_id) == 200
        # A second of a loop that never waits is gigabytes.
        for _ in range(20):
            await assert_alive(served)
        assert flood.accepted <= 4 * 2 * len(CHUNK)


async def test_a_stream_goes_on_when_its_window_opens() -> None:
    flood = Flood()
    async with serving(flood) as served, http2(served) as client:
        await client.request(1, path="/flood")
        while len(client.body(1)) < 20 * len(CHUNK):
            assert await client.receive()
            for event in client.events:
                if isinstance(event, h2.events.DataReceived):
                    client.connection.acknowledge_received_data(event.flow_controlled_length, 1)
                    await client.flush()
            client.events = [e for e in client.events if not isinstance(e, h2.events.DataReceived)]
            if flood.accepted > 20 * len(CHUNK):
                break
        assert flood.accepted > 0


async def test_a_window_that_stays_closed_costs_its_stream_alone() -> None:
    flood = Flood()
    async with serving(flood, stall_timeout=0.3) as served, http2(served) as client:
        await close_windows(client)
        await client.request(1, path="/flood")
        reset = await client.wait(h2.events.StreamReset, 1)
        assert reset.error_code == 8
        await flood.ended.wait()
        await client.request(3, path="/alive")
        assert await client.status(3) == 200


async def test_a_client_that_is_gone_frees_the_apps_that_wait_for_its_window() -> None:
    sent = trio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(10):
            await send({"type": "http.response.body", "body": CHUNK, "more_body": True})
        sent.set()

    async with serving(app, stall_timeout=3600) as served:
        async with http2(served) as client:
            await close_windows(client)
            await client.request(1)
            assert await client.status(1) == 200
        await sent.wait()


async def test_an_answer_that_its_app_does_not_finish_is_reset() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a part", "more_body": True})

    async with serving(app) as served, http2(served) as client:
        await client.request(1)
        await client.wait(h2.events.StreamReset, 1)


async def test_sends_to_a_reset_stream_can_be_cancelled_and_starve_nobody() -> None:
    cancelled = trio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/alive":
            await hello(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await wait_disconnect(receive)
        with trio.move_on_after(0.2) as scope_:
            while True:
                await send({"type": "http.response.body", "body": b"x" * 1024, "more_body": True})
        assert scope_.cancelled_caught
        cancelled.set()

    async with serving(app) as served, http2(served) as client:
        await client.request(1)
        assert await client.status(1) == 200
        client.connection.reset_stream(1)
        await client.flush()
        await assert_alive(served)
        await cancelled.wait()


async def test_sending_the_body_of_a_head_request_starves_nobody() -> None:
    flood = Flood()
    async with serving(flood) as served:
        async with http2(served) as client:
            await client.request(1, [*POST[1:], (b":method", b"HEAD")])
            assert await client.status(1) == 200
            await assert_alive(served)
        await flood.ended.wait()


async def test_a_body_that_nobody_reads_does_not_hold_up_the_other_streams() -> None:
    leave = trio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["method"] == "POST":
            await leave.wait()
        else:
            await hello(scope, receive, send)
            return
        await answer(send, 200, b"late")

    async with serving(app) as served, http2(served) as client:
        await client.request(1, POST, end=False)
        for _ in range(60):
            client.connection.send_data(1, b"y" * 1000)
        await client.flush()
        await client.request(3)
        assert await client.status(3) == 200
        leave.set()
        assert await client.status(1) == 200


async def test_bodies_that_are_never_read_give_the_window_of_the_connection_back() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, 413, b"")

    async with serving(app) as served, http2(served) as client:
        sent = 0
        for stream_id in range(1, 201, 2):
            await client.request(stream_id, POST, end=False)
            size = min(16384, client.connection.local_flow_control_window(stream_id))
            assert size > 0
            client.connection.send_data(stream_id, b"z" * size)
            await client.flush()
            sent += size
            assert await client.status(stream_id) == 413
        assert sent > 1024 * 1024


async def test_an_upload_larger_than_every_window_arrives_whole() -> None:
    received = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal received
        more = True
        while more:
            message = await receive()
            received += len(message["body"])
            more = message["more_body"]
        await answer(send, 200, b"")

    size = 3 * 1024 * 1024
    async with serving(app) as served, http2(served) as client:
        await client.request(1, POST, end=False)
        left = size
        while left:
            piece = min(left, 16384, client.connection.local_flow_control_window(1))
            if piece <= 0:
                assert await client.receive()
                continue
            client.connection.send_data(1, b"u" * piece)
            await client.flush()
            left -= piece
        client.connection.end_stream(1)
        await client.flush()
        assert await client.status(1) == 200
        assert received == size


async def test_streams_that_are_reset_at_once_start_a_bounded_number_of_apps() -> None:
    running, most = 0, 0
    leave = trio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await leave.wait()
        running -= 1
        await answer(send, 200, b"")

    async with serving(app) as served, http2(served) as client:
        for stream_id in range(1, 1001, 2):
            client.connection.send_headers(stream_id, [*POST[1:], (b":method", b"GET")], end_stream=True)
            client.connection.reset_stream(stream_id)
        await client.request(1001)
        reset = await client.wait(h2.events.StreamReset, 1001)
        assert reset.error_code == 7
        await trio.testing.wait_all_tasks_blocked()
        assert most == 100
        leave.set()


async def test_a_broken_frame_is_answered_with_goaway() -> None:
    async with serving(hello) as served, http2(served) as client:
        await client.stream.send_all(b"\x00\x00\x01\x00\x00\x00\x00\x00\x00x")  # DATA on stream 0
        await client.wait(h2.events.ConnectionTerminated)
        await assert_alive(served)
