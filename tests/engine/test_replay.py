"""Which writes must not be left to the log."""

from __future__ import annotations

import pytest

from kuzu_node.engine import replay
from kuzu_node.errors import Forbidden


@pytest.mark.parametrize("text", ["MATCH (n) DETACH DELETE n", "MATCH (n)\n/**/detach/**/ DELETE n"])
def test_detaching_is_never_left_to_the_log(text: str) -> None:
    assert replay.is_untrue([text], text_indexed=False)


@pytest.mark.parametrize(
    "text", ["MATCH (n) SET n.a = 1", "MATCH (n) DELETE n", "MERGE (n:P {id: 1})", "MATCH (n) remove n.a SET n.b = 1"]
)
def test_changes_beside_a_text_index_are_not_left_to_the_log(text: str) -> None:
    assert replay.is_untrue([text], text_indexed=True)
    assert not replay.is_untrue([text], text_indexed=False)


def test_insertion_is_left_to_the_log() -> None:
    assert not replay.is_untrue(["CREATE (:P {id: 1, offset: 2, settled: 3})"], text_indexed=True)


@pytest.mark.parametrize(
    ("text", "table"),
    [("ALTER TABLE Person DROP a", "PERSON"), ("alter table `My ``table` drop a", "MY `TABLE")],
)
def test_altered_table_is_found_as_the_engine_names_it(text: str, table: str) -> None:
    assert replay.altered_table(text) == table


def test_dropping_a_vector_index_is_refused() -> None:
    with pytest.raises(Forbidden):
        replay.refuse_ruinous("CALL drop_vector_index('P', 'near')")
    replay.refuse_ruinous("CALL DROP_FTS_INDEX('P', 'text')")
