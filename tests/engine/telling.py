"""What tests say to sessions, and what a session that has ended may not leave behind."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kuzu_node.engine.answer import collect
from kuzu_node.engine.database import Database
from kuzu_node.engine.sessions import Session
from kuzu_node.engine.values import Query
from kuzu_node.errors import NodeError
from tests.engine.nodes import NOTHING, held


async def tell(session: Session, cypher: str, **parameters: Any) -> list[dict[str, Any]]:
    async with session.query(Query(cypher=cypher, parameters=parameters)) as answer:
        body = answer.body if answer.body is not None else await collect(answer)
    rows: list[dict[str, Any]] = json.loads(body)["data"]
    return rows


async def refusal(session: Session, cypher: str, **parameters: Any) -> NodeError:
    with pytest.raises(NodeError) as caught:
        await tell(session, cypher, **parameters)
    assert caught.value.committed is False
    return caught.value


def assert_all_is_back(database: Database, step: object) -> None:
    assert held(database) == NOTHING, step
    assert database.floor.locks.transactions == 0, step
    assert database.floor.locks.checkpoints_waiting == 0, step
    worker = database.floor.presence.worker
    assert worker is None or worker.process.doomed or not worker.lanes.lent, step
