"""Workers whose memory is damaged say anything: they are ended, who used them is told, and the database comes back."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from structlog.testing import capture_logs

from kuzu_node.core import messages
from kuzu_node.core.frames import HEADER, Frame, FrameKind, pack
from kuzu_node.core.messages import Assign
from kuzu_node.engine import process as process_module
from kuzu_node.engine.database import Database
from kuzu_node.engine.process import WorkerDied, WorkerProcess, open_process
from kuzu_node.engine.values import Form, Query
from kuzu_node.engine.worker import open_worker
from kuzu_node.errors import NodeError, Unavailable
from tests.engine.garbling import CLOSED, HALF, SILENT, damaged, fake
from tests.engine.nodes import ENDLESS, LONG, NOTHING, ask, create, failure, held, opened, whole, worker_of

pytestmark = pytest.mark.trio

NOISE = b"free(): invalid next size (fast)\n"
BYTES = {
    "noise": NOISE,
    "a length beyond all": HEADER.pack(2**32 - 1, 1, 0, FrameKind.ANSWER, 0, 0),
    "another kind": pack(Frame(FrameKind.DATA, 1, b"")),
    "another request": pack(Frame(FrameKind.ANSWER, 77, messages.encode(None))),
    "another message": pack(Frame(FrameKind.ANSWER, 1, messages.encode({"a": 1}))),
    "an error of nothing": pack(Frame(FrameKind.ERROR, 1, NOISE)),
}
FORMS: dict[str, bytes | str] = {**BYTES, HALF: HALF, SILENT: SILENT, CLOSED: CLOSED}
ASSIGN = Assign("/nowhere/g", "", "", 0, 0, 1, 1, "off")


@asynccontextmanager
async def fake_worker(monkeypatch: pytest.MonkeyPatch, moment: str, form: str) -> AsyncIterator[WorkerProcess]:
    """Once it is idle; it has to have been killed at the end of the block."""
    monkeypatch.setattr(process_module, "_START", fake(moment, FORMS[form]))
    if form in {HALF, SILENT, CLOSED}:
        for bound in ("REST_SECONDS", "ANSWER_SECONDS", "CLOSE_SECONDS"):
            monkeypatch.setattr(process_module, bound, 0.3)
    with trio.fail_after(30):
        async with open_process("off", Path("/nowhere")) as process:
            yield process
            assert process.doomed
            assert process.popen.returncode == -signal.SIGKILL


@pytest.mark.parametrize("form", [*BYTES, CLOSED])
async def test_a_spare_that_garbles_its_hello_is_one_that_died(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WorkerDied) as caught:
        async with fake_worker(monkeypatch, "Hello", form):
            raise AssertionError("it has said hello")
    assert caught.value.status == -signal.SIGKILL


@pytest.mark.parametrize("form", [*BYTES, HALF, CLOSED])
async def test_a_worker_that_garbles_an_opening_is_killed(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with fake_worker(monkeypatch, "Assign", form) as process:
        with capture_logs() as logs, pytest.raises(WorkerDied):
            async with open_worker(process, ASSIGN, slots=1, kill_grace=1):
                raise AssertionError("it has opened something")
        assert [(line["event"], line["database"], line["pid"]) for line in logs] == [
            ("worker_killed", "g", process.pid)
        ]


@pytest.mark.parametrize("form", FORMS)
async def test_a_worker_that_garbles_the_answer_to_a_new_lane_is_killed(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        fake_worker(monkeypatch, "AddLane", form) as process,
        open_worker(process, ASSIGN, slots=1, kill_grace=1) as worker,
    ):
        with pytest.raises(WorkerDied):
            await worker.lanes.take()
        with pytest.raises(WorkerDied):
            await worker.pool_in_use()


@pytest.mark.parametrize("form", [*BYTES, HALF, CLOSED])
async def test_a_worker_that_garbles_the_answer_to_a_checkpoint_is_killed(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        fake_worker(monkeypatch, "Checkpoint", form) as process,
        open_worker(process, ASSIGN, slots=1, kill_grace=1) as worker,
    ):
        assert await worker.pool_in_use() == 1
        with pytest.raises(WorkerDied):
            await worker.checkpoint()
        assert not worker.in_danger


@asynccontextmanager
async def damaged_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str, instead: str | None = None
) -> AsyncIterator[Database]:
    """A database with one row whose next worker garbles what it says at the moment, and whose later ones do not."""
    base, token = tmp_path / "base", tmp_path / "token"
    base.mkdir()
    async with opened(base) as node:
        await ask(await create(node), "CREATE (:P {id: 1})")
    monkeypatch.setattr(process_module, "_START", damaged(moment, token, instead))
    async with opened(base) as node:
        assert not token.exists()
        database = node.databases.get("g")
        yield database
        assert await ask(database, "MATCH (p:P) RETURN p.id AS id") == [{"id": 1}]
        assert held(database) == NOTHING


@pytest.mark.parametrize("moment", ["Assign", "AddLane"])
async def test_who_waits_for_a_database_gets_the_next_worker(
    moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with damaged_worker(tmp_path, monkeypatch, moment) as database:
        assert await ask(database, "RETURN 1 AS one") == [{"one": 1}]
        assert database.info().last_error == "signal SIGKILL"


async def test_everybody_who_used_a_worker_that_garbles_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with damaged_worker(tmp_path, monkeypatch, "RESULT") as database, trio.open_nursery() as nursery:
        told: list[NodeError] = []

        async def other() -> None:
            told.append(await failure(database, ENDLESS))

        nursery.start_soon(other)
        while not held(database).inside:
            await trio.lowlevel.checkpoint()
        told.append(await failure(database, "RETURN 1 AS one"))
        while len(told) < 2:
            await trio.lowlevel.checkpoint()
        assert [error.code for error in told] == ["database_restarting"] * 2


@pytest.mark.parametrize(
    ("moment", "instead"),
    [("EXECUTED", None), ("DATA", None), ("END", None), ("EXECUTED", "DATA"), ("DATA", "EXECUTED"), ("DATA", "RESULT")],
)
async def test_a_garbled_stream_is_never_taken_for_a_whole_one(
    moment: str, instead: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with damaged_worker(tmp_path, monkeypatch, moment, instead) as database:
        query = Query(cypher=LONG.format(20_000), form=Form.NDJSON)
        with pytest.raises(Unavailable) as caught:
            async with database.query(query) as answer:
                await whole(answer)
        assert caught.value.code == "database_restarting"


async def test_a_garbled_checkpoint_costs_nothing_that_was_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with damaged_worker(tmp_path, monkeypatch, "Checkpoint") as database:
        await ask(database, "RETURN 1 AS one")
        with pytest.raises(WorkerDied):
            await database.checkpoints.run(worker_of(database))
        assert database.checkpoints.crashes == 1


async def test_a_garbled_commit_takes_its_rows_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with damaged_worker(tmp_path, monkeypatch, "Commit") as database:
        error = await failure(database, "COPY P(id) FROM (UNWIND range(2, 9) AS x RETURN x)")
        assert (error.code, error.committed) == ("database_restarting", False)
