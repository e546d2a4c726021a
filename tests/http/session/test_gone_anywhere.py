"""Clients that are gone at any step of their session: when the app has returned nothing is held for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from kuzu_node.http.app import open_app
from tests.engine.nodes import LONG, ask, create, opened, worker_of
from tests.engine.telling import assert_all_is_back
from tests.http.session.leaving import How, Visitor, gone_at

pytestmark = pytest.mark.trio
HOWS: list[How] = ["disconnect", "cancel"]
MOST = 400
# More than one message has room for.
ROWS = 8_000
IDS = "MATCH (p:P) RETURN p.id AS id"
Say = Callable[[int], Sequence[Mapping[str, Any]]]


def query(order: int, cypher: str, **fields: Any) -> dict[str, Any]:
    return {"type": "query", "id": order, "cypher": cypher, **fields}


async def gone_everywhere(base: Path, say: Say, how: How, *, stalls: bool = False) -> tuple[set[int], set[int]]:
    """`say` is told the step. The steps at which the last order was done, and the ids that are there at the end."""
    done: set[int] = set()
    async with opened(base) as node, open_app(node) as app:
        database = await create(node)
        await ask(database, "CREATE (:P {id: 0, s: 'word'})")
        for step in range(1, MOST):
            visitor = Visitor(say(step), stalls=stalls)
            whole = await gone_at(app, visitor, step, how)
            assert node.sessions.total == 0, step
            assert_all_is_back(database, step)
            last = [heard["type"] for heard in visitor.heard if heard["id"] == len(visitor.said)]
            if "done" in last or "result" in last:
                done.add(step)
            if whole:
                break
        assert whole
        # What is durable, asked of a worker that knows nothing else.
        worker_of(database).process.kill()
        return done, {row["id"] for row in await ask(database, IDS)}


@pytest.mark.parametrize("how", HOWS)
async def test_while_a_session_is_opened(tmp_path: Path, how: How) -> None:
    await gone_everywhere(tmp_path, lambda step: [{"type": "ping", "id": 1}], how)


@pytest.mark.parametrize("how", HOWS)
async def test_while_queries_that_came_together_are_answered(tmp_path: Path, how: How) -> None:
    done, _ = await gone_everywhere(
        tmp_path, lambda step: [query(n, f"MATCH (p:P) RETURN p.id + {n} AS n") for n in range(1, 7)], how
    )
    assert done


@pytest.mark.parametrize("how", HOWS)
async def test_while_a_transaction_writes(tmp_path: Path, how: How) -> None:
    def say(step: int) -> list[dict[str, Any]]:
        return [
            {"type": "begin", "id": 1},
            query(2, f"CREATE (:P {{id: {step}}})"),
            query(3, f"CREATE (:P {{id: {-step}}})"),
            {"type": "commit", "id": 4},
        ]

    done, kept = await gone_everywhere(tmp_path, say, how)
    assert done <= kept
    assert kept == {-number for number in kept}


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize(("form", "stalls"), [("json", False), ("json", True), ("arrow", False)])
async def test_while_a_long_answer_is_delivered(tmp_path: Path, form: str, stalls: bool, how: How) -> None:
    await gone_everywhere(tmp_path, lambda step: [query(1, LONG.format(ROWS), format=form)], how, stalls=stalls)


@pytest.mark.parametrize("how", HOWS)
async def test_while_a_long_answer_within_a_transaction_is_delivered(tmp_path: Path, how: How) -> None:
    def say(step: int) -> list[dict[str, Any]]:
        return [{"type": "begin", "id": 1}, query(2, f"CREATE (:P {{id: {step}}}) WITH 1 AS one {LONG.format(ROWS)}")]

    _, kept = await gone_everywhere(tmp_path, say, how)
    assert kept == {0}
