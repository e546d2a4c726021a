"""Which requests are screened beside the loop."""

from __future__ import annotations

import pytest

from kuzu_node.engine.statements import RUNS_IN_THREAD, SCREEN_IN_THREAD, is_long
from kuzu_node.engine.values import TransactionStatement

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
