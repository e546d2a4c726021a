"""When a checkpoint is due, and how long it holds new statements back."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
import trio
import trio.testing

from kuzu_node.core.messages import Failed
from kuzu_node.engine.checkpoints import Checkpoints, due_bytes, worth_closing_with
from kuzu_node.engine.files import Folder
from kuzu_node.engine.gate import HOLD_BACK, GateBusy
from kuzu_node.engine.process import CallFailed
from kuzu_node.engine.turn import Locks
from kuzu_node.engine.worker import Worker
from kuzu_node.errors import OutOfSpace, StatementFailed
from tests.engine.fakes import fake_worker

MB = 1024 * 1024
POOL = 400 * MB


@pytest.mark.parametrize(
    ("file_mb", "pool_mb", "reflink", "due_mb"),
    [(0, 1000, False, 16), (400, 1000, False, 40), (400, 1000, True, 16), (9000, 1000, False, 64), (400, 64, False, 8)],
)
def test_log_is_due_by_setting_file_and_pool(file_mb: int, pool_mb: int, reflink: bool, due_mb: int) -> None:
    found = due_bytes(setting_mb=16, file_bytes=file_mb * MB, pool_bytes=pool_mb * MB, reflink=reflink)
    assert found == due_mb * MB


def test_closing_checkpoints_only_what_is_worth_a_copy() -> None:
    assert not worth_closing_with(file_bytes=MB, log_bytes=0, reflink=True)
    assert worth_closing_with(file_bytes=MB, log_bytes=1, reflink=True)
    assert not worth_closing_with(file_bytes=1000 * MB, log_bytes=MB, reflink=False)
    assert worth_closing_with(file_bytes=10 * MB, log_bytes=MB, reflink=False)


@attrs.define(eq=False)
class HeldWorker(Worker):
    """Its pool is as full as the test says, and its checkpoints succeed."""

    used: int = 0
    aside: Path | None = None
    set_aside: list[str] = attrs.field(factory=list)

    async def pool_in_use(self) -> int:
        return self.used

    async def checkpoint(self) -> float:
        self.set_aside = sorted(path.name for path in self.aside.iterdir()) if self.aside else []
        return 1.0


def held_worker(used: int) -> HeldWorker:
    plain = fake_worker()
    return HeldWorker(plain.process, plain.lanes, {}, False, 1.0, used=used)


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    folder = Folder(tmp_path)
    folder.file.write_bytes(b"file")
    locks = Locks(trio.CapacityLimiter(3), 5.0, 100)
    return Checkpoints(folder, locks, 16, POOL, False, trio.CapacityLimiter(1))


@pytest.mark.trio
@pytest.mark.parametrize(("used", "let_through"), [(POOL // 2, True), (POOL * 3 // 4, False)])
async def test_full_pool_makes_a_checkpoint_insist(checkpoints: Checkpoints, used: int, let_through: bool) -> None:
    gate = checkpoints.locks.gate
    assert gate.enter_nowait()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(checkpoints.run_due, held_worker(used))
        with trio.fail_after(5):
            while not gate.closed:
                await trio.lowlevel.checkpoint()
        with trio.move_on_after(HOLD_BACK + 0.2) as scope:
            await gate.enter()
            gate.leave()
        assert scope.cancelled_caught is not let_through
        gate.leave()
    assert checkpoints.last_ms == 1.0
    assert not checkpoints.folder.marker.exists()


@pytest.mark.trio
async def test_a_copy_that_an_opening_has_dropped_is_made_again(checkpoints: Checkpoints) -> None:
    """A copy is kept for the next try; a marker without it would put an old log beside a half-written file."""
    worker, gate = held_worker(0), checkpoints.locks.gate
    worker.aside = checkpoints.folder.aside
    assert gate.enter_nowait()
    with pytest.raises(GateBusy):
        await checkpoints.run(worker, patience=0)
    gate.leave()
    assert not await checkpoints.restore()
    await checkpoints.run(worker)
    assert worker.set_aside == ["graph.kuzu", "marker.json"]


@pytest.mark.trio
async def test_a_worker_that_was_tainted_while_its_checkpoint_waited_does_none(checkpoints: Checkpoints) -> None:
    worker = held_worker(0)
    async with trio.open_nursery() as nursery, checkpoints.locks.maintenance:
        nursery.start_soon(checkpoints.run_due, worker)
        await trio.testing.wait_all_tasks_blocked()
        worker.tainted = True
    assert checkpoints.last_ms is None


@pytest.mark.trio
async def test_updates_make_a_checkpoint_due_long_before_the_log_does(checkpoints: Checkpoints) -> None:
    worker = held_worker(0)
    await checkpoints.opened(worker)
    most = POOL // 2 // (32 << 10)
    checkpoints.wrote(most - 1)
    assert not checkpoints.is_due()
    checkpoints.wrote(1)
    await checkpoints.wait_grown()
    assert checkpoints.is_due()
    await checkpoints.run(worker)
    assert not checkpoints.is_due()


@pytest.mark.trio
async def test_what_a_log_has_brought_into_the_pool_counts(checkpoints: Checkpoints) -> None:
    await checkpoints.opened(held_worker(POOL))
    assert not checkpoints.is_due()
    checkpoints.folder.log.write_bytes(b"log")
    await checkpoints.opened(held_worker(POOL // 2))
    await checkpoints.wait_grown()
    assert checkpoints.is_due()


@attrs.define(eq=False)
class FullWorker(HeldWorker):
    async def pool_in_use(self) -> int:
        raise CallFailed(Failed("memory_exceeded", "Buffer manager exception", False))


@pytest.mark.trio
async def test_a_pool_too_full_to_be_asked_makes_a_checkpoint_due(checkpoints: Checkpoints) -> None:
    checkpoints.folder.log.write_bytes(b"log")
    plain = fake_worker()
    await checkpoints.opened(FullWorker(plain.process, plain.lanes, {}, False, 1.0))
    assert checkpoints.is_due()


@pytest.mark.trio
async def test_a_full_pool_makes_a_checkpoint_due_where_updates_may_have_filled_it(checkpoints: Checkpoints) -> None:
    full = OutOfSpace("Buffer manager exception", code="memory_exceeded")
    checkpoints.failed(full)
    assert not checkpoints.is_due()
    checkpoints.wrote(1)
    # Of no use to a disk that has no room, nor to who has asked for nonsense.
    checkpoints.failed(OutOfSpace("No space left on device", code="disk_full"))
    checkpoints.failed(StatementFailed("Binder exception", code="binder"))
    assert not checkpoints.is_due()
    checkpoints.failed(full)
    await checkpoints.wait_grown()
    await checkpoints.run(held_worker(0))
    assert not checkpoints.is_due()
