"""What must not cost the worker: statements that end in time leave nothing behind in it."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
import trio.testing

from kuzu_node.engine.values import Query, Transaction, TransactionStatement
from kuzu_node.errors import NodeError
from tests.engine.nodes import ask, create, opened, worker_of

pytestmark = pytest.mark.trio

COPY_TWICE = "COPY P FROM (UNWIND [1, 1] AS x RETURN x, 'a')"


async def test_a_transaction_with_too_many_rows_to_tell_is_rolled_back(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        database = await create(node)
        statements = ("CREATE (:P {id: 1})", "UNWIND range(1, 1000001) AS x RETURN x")
        transaction = Transaction(statements=tuple(TransactionStatement(cypher=text) for text in statements))
        with pytest.raises(NodeError) as caught:
            await database.transaction(transaction)
        assert (caught.value.code, caught.value.committed) == ("too_large", False)
        assert await ask(database, "MATCH (p:P) RETURN count(*) AS n") == [{"n": 0}]


async def test_a_detaching_statement_that_is_cancelled_in_time_leaves_the_worker_to_its_readers(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        database = await create(node)
        await ask(database, "UNWIND range(1, 3000) AS x CREATE (:P {id: x})")
        pid = worker_of(database).process.pid
        query = Query(cypher="MATCH (a:P), (b:P), (c:P) WHERE a.id + b.id + c.id < 0 DETACH DELETE a")
        with trio.move_on_after(0.5) as scope:
            await ask(database, "", query)
        assert scope.cancelled_caught
        assert query.committed is False
        assert worker_of(database).process.pid == pid
        assert await ask(database, "MATCH (p:P) RETURN count(*) AS n") == [{"n": 3000}]
        await ask(database, "CREATE (:P {id: 5000})")
        assert await ask(database, "MATCH (p:P {id: 5000}) RETURN p.id AS id") == [{"id": 5000}]
