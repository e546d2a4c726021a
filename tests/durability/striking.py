"""A blow at a chosen stage of a bulk commit or a checkpoint, dealt by a stand-in for `Checkpoints`."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import attrs

from kuzu_node.engine.checkpoints import Checkpoints
from kuzu_node.engine.database import Database
from kuzu_node.engine.worker import Worker
from tests.durability.driving import worker_of

BEFORE_COPY, COPIED, MARKED, IN_ENGINE, BEFORE_UNMARK = STAGES = (
    "before the copy",
    "file copied",
    "marked",
    "in the engine",
    "before unmarking",
)


@attrs.define(eq=False)
class StruckCheckpoints(Checkpoints):
    """Calls `blow` once, at one stage."""

    stage: str = ""
    blow: Callable[[], None] | None = None

    def at(self, stage: str) -> None:
        if stage == self.stage and self.blow is not None:
            blow, self.blow = self.blow, None
            blow()

    async def set_file_aside(self) -> None:
        self.at(BEFORE_COPY)
        await super().set_file_aside()
        self.at(COPIED)

    @asynccontextmanager
    async def marked(self, worker: Worker) -> AsyncIterator[None]:
        async with super().marked(worker):
            self.at(MARKED)
            self.at(IN_ENGINE)
            yield

    async def unmark(self) -> None:
        self.at(BEFORE_UNMARK)
        await super().unmark()


def arm(database: Database, stage: str, blow: Callable[[], None]) -> None:
    """The next pass through the stage is struck."""
    plain = database.checkpoints
    struck = StruckCheckpoints(
        plain.folder, plain.locks, plain.setting_mb, plain.pool_bytes, plain.reflink, plain.disk, plain.crashes
    )
    struck.marking, struck.stage, struck.blow = plain.marking, stage, blow
    database.checkpoints = database.supervisor.checkpoints = struck
    database.statements.checkpoints = database.statements.bulk.checkpoints = struck


def killing_worker(database: Database, stage: str) -> Callable[[], None]:
    """In the engine: the worker is stopped before it can read the order, and killed when it has it."""
    pid = worker_of(database).process.pid

    def blow() -> None:
        if stage != IN_ENGINE:
            os.kill(pid, signal.SIGKILL)
            return
        os.kill(pid, signal.SIGSTOP)
        threading.Timer(0.05, os.kill, (pid, signal.SIGKILL)).start()

    return blow


def killing_node(stage: str) -> Callable[[], None]:
    """In the engine: a moment after the order was given, while the worker is at it."""

    def blow() -> None:
        if stage == IN_ENGINE:
            threading.Timer(0.005, os.kill, (os.getpid(), signal.SIGKILL)).start()
        else:
            os.kill(os.getpid(), signal.SIGKILL)

    return blow
