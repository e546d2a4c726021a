"""Death at each stage of a bulk commit and of a checkpoint: a statement is there as a whole or not at all."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import pytest
import trio

from kuzu_node.engine.database import Database
from kuzu_node.engine.process import WorkerDied
from kuzu_node.errors import NodeError
from kuzu_node.node import open_node
from tests.durability import kinds, striking
from tests.durability.driving import checkpoint, config, create, run, value, worker_of
from tests.durability.striking import BEFORE_COPY, BEFORE_UNMARK, COPIED, IN_ENGINE, MARKED, STAGES, arm, killing_worker

pytestmark = pytest.mark.trio
ROOT = Path(__file__).parents[2]
COPY = "COPY P(id, s) FROM (UNWIND range({start}, {start} + 999) AS x RETURN x, 'bulk')"
BULK_ROWS = "MATCH (p:P) WHERE p.s = 'bulk' RETURN count(*)"


async def attempt(database: Database, cypher: str) -> bool:
    """Whether it was acknowledged; an error must say that nothing is committed."""
    failure: NodeError | None = None
    try:
        await run(database, cypher)
    except NodeError as error:
        failure = error
    assert failure is None or failure.committed is False, failure
    return failure is None


async def sound(database: Database) -> None:
    """Nothing but what was acknowledged, indexes as scans, no marker, a checkpoint works."""
    await kinds.look_up(database, "P", "P", every=97)
    await kinds.count_both_ways(database, "P")
    assert not database.folder.marker.exists()
    await checkpoint(database)
    assert not (database.folder.aside / "graph.kuzu").exists()


async def test_worker_killed_in_a_copy_leaves_all_of_it_or_nothing(tmp_path: Path) -> None:
    async with open_node(config(tmp_path)) as node:
        database = await create(node, "copy", *kinds.SCHEMA)
        await kinds.fill(database)
        rows = 0
        for number, stage in enumerate(STAGES, start=1):
            await run(database, f"CREATE (:After {{id: {number}}})")
            struck = worker_of(database)
            arm(database, stage, killing_worker(database, stage))
            acknowledged = await attempt(database, COPY.format(start=1000 * number))
            await struck.process.reap()
            # A worker that is found dead is waited for; behind the checkpoint it does not matter any more.
            assert acknowledged is (stage == BEFORE_UNMARK) or stage in (BEFORE_COPY, COPIED), stage
            rows += 1000 * acknowledged
            assert await value(database, BULK_ROWS) == rows, stage
            assert await value(database, "MATCH (n:After) RETURN count(*)") == number
            await sound(database)


@pytest.mark.parametrize(
    ("cypher", "there"),
    [
        ("CREATE NODE TABLE Q AS MATCH (p:P) RETURN p.id AS id", "MATCH (q:Q) RETURN count(*)"),
        ("ALTER TABLE P DROP a", "MATCH (p:P) WHERE p.a IS NOT NULL RETURN count(*)"),
        ("CALL CREATE_FTS_INDEX('P', 'text', ['s'])", "CALL QUERY_FTS_INDEX('P', 'text', 'word') RETURN count(*)"),
        ("MATCH (p:P) WHERE p.id < 50 DETACH DELETE p", ""),
    ],
)
async def test_worker_killed_in_other_bulk_statements_leaves_nothing(tmp_path: Path, cypher: str, there: str) -> None:
    async with open_node(config(tmp_path)) as node:
        database = await create(node, "bulk", *kinds.SCHEMA)
        await kinds.fill(database)
        before = await value(database, "MATCH (p:P) RETURN count(p.a)")
        for stage in (MARKED, IN_ENGINE):
            arm(database, stage, killing_worker(database, stage))
            assert not await attempt(database, cypher), stage
            # Two in a row make it read-only, which is not the point here.
            database.checkpoints.crashes = 0
            assert await value(database, "MATCH (p:P) RETURN count(p.a)") == before, stage
            if there and not cypher.startswith("ALTER"):
                with pytest.raises(NodeError):
                    await run(database, there)
        assert await attempt(database, cypher)
        await sound(database)


async def test_worker_killed_in_a_checkpoint_loses_nothing(tmp_path: Path) -> None:
    async with open_node(config(tmp_path)) as node:
        database = await create(node, "checkpoint", *kinds.SCHEMA)
        await kinds.fill(database)
        for number, stage in enumerate((BEFORE_COPY, COPIED, MARKED, BEFORE_UNMARK), start=1):
            await run(database, f"CREATE (:After {{id: {number}}})")
            struck = worker_of(database)
            arm(database, stage, killing_worker(database, stage))
            try:
                await checkpoint(database)
            except WorkerDied:
                assert stage != BEFORE_UNMARK
            await struck.process.reap()
            assert await value(database, "MATCH (n:After) RETURN count(*)") == number, stage
            database.checkpoints.crashes = 0
        await sound(database)


def limit_files(database: Database, more_bytes: int | None) -> None:
    """No file of the worker may grow beyond the main file's size and this: its writes fail as on a full disk."""
    limit = resource.RLIM_INFINITY if more_bytes is None else database.folder.file.stat().st_size + more_bytes
    resource.prlimit(worker_of(database).process.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))


@pytest.mark.parametrize("more_bytes", [0, 16384])
async def test_commit_that_finds_no_room_is_undone_and_says_so(tmp_path: Path, more_bytes: int) -> None:
    async with open_node(config(tmp_path)) as node:
        database = await create(node, "full", *kinds.SCHEMA)
        await kinds.fill(database)
        arm(database, MARKED, lambda: limit_files(database, more_bytes))
        with pytest.raises(NodeError) as caught:
            await run(database, COPY.format(start=1000))
        assert (caught.value.code, caught.value.committed) == ("disk_full", False)
        assert await value(database, BULK_ROWS) == 0
        assert await attempt(database, COPY.format(start=1000))
        await sound(database)


async def test_write_whose_log_finds_no_room_ends_the_worker_and_the_log_stays_good(tmp_path: Path) -> None:
    async with open_node(config(tmp_path)) as node:
        database = await create(node, "full", *kinds.SCHEMA)
        await run(database, "CREATE (:After {id: 1})")
        first = worker_of(database)
        room = database.folder.log.stat().st_size + 100
        resource.prlimit(first.process.pid, resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
        with pytest.raises(NodeError) as caught:
            await run(database, f"CREATE (:P {{id: 1, s: '{'x' * 500}'}})")
        assert (caught.value.code, caught.value.committed) == ("disk_full", None)
        with trio.fail_after(10):
            await first.process.reap()
        await run(database, "CREATE (:After {id: 2})")
        assert await value(database, "MATCH (p:P) RETURN count(*)") == 0
        assert await run(database, "MATCH (n:After) RETURN n.id ORDER BY n.id") == [[1], [2]]
        await sound(database)


NODE_DEATHS = (
    *((COPY.format(start=1000), stage) for stage in (COPIED, MARKED, IN_ENGINE, BEFORE_UNMARK)),
    ("ALTER TABLE P DROP a", MARKED),
    ("ALTER TABLE P DROP a", BEFORE_UNMARK),
    ("CHECKPOINT", IN_ENGINE),
    ("CHECKPOINT", BEFORE_UNMARK),
)


@pytest.mark.parametrize(("cypher", "stage"), NODE_DEATHS)
async def test_node_killed_in_a_bulk_statement_or_checkpoint_loses_only_that(
    tmp_path: Path, cypher: str, stage: str
) -> None:
    command = [sys.executable, "-m", "tests.durability.test_kill_points", str(tmp_path), cypher, stage]
    ended = await trio.run_process(command, cwd=ROOT, capture_stdout=True, check=False)
    assert ended.returncode == -9
    assert ended.stdout == b"ready\n"
    async with open_node(config(tmp_path)) as node:
        database = node.databases.get("struck")
        assert await run(database, "MATCH (n:After) RETURN n.id") == [[1]]
        assert await run(database, "MATCH (p:P) RETURN count(*), count(p.a)") == [[kinds.ROWS, kinds.ROWS]]
        await sound(database)


async def die(base: Path, cypher: str, stage: str) -> None:
    async with open_node(config(base)) as node:
        database = await create(node, "struck", *kinds.SCHEMA)
        await kinds.fill(database)
        await run(database, "CREATE (:After {id: 1})")
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        arm(database, stage, striking.killing_node(stage))
        if cypher == "CHECKPOINT":
            await checkpoint(database)
        else:
            await run(database, cypher)
        sys.stdout.write("acknowledged\n")
        sys.stdout.flush()
        await trio.sleep_forever()


if __name__ == "__main__":
    import structlog

    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    trio.run(die, Path(sys.argv[1]), sys.argv[2], sys.argv[3])
