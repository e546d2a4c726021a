"""The app's tasks of one connection. They run in the connection's nursery; hypercorn's streams start them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import trio
from hypercorn.config import Config
from hypercorn.trio.task_group import _handle
from hypercorn.typing import AppWrapper, ASGISendEvent, Scope

from kuzu_node.http.hypercorn_fixes.inbox import BodyInbox, MessageInbox

Inbox = BodyInbox | MessageInbox
Send = Callable[[ASGISendEvent | None], Awaitable[None]]


@attrs.define(eq=False)
class AppTasks:
    """`running` counts the apps that have not returned, also those whose stream is gone."""

    nursery: trio.Nursery
    running: int = 0

    def spawn(self, func: Callable[..., Awaitable[Any]], *args: Any) -> None:
        self.nursery.start_soon(func, *args)

    async def run_app(self, app: AppWrapper, config: Config, scope: Scope, inbox: Inbox, send: Send) -> None:
        try:
            await _handle(
                app,
                config,
                scope,
                inbox.receive,  # type: ignore[arg-type]
                send,
                trio.to_thread.run_sync,
                trio.from_thread.run,
            )
        finally:
            self.running -= 1


@attrs.define(eq=False)
class OneApp:
    """What a stream takes for its task group: starts the stream's app with the inbox that its protocol needs."""

    tasks: AppTasks
    inbox: Inbox

    async def spawn_app(self, app: AppWrapper, config: Config, scope: Scope, send: Send) -> Inbox:
        # Counted here: many streams can be opened by one read, before any of their apps gets to run.
        self.tasks.running += 1
        if isinstance(self.inbox, MessageInbox):
            own: Any = {"websocket.gone": self.inbox.wait_gone, "websocket.send.many": {}}
            scope["extensions"].update(own)  # type: ignore[typeddict-item] # only requests have one
        self.tasks.nursery.start_soon(self.tasks.run_app, app, config, scope, self.inbox, send)
        return self.inbox

    def spawn(self, func: Callable[..., Awaitable[Any]], *args: Any) -> None:
        self.tasks.spawn(func, *args)
