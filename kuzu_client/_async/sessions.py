"""How the async client comes to its sessions. They are written for Trio alone, so this has no generated twin."""

from __future__ import annotations

import sys
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from kuzu_client._async.base import AsyncEndpoints
from kuzu_client._core.optional import required

if TYPE_CHECKING:
    from kuzu_client.session import Session


class AsyncSessions(AsyncEndpoints):
    """WebSockets, each to one database; docs/sessions.md says what they are good for."""

    def session(self, graph_id: str | None = None) -> AbstractAsyncContextManager[Session]:
        """`async with client.session("g") as session:` on Trio. RuntimeError elsewhere.

        A session is not retried, does not count for the breaker, and does not reconnect.
        """
        if not _on_trio():
            raise RuntimeError("sessions need Trio: start the program with trio.run, or anyio.run(.., backend='trio')")
        required("trio_websocket", "session")
        from kuzu_client.session import open_session  # not before it is known that its packages are there

        return open_session(self._caller.endpoint, self._graph(graph_id), self._caller.config)


def _on_trio() -> bool:
    trio = sys.modules.get("trio")
    if trio is None:
        return False
    try:
        trio.lowlevel.current_task()
    except RuntimeError:
        return False
    return True
