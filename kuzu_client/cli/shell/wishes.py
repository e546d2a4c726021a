"""What the shell's main thread wants of the session, and how a result comes out of it."""

from __future__ import annotations

import enum
from concurrent.futures import Future

import attrs
import trio

from kuzu_client.cli.results import Shown
from kuzu_client.cli.tables import Row
from kuzu_client.session.asking import Asking


class Act(enum.Enum):
    QUERY = enum.auto()
    BEGIN = enum.auto()
    BEGIN_READING = enum.auto()
    COMMIT = enum.auto()
    ROLLBACK = enum.auto()


@attrs.define(eq=False)
class Wish:
    """`scope` is around what is done for it; `opening` around the session that is opened for it and those after."""

    act: Act
    text: str = ""
    answer: Future[Shown | None] = attrs.field(factory=Future)
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    opening: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    opened: bool = False

    def withdraw(self) -> None:
        """What has been answered is left alone: its scopes may belong to those that came after it."""
        if self.answer.done():
            return
        self.scope.cancel()
        if not self.opened:
            self.opening.cancel()


async def fetch(asked: Asking, text: str, limit: int, timeout: float | None) -> Shown:  # noqa: ASYNC109 # the node's
    """As many rows as are shown. What is left of them is cancelled, or dropped in a transaction."""
    rows: list[Row] = []
    async with asked.stream(text, timeout=timeout) as stream:
        async for batch in stream:
            rows += batch
            if len(rows) > limit:
                break
    more = len(rows) > limit
    return Shown(columns=stream.columns, rows=rows[:limit], more=more, milliseconds=stream.execution_time_ms)
