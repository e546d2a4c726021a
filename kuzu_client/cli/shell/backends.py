"""What runs the shell's statements: a session where the node has them, else one request for each."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

import attrs

from kuzu_client.cli.client import CommandClient
from kuzu_client.cli.results import Shown, first_rows
from kuzu_client.cli.terminal import Terminal

SESSIONS: Final = "sessions"
PACKAGES: Final = ("trio", "trio_websocket")


class Stopped(Exception):
    """By Ctrl-C; the node has been told."""


class Backend(Protocol):
    """Calls raise the errors of the client, and Stopped. `in_transaction` and `aborted` are for the prompt.

    `unavailable` says why there are no transactions, and is empty where there are.
    """

    unavailable: str

    @property
    def in_transaction(self) -> bool: ...

    @property
    def aborted(self) -> bool: ...

    def query(self, text: str) -> Shown: ...

    def begin(self, *, read_only: bool) -> None: ...

    def commit(self) -> None: ...

    def roll_back(self) -> None: ...


@attrs.define(eq=False)
class PlainBackend:
    """A request for each statement, which commits by itself."""

    unavailable: str
    _client: CommandClient
    _graph_id: str
    _limit: int
    _timeout: float | None
    in_transaction: bool = False
    aborted: bool = False

    def query(self, text: str) -> Shown:
        # Leaving the block, by an interrupt too, closes the connection, and that stops the statement.
        try:
            with self._client.stream(text, self._graph_id, timeout=self._timeout) as rows:
                return first_rows(rows, self._limit)
        except KeyboardInterrupt:
            raise Stopped from None

    def begin(self, *, read_only: bool) -> None:
        """The shell asks `unavailable` first, here and below."""

    def commit(self) -> None: ...

    def roll_back(self) -> None: ...


@contextmanager
def open_backend(terminal: Terminal, client: CommandClient, graph_id: str, limit: int) -> Iterator[Backend]:
    reason = _reason(client)
    if reason:
        yield PlainBackend(reason, client, graph_id, limit, terminal.settings.timeout)
        return
    from kuzu_client.cli.shell.sessions import session_backend  # needs Trio, which is known to be there by now

    with session_backend(terminal, graph_id, limit) as backend:
        yield backend


def _reason(client: CommandClient) -> str:
    """Why there is no session, empty where one is possible."""
    if SESSIONS not in client.get_info().get("features", ()):
        return "this node has no sessions"
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    return f"sessions need {' and '.join(missing)}: pip install 'kuzu-node[cli]'" if missing else ""
