"""Files that do not open, and statements that kill: when they are tried again."""

from __future__ import annotations

import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from kuzu_node.core.messages import Assign, Hello
from kuzu_node.engine.checkpoints import Checkpoints
from kuzu_node.engine.deliveries import Deliveries
from kuzu_node.engine.execution import Floor
from kuzu_node.engine.files import Folder
from kuzu_node.engine.openings import Openings
from kuzu_node.engine.presence import Presence
from kuzu_node.engine.process import WorkerDied, WorkerProcess
from kuzu_node.engine.quarantine import Quarantine
from kuzu_node.engine.spares import Demand, Handover, Spares
from kuzu_node.engine.supervisor import FAILURES_IN_A_ROW, FIRST_RETRY, LONGEST_RETRY, Supervisor
from kuzu_node.engine.turn import Locks
from kuzu_node.engine.values import State
from kuzu_node.errors import Unavailable
from tests.engine.nodes import DEAF, ask, create, failure, force, opened, reach, worker_of

pytestmark = pytest.mark.trio


class DyingSpares(Spares):
    """Every worker ends while it opens the file."""

    def __init__(self) -> None:
        super().__init__(trio.open_memory_channel[Handover](0)[1], Demand(), Hello("", 0, 0, False))
        self.tries = 0

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[WorkerProcess]:
        self.tries += 1
        await trio.lowlevel.checkpoint()
        if self.tries:
            raise WorkerDied(-11)
        yield None  # type: ignore[misc]  # it never comes so far


def supervised(root: Path, spares: Spares) -> Supervisor:
    locks, disk = Locks(trio.CapacityLimiter(1), 5, 10), trio.CapacityLimiter(1)
    openings = Openings(1)
    floor = Floor(Presence("g"), locks, Deliveries(1, 1, waiting=9), openings, Quarantine(60), 10, 10, 30, 300)
    return Supervisor(
        floor=floor,
        checkpoints=Checkpoints(Folder(root), locks, 16, 1 << 20, False, disk),
        spares=spares,
        openings=openings,
        assign=Assign(str(root), str(root / "graph.kuzu"), str(root / "owner.lock"), 0, 0, 1, 1, "off"),
        kill_grace=1,
        slots=1,
        idle_seconds=60,
    )


async def wait_failed(presence: Presence, tries: int, spares: DyingSpares) -> None:
    while presence.state is not State.FAILED or spares.tries < tries:
        await presence.wait_changed()


async def test_an_unopenable_file_is_tried_three_times_and_then_ever_more_rarely(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    spares = DyingSpares()
    supervisor = supervised(tmp_path, spares)
    presence = supervisor.floor.presence
    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor.run)
        presence.want()
        await wait_failed(presence, FAILURES_IN_A_ROW, spares)
        pause = FIRST_RETRY
        for tries in range(FAILURES_IN_A_ROW + 1, FAILURES_IN_A_ROW + 10):
            assert presence.retry_at == pytest.approx(trio.current_time() + pause)
            mock_clock.jump(pause - 0.01)
            await trio.testing.wait_all_tasks_blocked()
            assert presence.state is State.FAILED
            mock_clock.jump(0.02)
            await wait_failed(presence, tries, spares)
            assert spares.tries == tries
            pause = min(2 * pause, LONGEST_RETRY)
        assert pause == LONGEST_RETRY
        assert presence.last_error == "signal SIGSEGV"
        assert presence.restarts == 0
        supervisor.ask_to_reopen()
        assert presence.state is State.RESTARTING
        await wait_failed(presence, 2 * FAILURES_IN_A_ROW + 9, spares)
        assert presence.retry_at == pytest.approx(trio.current_time() + FIRST_RETRY)
        supervisor.closing.set()
    assert supervisor.closed.is_set()


async def test_a_failed_database_opens_when_its_file_is_repaired_and_it_is_asked_to(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        database = await create(node)
        other = await create(node, "other")
        await ask(database, "CREATE (:P {id: 1})")
    good = (tmp_path / "g" / "graph.kuzu").read_bytes()
    (tmp_path / "g" / "graph.kuzu").write_bytes(b"\0" * len(good))
    async with opened(tmp_path) as node:
        database, other = node.databases.get("g"), node.databases.get("other")
        error = await failure(database, "RETURN 1")
        assert isinstance(error, Unavailable)
        assert (error.code, error.committed) == ("database_failed", False)
        assert error.retry_after is not None
        info = database.info()
        assert (info.state, info.is_healthy) == (State.FAILED, False)
        assert info.last_error
        assert await ask(other, "RETURN 1 AS one") == [{"one": 1}]
        # Still broken: whoever asks for it to be reopened is told how that went.
        with pytest.raises(Unavailable) as caught:
            await database.reopen()
        assert caught.value.code == "database_failed"
        (tmp_path / "g" / "graph.kuzu").write_bytes(good)
        await database.reopen()
        assert database.info().state is State.READY
        assert await ask(database, "MATCH (p:P) RETURN p.id AS id") == [{"id": 1}]


async def test_a_statement_that_has_killed_twice_is_refused_and_others_are_not(tmp_path: Path) -> None:
    async with opened(tmp_path, KUZU_QUARANTINE_SECONDS="2", KUZU_KILL_GRACE="0.2") as node:
        database = await create(node)
        for _ in range(2):
            with trio.move_on_after(0.1) as scope:
                await force(database, DEAF)
            assert scope.cancelled_caught
            assert await ask(database, "RETURN 1 AS one") == [{"one": 1}]
        worker = worker_of(database)
        with pytest.raises(Unavailable) as caught:
            await force(database, DEAF)
        assert (caught.value.code, caught.value.committed) == ("statement_quarantined", False)
        assert caught.value.retry_after is not None
        assert 0 < caught.value.retry_after <= 2
        assert await ask(database, "RETURN 1 AS one") == [{"one": 1}]
        await trio.sleep_until(trio.current_time() + caught.value.retry_after)
        with trio.move_on_after(0.1) as scope:
            await force(database, DEAF)
        assert scope.cancelled_caught
        assert worker.process.doomed
        assert await ask(database, "RETURN 1 AS one") == [{"one": 1}]
        assert database.info().restarts == 3
        assert database.info().state is not State.FAILED


async def test_deaths_under_statements_never_make_a_database_failed(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        database = await create(node)
        for _ in range(FAILURES_IN_A_ROW + 1):
            worker_of(database).process.kill()
            await reach(database, State.RESTARTING)
            await reach(database, State.READY)
        assert database.info().restarts == FAILURES_IN_A_ROW + 1
        assert await ask(database, "RETURN 1 AS one") == [{"one": 1}]


async def test_a_database_whose_opening_hangs_can_be_closed(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        await create(node)
    async with opened(tmp_path) as node:
        database = node.databases.get("g")
        # Somebody else has the file and does not give it up: the opening waits for that.
        owner = os.open(tmp_path / "g" / "owner.lock", os.O_RDWR)
        fcntl.flock(owner, fcntl.LOCK_EX)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(failure, database, "RETURN 1")
            await reach(database, State.STARTING)
            started = trio.current_time()
            await node.databases.delete("g")
            assert trio.current_time() - started < 5
        os.close(owner)
        assert node.databases.names() == ()
