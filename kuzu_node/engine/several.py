"""Short reads of one session that wait for each other: run by one order, each answered by itself.

What is not among the answers has not failed: it is run alone, with its own time, and fails there as it would have.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager

import trio

from kuzu_node.core.frames import FrameError
from kuzu_node.core.messages import Done, RunQuery, RunSeveral, read_done
from kuzu_node.core.screen import Screened
from kuzu_node.engine.answer import Answer, Outcome
from kuzu_node.engine.execution import Execution, OwnRequest
from kuzu_node.engine.lanes import Lane, LaneFailed
from kuzu_node.engine.process import WorkerDied
from kuzu_node.engine.quarantine import TOGETHER
from kuzu_node.engine.statements import SCREEN_IN_THREAD, Statements, fingerprint_of, is_large
from kuzu_node.engine.translate import statement_error, worker_lost
from kuzu_node.engine.values import Query, Timing
from kuzu_node.engine.worker import Worker
from kuzu_node.errors import NodeError

# A read that takes longer is stopped and run again alone, so that those before it are not held up by it.
LONGEST_MS = 20
# No other is begun after that: their answers wait for each other.
BUDGET_MS = 4.0
# Where there is a queue, each stands in it alone.
SEAT_SECONDS = 0.25


@asynccontextmanager
async def run_several(statements: Statements, queries: Sequence[Query]) -> AsyncIterator[AsyncIterator[list[Answer]]]:
    """Groups of answers, of the first so many, maybe none. Raises NodeError when the worker dies."""
    screened = _quick(statements, queries)
    if len(screened) < 2:
        yield _groups_of_none()
        return
    orders = [_order(statements, query, one) for query, one in zip(queries, screened, strict=False)]
    execution = Execution(statements.floor, OwnRequest(), TOGETHER, write=False)
    worker: Worker | None = None
    try:
        with trio.move_on_after(SEAT_SECONDS):
            worker = await execution.seat()
        if worker is None:
            yield _groups_of_none()
            return
        outcome = await execution.perform(RunSeveral(orders, BUDGET_MS))
        with _under_suspicion(worker, execution.lane):
            async with aclosing(_groups(statements, worker, execution.lane, outcome, screened)) as groups:
                yield groups
    finally:
        await execution.finish()


@contextmanager
def _under_suspicion(worker: Worker, lane: Lane) -> Iterator[None]:
    """While others of the group run, behind the first answers. When the worker dies, it stays."""
    request_id = lane.request_id
    if request_id:
        worker.executing[request_id] = TOGETHER
    try:
        yield
    finally:
        if worker.process.alive:
            worker.executing.pop(request_id, None)


async def _groups(
    statements: Statements, worker: Worker, lane: Lane, outcome: Outcome, screened: Sequence[Screened]
) -> AsyncGenerator[list[Answer], None]:
    answered = 0
    payload = outcome.body if outcome.body is not None else await _next_payload(lane)
    while payload is not None:
        try:
            group = _read(payload, left=len(screened) - answered)
        except FrameError as error:
            lost = await worker.process.distrust(error)
            raise worker_lost(lost.status, committed=False) from error
        for answer, one in zip(group, screened[answered:], strict=False):
            statements.floor.quarantine.succeeded(fingerprint_of(one.statements))
            statements.usage.count(answer.timing.execute_ms)
        answered += len(group)
        yield group
        payload = await _next_payload(lane)


async def _next_payload(lane: Lane) -> bytes | None:
    """None when there is no other group. Raises NodeError."""
    if not lane.request_id:
        return None
    try:
        frame = await lane.receive()
    except LaneFailed as error:
        raise statement_error(error.failed) from error
    except WorkerDied as error:
        raise worker_lost(error.status, committed=False) from error
    return frame.payload if lane.request_id else None


def _quick(statements: Statements, queries: Sequence[Query]) -> list[Screened]:
    """The first so many that may be run together: single reads, short and not suspected of anything."""
    worker, quarantine = statements.floor.presence.usable(), statements.floor.quarantine
    found: list[Screened] = []
    length = 0
    if worker is None:
        return found
    for query in queries:
        length += len(query.cypher)
        if length > SCREEN_IN_THREAD or is_large(query.parameters):
            break
        try:
            one = statements.screen.screen(query.cypher, query.parameters, worker.key_types)
        except NodeError:
            break
        if not one.is_read or one.is_bulk or len(one.statements) != 1:
            break
        if quarantine.has_died(fingerprint_of(one.statements)):
            break
        found.append(one)
    return found


def _order(statements: Statements, query: Query, screened: Screened) -> RunQuery:
    texts = [screened.statements[0].text]
    form, graph_id = query.form.value, statements.graph_id
    return RunQuery(texts, [False], screened.parameters, form, query.chunk_size, graph_id, LONGEST_MS)


async def _groups_of_none() -> AsyncGenerator[list[Answer], None]:
    for group in list[list[Answer]]():
        yield group


def _read(payload: bytes, left: int) -> list[Answer]:
    """Raises FrameError, also for more answers than are missing: they would be given to others."""
    group = [_answer(done, body) for done, body in read_done(payload)]
    if len(group) > left:
        raise FrameError(f"{len(group)} answers where {left} are missing")
    return group


def _answer(done: Done, body: bytes) -> Answer:
    timing = Timing(queue_ms=0.0, execute_ms=done.execute_ms, encode_ms=0.0)
    return Answer(tuple(done.columns), done.row_count, timing, body)
