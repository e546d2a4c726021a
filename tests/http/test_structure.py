from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kuzu_node.errors import InvalidBody
from kuzu_node.http.models import CreateDatabaseBody, QueryBody, SchemaBody, StatementBody, TransactionBody
from kuzu_node.http.structure import Bodies

BODIES = Bodies()


def faults(document: Any, model: type[Any]) -> dict[str, str]:
    with pytest.raises(InvalidBody) as caught:
        BODIES.read(document, model)
    return {fault.path: fault.message for fault in caught.value.faults}


def test_a_query_is_read_as_it_came() -> None:
    parameters = {"a": None, "b": [1, {"c": 2.5}]}
    document = {"cypher": "RETURN 1", "parameters": parameters, "timeout": 3, "read_only": True}
    body = BODIES.read(document, QueryBody)
    assert body == QueryBody(cypher="RETURN 1", parameters=parameters, timeout=3.0, read_only=True)


def test_null_is_absent_but_not_inside_parameters() -> None:
    body = BODIES.read({"cypher": "x", "parameters": {"a": None}, "timeout": None, "read_only": None}, QueryBody)
    assert body == QueryBody(cypher="x", parameters={"a": None})
    assert faults({"cypher": None}, QueryBody) == {"cypher": "is required"}


def test_fields_of_old_clients_are_ignored_at_the_top_only() -> None:
    assert BODIES.read({"cypher": "x", "database": "g", "pipeline_run_id": 1}, QueryBody).cypher == "x"
    nested = {"statements": [{"cypher": "x", "database": "g"}]}
    assert faults(nested, TransactionBody) == {"statements[0].database": "is not a known field"}


@pytest.mark.parametrize(
    ("document", "model", "expected"),
    [
        ([], QueryBody, {"$": "must be an object"}),
        (None, QueryBody, {"$": "must be an object"}),
        ({}, QueryBody, {"cypher": "is required"}),
        (
            {"cypher": 1, "x": 1, "timeout": "1"},
            QueryBody,
            {"cypher": "must be a string", "x": "is not a known field", "timeout": "must be a number"},
        ),
        ({"cypher": "x", "timeout": True}, QueryBody, {"timeout": "must be a number"}),
        ({"cypher": "x", "timeout": 0}, QueryBody, {"timeout": "must be above 0"}),
        ({"cypher": "x", "read_only": 1}, QueryBody, {"read_only": "must be true or false"}),
        ({"cypher": "x", "parameters": []}, QueryBody, {"parameters": "must be an object"}),
        ({"statements": []}, TransactionBody, {"statements": "must not be empty"}),
        ({"statements": {}}, TransactionBody, {"statements": "must be an array"}),
        ({"statements": ["x"]}, TransactionBody, {"statements[0]": "must be an object"}),
        (
            {"statements": [{"cypher": "a"}, {"cypher": "b", "parameter_sets": [{}, 3]}, {"x": 1}]},
            TransactionBody,
            {
                "statements[1].parameter_sets[1]": "must be an object",
                "statements[2].cypher": "is required",
                "statements[2].x": "is not a known field",
            },
        ),
        (
            {"cypher": "a", "parameters": {}, "parameter_sets": []},
            StatementBody,
            {"parameter_sets": "excludes parameters"},
        ),
        ({"graph_id": "../x"}, CreateDatabaseBody, {"graph_id": "must be 1 to 64 letters, digits, _ and -"}),
        ({"graph_id": "g\n"}, CreateDatabaseBody, {"graph_id": "must be 1 to 64 letters, digits, _ and -"}),
        (
            {"graph_id": "g", "schema_type": "other"},
            CreateDatabaseBody,
            {"schema_type": "must be entity or shared or custom"},
        ),
        ({"type": "ddl"}, SchemaBody, {"ddl": "or metadata is required, and only one of them"}),
        ({"type": "ddl", "metadata": {}}, SchemaBody, {"ddl": "is required"}),
        (
            {"type": "custom", "metadata": {"extensions": ["ledger", "other"]}},
            SchemaBody,
            {"metadata.extensions[1]": "must be roboledger or ledger"},
        ),
    ],
)
def test_every_fault_is_named_by_its_path(document: Any, model: type[Any], expected: dict[str, str]) -> None:
    assert faults(document, model) == expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["cypher", "statements", "parameters", "parameter_sets", "timeout"]), inner)
    ),
    max_leaves=10,
)


@given(JSON)
def test_no_document_gets_anything_but_a_body_or_faults(document: Any) -> None:
    try:
        body = BODIES.read(document, TransactionBody)
    except InvalidBody as error:
        outcome: tuple[Any, ...] = error.faults
    else:
        outcome = body.statements
    assert outcome
