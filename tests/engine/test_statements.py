"""Which requests are screened beside the loop."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from kuzu_node.engine.statements import RUNS_IN_THREAD, SCREEN_IN_THREAD, is_long
from kuzu_node.engine.values import TransactionStatement
from tests.engine.nodes import create, opened

SHORT = "RETURN 1"
LONG_TEXT = "RETURN '" + "x" * (SCREEN_IN_THREAD // 2) + "'"


def test_a_short_transaction_is_screened_at_once() -> None:
    assert not is_long([TransactionStatement(cypher=SHORT, parameters={"a": [1, 2]})] * RUNS_IN_THREAD)
    assert not is_long([TransactionStatement(cypher=LONG_TEXT)])


@pytest.mark.parametrize(
    "statements",
    [
        [TransactionStatement(cypher=SHORT)] * (RUNS_IN_THREAD + 1),
        [TransactionStatement(cypher=SHORT, parameter_sets=({},) * (RUNS_IN_THREAD + 1))],
        [TransactionStatement(cypher=LONG_TEXT)] * 2,
        [TransactionStatement(cypher=LONG_TEXT, parameter_sets=({}, {}))],
        [TransactionStatement(cypher=SHORT, parameters={"a": list(range(10_000))})],
        [TransactionStatement(cypher=SHORT, parameter_sets=({"a": "x" * 40_000},))],
    ],
    ids=["statements", "sets", "texts", "one text for each set", "a list", "a string in a set"],
)
def test_a_long_transaction_leaves_the_loop_to_others(statements: list[TransactionStatement]) -> None:
    assert is_long(statements)


@pytest.mark.trio
@pytest.mark.parametrize("what", ["schema", "projection"])
async def test_others_go_on_while_a_long_text_is_looked_at(tmp_path: Path, what: str) -> None:
    schema = ";".join(f"CREATE NODE TABLE T{number}(id INT64, PRIMARY KEY(id))" for number in range(8000))
    projection = "RETURN 'project" + "x" * 190_000 + "'"
    async with opened(tmp_path) as node, trio.open_nursery() as nursery:
        database = await create(node)
        seen: list[object] = []

        async def look() -> None:
            if what == "schema":
                seen.append(len(await database.statements.split_ddl(schema, allow_drop=False)))
            else:
                seen.append(await database.statements.projects_graphs(projection))

        nursery.start_soon(look)
        turns = 0
        while not seen:
            await trio.lowlevel.checkpoint()
            turns += 1
        assert seen == [8000 if what == "schema" else False]
        assert turns > 3
