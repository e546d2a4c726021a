"""How the async client comes to its sessions. They are written for Trio alone, so this has no generated twin."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import attrs

from kuzu_client._async.base import AsyncEndpoints
from kuzu_client._async.concurrency import now
from kuzu_client._async.exchange import AttemptEnd
from kuzu_client._core.optional import required
from kuzu_client._core.retry import Answered, Lost
from kuzu_client.errors import KuzuAPIError, KuzuTransientError, ServiceUnavailableError

if TYPE_CHECKING:
    from kuzu_client.session import Session


SWITCHING_PROTOCOLS = 101
# An attempt for which the pause has left nothing fails as one that is late, and no setting may be 0.
SHORTEST = 0.001


class AsyncSessions(AsyncEndpoints):
    """WebSockets, each to one database; docs/sessions.md says what they are good for."""

    def session(self, graph_id: str | None = None) -> AbstractAsyncContextManager[Session]:
        """`async with client.session("g") as session:` on Trio. RuntimeError elsewhere.

        Opening is tried again as reads are, and counts for the breaker: nothing has been asked of the node until the
        session is there. What is asked of it is sent once, and it does not reconnect.
        """
        if not _on_trio():
            raise RuntimeError("sessions need Trio: start the program with trio.run, or anyio.run(.., backend='trio')")
        required("trio_websocket", "session")
        return self._opened(self._graph(graph_id))

    @asynccontextmanager
    async def _opened(self, graph_id: str) -> AsyncIterator[Session]:
        from kuzu_client.session import open_session  # not before it is known that its packages are there

        caller = self._caller
        async with AsyncExitStack() as stack:

            async def attempt(seconds: float) -> AttemptEnd[Session]:
                config = attrs.evolve(caller.config, timeout=max(seconds, SHORTEST))
                began = now()
                try:
                    session = await stack.enter_async_context(open_session(caller.endpoint, graph_id, config))
                except KuzuAPIError as error:
                    return _refused(error, began)
                return AttemptEnd(
                    outcome=Answered(now()),
                    value=session,
                    status=SWITCHING_PROTOCOLS,
                    seconds=now() - began,
                    reused=False,
                )

            yield await caller.repeated("session", attempt)


def _refused(error: KuzuAPIError, began: float) -> AttemptEnd[Session]:
    """Raises what would only happen again: nothing was sent, or what answered is no node."""
    status = error.status_code
    if status is None and (not isinstance(error, KuzuTransientError) or isinstance(error, ServiceUnavailableError)):
        raise error
    at = now()
    outcome = Lost(at, error, sent=True) if status is None else Answered(at, error)
    return AttemptEnd(outcome=outcome, value=None, status=status, seconds=at - began, reused=None)


def _on_trio() -> bool:
    trio = sys.modules.get("trio")
    if trio is None:
        return False
    try:
        trio.lowlevel.current_task()
    except RuntimeError:
        return False
    return True
