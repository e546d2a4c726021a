"""Each call as it would be sent, before anything is."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from kuzu_client._core import requests
from kuzu_client._core.calls import Call, Replay
from kuzu_client._core.identifiers import quoted, segment


def sent(call: Call) -> Any:
    assert call.body is not None
    assert call.body.length == len(call.body.content)
    return json.loads(call.body.content)


def test_query_leaves_out_what_was_not_given() -> None:
    call = requests.query("RETURN 1", "g")
    assert (call.method, call.path, call.accept, call.timeout) == ("POST", "/databases/g/query", None, None)
    assert sent(call) == {"cypher": "RETURN 1"}


def test_query_sends_what_was_given_and_leaves_the_time_limit_to_the_node() -> None:
    call = requests.query("RETURN $a", "g", {"a": 1}, timeout=7, read_only=True, accept=requests.NDJSON)
    assert sent(call) == {"cypher": "RETURN $a", "parameters": {"a": 1}, "timeout": 7, "read_only": True}
    assert call.accept == "application/x-ndjson"
    assert call.timeout == 7 + requests.ANSWER_SECONDS


@pytest.mark.parametrize(
    ("cypher", "read_only", "replay"),
    [
        ("CREATE (:P)", False, Replay.KEYED),
        ("RETURN 1", True, Replay.SAFE),
        ("CALL CREATE_FTS_INDEX('P', 'i', ['s'])", False, Replay.NEVER),
        ("call create_vector_index('P', 'i', 's')", False, Replay.NEVER),
        ("CALL DROP_FTS_INDEX('P', 'i')", False, Replay.NEVER),
    ],
)
def test_only_reads_and_writes_with_a_key_may_be_sent_twice(cypher: str, read_only: bool, replay: Replay) -> None:
    assert requests.query(cypher, "g", read_only=read_only).replay is replay
    assert requests.transaction([cypher], "g", read_only=read_only).replay is replay


def test_what_has_no_key_and_is_no_wish_for_a_state_is_sent_once() -> None:
    calls = [
        requests.create_database("g", "entity"),
        requests.delete_database("g"),
        requests.start("copy_from_s3", "g", "copy", table_name="P"),
    ]
    assert {call.replay for call in calls} == {Replay.NEVER}
    assert requests.create_database("g", "entity", replay=Replay.SAFE).replay is Replay.SAFE
    assert requests.install_schema("g", "base").replay is Replay.SAFE
    assert requests.install_schema("g", "base", custom_ddl="CREATE ..").replay is Replay.KEYED


def test_a_transaction_takes_texts_pairs_and_mappings() -> None:
    call = requests.transaction(
        ["A", ("B", {"x": 1}), {"cypher": "C", "parameter_sets": [{"x": 1}, {"x": 2}]}], "g", timeout=3
    )
    assert sent(call) == {
        "statements": [
            {"cypher": "A"},
            {"cypher": "B", "parameters": {"x": 1}},
            {"cypher": "C", "parameter_sets": [{"x": 1}, {"x": 2}]},
        ],
        "timeout": 3,
    }


@pytest.mark.parametrize("value", [math.nan, math.inf, [1.0, -math.inf], {"deep": [math.nan]}, np.float64("nan")])
def test_a_number_that_would_become_null_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="JSON cannot carry"):
        requests.query("RETURN $p", "g", {"p": value})
    with pytest.raises(ValueError, match="JSON cannot carry"):
        requests.transaction([{"cypher": "RETURN $p", "parameter_sets": [{"p": value}]}], "g")


def test_numbers_of_numpy_are_sent_as_numbers() -> None:
    call = requests.query("RETURN $p", "g", {"p": [np.int64(2**62), np.float32(0.5), np.bool_(True)]})
    assert sent(call)["parameters"] == {"p": [2**62, 0.5, True]}


def test_mappings_and_exact_values_keep_what_they_say() -> None:
    given = {"m": MappingProxyType({"a": 2**100}), "d": Decimal("1.10"), "b": b"\0\xff"}
    found = sent(requests.query("RETURN $p", "g", given))["parameters"]
    assert found == {"m": {"a": 2**100}, "d": "1.10", "b": "AP8="}


def test_what_is_no_value_is_refused() -> None:
    with pytest.raises(TypeError, match="object"):
        requests.query("RETURN $p", "g", {"p": object()})


def test_node_exists_quotes_names_and_passes_values() -> None:
    call = requests.node_exists("A b", {"id": 1, "x y": None, "s": "`"}, "g")
    assert sent(call) == {
        "cypher": "MATCH (n:`A b`) WHERE n.`id` = $p0 AND n.`x y` IS NULL AND n.`s` = $p2 RETURN 1 AS found LIMIT 1",
        "parameters": {"p0": 1, "p2": "`"},
        "read_only": True,
    }
    assert call.replay is Replay.SAFE
    assert sent(requests.node_exists("A", None, "g"))["cypher"] == "MATCH (n:`A`) RETURN 1 AS found LIMIT 1"


@pytest.mark.parametrize("name", ["", "a`b", "`", "a\0", "a\nb"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no name"):
        quoted(name)


@pytest.mark.parametrize(("name", "part"), [("a-b_1", "a-b_1"), ("a/../b", "a%2F..%2Fb"), ("ä?#%", "%C3%A4%3F%23%25")])
def test_a_name_stays_one_part_of_the_path(name: str, part: str) -> None:
    assert segment(name) == part


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_a_name_that_leads_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no name"):
        requests.query("RETURN 1", name)


def test_schemas_are_built_in_or_given() -> None:
    built_in = requests.install_schema("g", "base", ("ledger",))
    assert sent(built_in) == {"type": "custom", "metadata": {"base_schema": "base", "extensions": ["ledger"]}}
    assert sent(requests.install_schema("g", "base", custom_ddl="DDL")) == {"type": "ddl", "ddl": "DDL"}
    with pytest.raises(ValueError, match="custom_ddl"):
        requests.install_schema("g", "base", ["ledger"], "DDL")


def test_tasks_are_asked_for_by_status_and_resumed_by_event() -> None:
    assert requests.list_tasks(None, 100).query == (("limit", "100"),)
    assert requests.list_tasks("running", 5).query == (("status", "running"), ("limit", "5"))
    assert requests.monitor("t 1", "", timeout=3).path == "/tasks/t%201/monitor"
    assert requests.monitor("t", "", timeout=3).headers == ()
    assert requests.monitor("t", "7", timeout=3).headers == (("Last-Event-ID", "7"),)
