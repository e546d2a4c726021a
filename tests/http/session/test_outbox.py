"""What waits to be written is bounded, and nothing of it is lost."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import pytest
import trio
import trio.testing

from kuzu_node.http.session.outbox import ROOM, Outbox

pytestmark = pytest.mark.trio


async def test_several_may_wait_for_room() -> None:
    sent: list[bytes] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.extend(text for _, text in message["messages"])

    outbox = Outbox(send)
    large = b"x" * ROOM
    await outbox.put(large)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outbox.put, b"one")
        nursery.start_soon(outbox.put, b"two")
        await trio.testing.wait_all_tasks_blocked()
        assert not sent
        nursery.start_soon(outbox.run)
        await trio.testing.wait_all_tasks_blocked(0.01)
        nursery.cancel_scope.cancel()
    assert sent[0] == large
    assert sorted(sent[1:]) == [b"one", b"two"]
