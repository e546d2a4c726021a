"""The inbox of a body: what arrives while the app's receive is still busy is of the next receive."""

from __future__ import annotations

import pytest

from kuzu_node.http.hypercorn_fixes.inbox import BodyInbox

pytestmark = pytest.mark.trio


async def test_a_body_that_ends_while_a_piece_is_acknowledged_loses_nothing() -> None:
    late = [
        {"type": "http.request", "body": b"b", "more_body": True},
        {"type": "http.request", "body": b"", "more_body": False},
    ]

    async def taken(size: int) -> None:
        # An acknowledgement that has to wait for the socket lets the connection's reader go on.
        while late:
            await inbox(late.pop(0))

    inbox = BodyInbox(taken=taken)
    await inbox({"type": "http.request", "body": b"a", "more_body": True})
    assert await inbox.receive() == {"type": "http.request", "body": b"a", "more_body": True}
    assert await inbox.receive() == {"type": "http.request", "body": b"b", "more_body": False}


async def test_an_end_that_arrives_alone_is_told_once() -> None:
    inbox = BodyInbox()
    await inbox({"type": "http.request", "body": b"a", "more_body": True})
    assert await inbox.receive() == {"type": "http.request", "body": b"a", "more_body": True}
    await inbox({"type": "http.request", "body": b"", "more_body": False})
    assert await inbox.receive() == {"type": "http.request", "body": b"", "more_body": False}
    await inbox({"type": "http.disconnect"})
    assert await inbox.receive() == {"type": "http.disconnect"}
