"""A client that is gone at a given step of its session, driven without a socket: by scope, receive and send."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal

import attrs
import trio
import trio.testing

from kuzu_node.http.app import App
from kuzu_node.http.hypercorn_fixes.inbox import MessageInbox

How = Literal["disconnect", "cancel"]
# In seconds without a step of any task.
A_STAND = 0.02
LAST = ("result", "done", "error", "pong")


def _inbox() -> MessageInbox:
    return MessageInbox(limit=1 << 20)


@attrs.define(eq=False)
class Visitor:
    """Says everything at once, and leaves when it has heard the end of every answer, if nothing makes it leave before.

    `stalls`: from the first answer on it takes nothing, and leaves when that has brought everything to a stand.
    """

    said: Sequence[Mapping[str, Any]]
    stalls: bool = False
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    inbox: MessageInbox = attrs.field(factory=_inbox)
    heard: list[dict[str, Any]] = attrs.field(factory=list)
    left: bool = False
    stalled: trio.Event = attrs.field(factory=trio.Event)

    async def visit(self, app: App, path: str) -> None:
        await self.inbox({"type": "websocket.connect"})
        for message in self.said:
            await self.inbox({"type": "websocket.receive", "text": json.dumps(message)})
        asked = {
            "type": "websocket",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [(b"host", b"x")],
            "subprotocols": ["kuzu.v1"],
            "extensions": {"websocket.gone": self.inbox.wait_gone, "websocket.send.many": {}},
        }
        with self.scope:
            await app(asked, self.inbox.receive, self.send)

    async def send(self, message: Mapping[str, Any]) -> None:
        await trio.lowlevel.checkpoint()
        if message["type"] == "websocket.send.many":
            self.heard += [json.loads(data) for is_text, data in message["messages"] if is_text]
            if self.stalls:
                self.stalled.set()
                await self.inbox.wait_gone()
        if sum(heard["type"] in LAST for heard in self.heard) == len(self.said):
            self.leave()

    def leave(self) -> None:
        """Without waiting, as the inbox promises: it may be called between two steps."""
        if not self.left:
            self.left = True
            with suppress(StopIteration):
                self.inbox({"type": "websocket.disconnect"}).send(None)


@attrs.define(eq=False)
class _AtStep(trio.abc.Instrument):
    """Counts the steps of a task and of all below it."""

    visitor: Visitor
    how: How
    step: int
    root: trio.lowlevel.Task | None = None
    taken: int = 0

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if not self._is_below(task):
            return
        self.taken += 1
        if self.taken != self.step:
            return
        if self.how == "cancel":
            self.visitor.scope.cancel()
        else:
            self.visitor.leave()

    def _is_below(self, task: trio.lowlevel.Task | None) -> bool:
        while task is not None and task is not self.root:
            task = task.parent_nursery.parent_task if task.parent_nursery is not None else None
        return task is not None


async def gone_at(app: App, visitor: Visitor, step: int, how: How) -> bool:
    """Until the app has returned; whether the session had ended before its `step`-th step.

    `cancel`: by the server, which ends all that runs for a connection.
    """
    instrument = _AtStep(visitor, how, step)

    async def run() -> None:
        instrument.root = trio.lowlevel.current_task()
        await visitor.visit(app, "/databases/g/session")

    async def leave_at_a_stand() -> None:
        await visitor.stalled.wait()
        await trio.testing.wait_all_tasks_blocked(A_STAND)
        visitor.leave()

    trio.lowlevel.add_instrument(instrument)
    try:
        async with trio.open_nursery() as leaving:
            leaving.start_soon(leave_at_a_stand)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(run)
            leaving.cancel_scope.cancel()
    finally:
        trio.lowlevel.remove_instrument(instrument)
    return instrument.taken < step
