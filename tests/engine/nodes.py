"""Real nodes with real workers for the tests of the engine side, small and quick."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import trio

from kuzu_node.config import load
from kuzu_node.core.screen import Kind, Screened, Statement
from kuzu_node.engine.answer import Answer
from kuzu_node.engine.database import Database
from kuzu_node.engine.execution import Execution
from kuzu_node.engine.statements import fingerprint_of
from kuzu_node.engine.values import DatabaseSpec, Form, Query, State
from kuzu_node.engine.worker import Worker
from kuzu_node.errors import NodeError
from kuzu_node.node import Node, open_node
from kuzu_node.observe.loop_steps import watched_loop

PATIENCE = 60
# The loop must not stand still; so long a step is our fault on any machine.
LONGEST_STEP = 0.5
SETTINGS = {
    "KUZU_MAX_MEMORY_MB": "2048",
    "KUZU_MEMORY_PER_DB_MB": "256",
    "KUZU_MAX_DB_SIZE_GB": "4",
    "KUZU_MAX_DATABASES_PER_NODE": "60",
    "KUZU_MAX_QUERY_LENGTH": "200000",
    "KUZU_KILL_GRACE": "0.5",
    # A process more for each node, which most tests have no use for.
    "KUZU_SPARE_WORKER": "false",
}
PERSON = "CREATE NODE TABLE P(id INT64, s STRING, PRIMARY KEY(id)); CREATE REL TABLE K(FROM P TO P)"
# Long lists in UNWIND are made by one expression, which no interrupt stops: short ones within each other.
ENDLESS = (
    "UNWIND range(1, 100000) AS a UNWIND range(1, 1000) AS b UNWIND range(1, 1000) AS c RETURN sum((a + b * c) % 7)"
)
# A single expression: neither interrupt nor timeout ends it for many seconds.
DEAF = "RETURN size(range(1, 40000000))"
LONG = "UNWIND range(1, {}) AS x RETURN x, x * 2 AS y, 'abcdefgh' AS z"


@asynccontextmanager
async def opened(base: Path, **settings: str) -> AsyncIterator[Node]:
    """A node in this process, under a bound on the time and on each step of the loop."""
    config = load({"KUZU_DATABASE_PATH": str(base), **SETTINGS, **settings})
    with trio.fail_after(PATIENCE), watched_loop() as steps:
        async with open_node(config) as node:
            yield node
        assert steps.longest < LONGEST_STEP, steps.slow


async def create(node: Node, name: str = "g", ddl: str = PERSON, **fields: Any) -> Database:
    spec = DatabaseSpec(graph_id=name, schema_type="custom", ddl=(ddl,) if ddl else (), **fields)
    return await node.databases.create(spec)


async def ask(database: Database, text: str, /, query: Query | None = None, **parameters: Any) -> list[dict[str, Any]]:
    """The rows as JSON has them."""
    query = query or Query(cypher=text, parameters=parameters)
    async with database.query(query) as answer:
        rows: list[dict[str, Any]] = json.loads(await whole(answer))["data"]
    return rows


async def whole(answer: Answer) -> bytes:
    if answer.body is not None:
        return answer.body
    async with answer.delivery() as pieces:
        return b"".join([piece.body async for piece in pieces])


async def failure(database: Database, text: str, /, query: Query | None = None, **parameters: Any) -> NodeError:
    """What a statement that fails is answered."""
    try:
        rows = await ask(database, text, query, **parameters)
    except NodeError as error:
        return error
    raise AssertionError(f"it did not fail: {rows}")


def unscreened(text: str, *, write: bool = False, fingerprint: str | None = None) -> Screened:
    """A text as if the screen had let it through as it is."""
    kind = Kind.WRITE if write else Kind.READ
    return Screened((Statement(text, kind, fingerprint or text),), {}, kind, text)


async def force(database: Database, text: str, *, write: bool = False, form: Form = Form.JSON) -> bytes:
    """Runs a text that the screen has not seen."""
    screened = unscreened(text, write=write)
    query = Query(cypher=text, form=form)
    execution = Execution(database.floor, query, fingerprint_of(screened.statements), write=write)
    try:
        return await whole(await database.statements.run(query, screened, execution))
    finally:
        await execution.finish()


def worker_of(database: Database) -> Worker:
    worker = database.floor.presence.worker
    assert worker is not None
    return worker


async def reach(database: Database, state: State) -> None:
    """Until the database is in the state."""
    await until_changed(database, lambda: database.floor.presence.state is state)


async def until_changed(database: Database, reached: Callable[[], bool]) -> None:
    """Follows the database's changes of state until the condition holds."""
    while not reached():
        await database.floor.presence.wait_changed()


@attrs.define
class Held:
    """What a database has given out."""

    slots: int
    inside: int
    waiting: int
    users: int
    deliveries: int
    writer: bool


def held(database: Database) -> Held:
    floor = database.floor
    return Held(
        slots=floor.locks.slots.borrowed_tokens,
        inside=floor.locks.gate.inside,
        waiting=floor.locks.waiting + floor.presence.waiting,
        users=floor.presence.users,
        deliveries=floor.deliveries.count,
        writer=not floor.locks.writer.value or not floor.locks.maintenance.value,
    )


NOTHING = Held(slots=0, inside=0, waiting=0, users=0, deliveries=0, writer=False)
