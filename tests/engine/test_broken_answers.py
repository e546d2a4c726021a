"""A worker whose memory is damaged says what nobody can read: it ends, and whoever waited for it gets all back."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from kuzu_node.core.messages import Hello, RunQuery
from kuzu_node.engine.database import Database
from kuzu_node.engine.execution import Execution
from kuzu_node.engine.process import FrameSocket, WorkerProcess
from kuzu_node.engine.spares import Demand, Handover, Spares
from kuzu_node.engine.values import Form, Query
from kuzu_node.node import Node
from tests.engine.broken_worker import FAULTS
from tests.engine.nodes import NOTHING, ask, create, failure, held, opened, until_changed, whole, worker_of

pytestmark = pytest.mark.trio

ROOT = Path(__file__).resolve().parents[2]
READ, WRITE = "MATCH (p:P) RETURN p.id AS x", "CREATE (:P {id: 2})"
COPY, DETACH = "COPY P FROM (UNWIND [2] AS x RETURN x, 'a')", "MATCH (p:P {id: 1}) DETACH DELETE p"


class BrokenSpares(Spares):
    """The first worker breaks; those behind it are sound."""

    def __init__(self, sound: Spares, stage: str, fault: str) -> None:
        super().__init__(trio.open_memory_channel[Handover](0)[1], Demand(), Hello("", 0, 0, False))
        self._sound = sound
        self._arguments: list[str] | None = [stage, fault]
        self.broken: WorkerProcess | None = None

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[WorkerProcess]:
        arguments, self._arguments = self._arguments, None
        if arguments is None:
            async with self._sound.worker() as process:
                yield process
            return
        ours, theirs = socket.socketpair()
        popen = subprocess.Popen(  # noqa: ASYNC220  as the node does
            [sys.executable, "-m", "tests.engine.broken_worker", str(theirs.fileno()), *arguments],
            cwd=ROOT,
            pass_fds=(theirs.fileno(),),
        )
        theirs.close()
        self.broken = WorkerProcess(popen, FrameSocket(ours), self.hello)
        try:
            yield self.broken
        finally:
            await self.broken.close()


@asynccontextmanager
async def breaking(node: Node, stage: str, fault: str) -> AsyncIterator[Database]:
    """A database with one row whose next worker breaks; behind the block all is back and the row is as it was."""
    database = await create(node, fault)
    await ask(database, "CREATE (:P {id: 1})")
    spares = BrokenSpares(database.supervisor.spares, stage, fault)
    database.supervisor.spares = spares
    sound = worker_of(database)
    sound.process.kill()
    await until_changed(database, lambda: database.floor.presence.worker not in {None, sound})
    yield database
    assert await ask(database, "MATCH (p:P) RETURN p.id AS id") == [{"id": 1}]
    assert held(database) == NOTHING
    assert spares.broken is not None
    assert not spares.broken.alive
    assert not database.folder.marker.exists()
    await ask(database, WRITE)
    assert await ask(database, "MATCH (p:P) RETURN count(*) AS n") == [{"n": 2}]


async def told(database: Database, text: str) -> tuple[str, bool | None, bool | None]:
    """Code and `committed` of the error, and what the request knows."""
    query = Query(cypher=text, form=Form.NDJSON)
    error = await failure(database, text, query)
    return error.code, error.committed, query.committed


@pytest.mark.parametrize(
    ("stage", "faults"),
    [("result", FAULTS), ("executed", ("payload",)), ("rows", ("length", "cut")), ("end", ("payload", "gone"))],
)
async def test_a_read_whose_answer_is_broken_is_told_and_all_comes_back(
    tmp_path: Path, stage: str, faults: tuple[str, ...]
) -> None:
    async with opened(tmp_path) as node:
        for fault in faults:
            async with breaking(node, stage, fault) as database:
                assert await told(database, READ) == ("database_restarting", False, False)


@pytest.mark.parametrize(("stage", "known"), [("result", None), ("executed", None), ("end", True)])
async def test_a_write_is_known_to_have_committed_once_the_worker_has_said_so(
    tmp_path: Path, stage: str, known: bool | None
) -> None:
    async with opened(tmp_path) as node, breaking(node, stage, "kind") as database:
        assert await told(database, WRITE) == ("database_restarting", known, known)


@pytest.mark.parametrize(("stage", "text"), [("commit", COPY), ("checkpoint", DETACH)])
async def test_a_broken_answer_to_a_commit_or_checkpoint_puts_the_pair_back(
    tmp_path: Path, stage: str, text: str
) -> None:
    async with opened(tmp_path) as node:
        for fault in ("payload", "cut"):
            async with breaking(node, stage, fault) as database:
                assert await told(database, text) == ("database_restarting", False, False)


async def test_a_frame_behind_the_last_one_is_not_taken_for_the_next_request_s(tmp_path: Path) -> None:
    async with opened(tmp_path) as node, breaking(node, "after", "id") as database:
        async with database.query(Query(cypher=READ, form=Form.NDJSON)) as answer:
            assert len(await whole(answer)) == 600_000
        assert await told(database, READ) == ("database_restarting", False, False)


async def test_an_order_that_cannot_even_be_sent_gives_everything_back(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        database = await create(node)
        # The screen lets no such text through.
        order = RunQuery(["RETURN '\ud800'"], [True], {}, "json", 1000, "g", 0)
        execution = Execution(database.floor, Query(cypher=""), "never sent", write=True)
        try:
            await execution.seat()
            with pytest.raises(UnicodeEncodeError):
                await execution.perform(order)
        finally:
            await execution.finish()
        assert held(database) == NOTHING
        assert not worker_of(database).executing
        assert not worker_of(database).lanes.lent
