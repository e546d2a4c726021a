"""Who is connected, and what every protocol object of the connection needs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import attrs
from hypercorn.events import Event
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import AppWrapper

from kuzu_node.http.hypercorn_fixes.settings import ServerConfig
from kuzu_node.http.hypercorn_fixes.tasks import AppTasks


@attrs.frozen(kw_only=True, eq=False)
class Peer:
    """`client` and `server` are the two addresses; `send` takes hypercorn's events of the connection."""

    app: AppWrapper
    config: ServerConfig
    context: WorkerContext
    tasks: AppTasks
    ssl: bool
    client: tuple[str, int] | None
    server: tuple[str, int] | None
    send: Callable[[Event], Awaitable[None]]
