"""Sessions as a program comes to them: through its client, over a real socket."""

from __future__ import annotations

import asyncio

import pytest
import trio
from trio_websocket import WebSocketRequest

from kuzu_client import AsyncKuzuClient, KuzuClient
from tests.client.session.nodes import Peer
from tests.client.session.test_opening import listening


@pytest.mark.trio
async def test_a_client_opens_sessions_with_its_own_settings() -> None:
    seen: list[WebSocketRequest] = []

    async def handler(request: WebSocketRequest) -> None:
        seen.append(request)
        await Peer(await request.accept(subprotocol="kuzu.v1")).answer_everything()

    with trio.fail_after(30):
        async with (
            listening(handler) as port,
            AsyncKuzuClient(f"http://localhost:{port}", "K", graph_id="mine") as client,
        ):
            async with client.session() as session, session.transaction() as tx:
                assert (await tx.query("RETURN 1")).database == "mine"
            async with client.session("other") as session:
                assert session.graph_id == "other"
    assert [request.path for request in seen] == ["/databases/mine/session", "/databases/other/session"]
    assert dict(seen[0].headers)[b"x-kuzu-api-key"] == b"K"


def test_elsewhere_than_on_trio_the_client_says_what_is_missing() -> None:
    async def ask() -> None:
        async with AsyncKuzuClient("http://localhost:1") as client:
            client.session("g")

    with pytest.raises(RuntimeError, match="sessions need Trio"):
        asyncio.run(ask())


def test_the_sync_client_has_no_sessions() -> None:
    assert not hasattr(KuzuClient, "session")
