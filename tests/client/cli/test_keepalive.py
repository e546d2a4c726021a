"""A transaction of the shell does not idle away while somebody thinks. It lives in a session, which needs Trio."""

from __future__ import annotations

import json

import pytest
import trio
import trio.testing

from kuzu_client.cli.shell.sessions import kept_alive
from tests.client.session.nodes import Peer, pass_time, scripted

pytestmark = pytest.mark.trio


async def test_pings_come_while_nothing_else_does(autojump_clock: trio.testing.MockClock) -> None:
    pings: list[str] = []

    async def count(peer: Peer) -> None:
        while True:
            message = json.loads(await peer.socket.get_message())
            pings.append(message["type"])
            await peer.say("pong", message["id"])

    thoughtful = trio.current_time() + 95

    async def think() -> str:
        await pass_time(autojump_clock, thoughtful - trio.current_time())
        return "thought"

    async with scripted(count) as node, node.session() as session:
        assert pings == ["ping"]  # that of the opening
        assert await kept_alive(session, think) == "thought"
        assert pings == ["ping"] * 10
