"""What the node's encoders write is what the client's decoders read: every type of the contract, in every form."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import attrs
import pytest

from kuzu_client import KuzuClient
from kuzu_client._core import requests
from kuzu_client._core.calls import Call
from kuzu_client._sync.caller import Caller

UTC = dt.UTC
# Long enough to be encoded through Arrow, and to come in several chunks.
MANY = 3000
DAYS_OF_400_YEARS = 146097
SAME: Any = object()

# The expression, its value in JSON, and in Arrow where that is another.
VALUES: list[tuple[str, Any, Any]] = [
    ("true", True, SAME),
    ("CAST(-128 AS INT8)", -128, SAME),
    ("CAST(-32768 AS INT16)", -(2**15), SAME),
    ("CAST(-2147483648 AS INT32)", -(2**31), SAME),
    ("CAST('-9223372036854775808' AS INT64)", -(2**63), SAME),
    ("CAST(255 AS UINT8)", 255, SAME),
    ("CAST(65535 AS UINT16)", 2**16 - 1, SAME),
    ("CAST(4294967295 AS UINT32)", 2**32 - 1, SAME),
    ("CAST('18446744073709551615' AS UINT64)", 2**64 - 1, SAME),
    ("CAST('170141183460469231731687303715884105727' AS INT128)", str(2**127 - 1), Decimal(2**127 - 1)),
    ("CAST(0.1 AS FLOAT)", 0.1, 0.10000000149011612),
    ("0.1", 0.1, SAME),
    ("1e300", 1e300, SAME),
    ("CAST('-inf' AS DOUBLE)", None, -math.inf),
    ("'text \"q\" \\\\ \n \u2028'", 'text "q" \\ \n \u2028', SAME),
    ("date('2020-02-03')", "2020-02-03", dt.date(2020, 2, 3)),
    (
        "timestamp('2020-02-03 04:05:06.789')",
        "2020-02-03T04:05:06.789",
        dt.datetime(2020, 2, 3, 4, 5, 6, 789000),  # noqa: DTZ001 - TIMESTAMP has no zone
    ),
    (
        "CAST('2020-02-03 04:05:06' AS TIMESTAMP_SEC)",
        "2020-02-03T04:05:06",
        dt.datetime(2020, 2, 3, 4, 5, 6),  # noqa: DTZ001 - TIMESTAMP has no zone
    ),
    (
        "CAST('2020-02-03 04:05:06+02:00' AS TIMESTAMP_TZ)",
        "2020-02-03T02:05:06Z",
        dt.datetime(2020, 2, 3, 2, 5, 6, tzinfo=UTC),
    ),
    (
        "interval('3 days 4 hours 5 minutes 6 seconds 7 us')",
        "P3DT4H5M6.000007S",
        dt.timedelta(days=3, hours=4, minutes=5, seconds=6, microseconds=7),
    ),
    ("CAST('123.450' AS DECIMAL(10,3))", "123.450", Decimal("123.450")),
    ("CAST('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11' AS UUID)", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", SAME),
    ("BLOB('\\\\xAA\\\\x00b')", "qgBi", b"\xaa\x00b"),
    ("[1, 2, NULL]", [1, 2, None], SAME),
    ("CAST([1.5, 2.5] AS DOUBLE[2])", [1.5, 2.5], SAME),
    ("{a: 1, b: 'x', c: [NULL]}", {"a": 1, "b": "x", "c": [None]}, SAME),
    ("map(['a', 'b'], [1, 2])", {"a": 1, "b": 2}, [("a", 1), ("b", 2)]),
    ("map([1, 2], ['x', 'y'])", {"1": "x", "2": "y"}, [(1, "x"), (2, "y")]),
    # The engine's Arrow makes a text of every UNION.
    ("CAST(1 AS UNION(n INT64, s STRING))", 1, "1"),
    ("NULL", None, SAME),
]


def ids(value: object) -> str | None:
    return value[:40] if isinstance(value, str) and "(" in value else None


@pytest.fixture
def client(url: str, graph: str) -> Iterator[KuzuClient]:
    with KuzuClient(url, graph_id=graph) as client:
        yield client


def jsonl(url: str, graph: str, cypher: str) -> list[Any]:
    """No method of the client asks for this form, so its rows are split here."""
    call: Call = attrs.evolve(requests.query(cypher, graph, read_only=True), accept="application/jsonl")
    with Caller(url) as caller:
        return [json.loads(line) for line in caller.call_bytes(call).split(b"\n") if line]


def everywhere(client: KuzuClient, url: str, graph: str, cypher: str) -> dict[str, list[Any]]:
    """The values of the column `v` in each form that is JSON."""
    with client.stream(cypher, read_only=True) as stream:
        lines = [json.loads(line) for line in stream.lines()]
    return {
        "json": [row["v"] for row in client.query(cypher, read_only=True).data],
        "ndjson": [row["v"] for row in client.rows(cypher, read_only=True)],
        "lines": [row["v"] for line in lines for row in line["data"]],
        "jsonl": [row["v"] for row in jsonl(url, graph, cypher)],
    }


@pytest.mark.parametrize(("expression", "value", "in_arrow"), VALUES, ids=ids)
def test_a_value_is_the_same_in_every_form_and_from_every_encoder(
    client: KuzuClient, url: str, graph: str, expression: str, value: Any, in_arrow: Any
) -> None:
    for cypher, count in (
        (f"RETURN {expression} AS v", 1),
        (f"UNWIND range(1, {MANY}) AS i RETURN {expression} AS v", MANY),
    ):
        for form, values in everywhere(client, url, graph, cypher).items():
            assert values == [value] * count, form
            assert type(values[0]) is type(value), form
        arrow = client.query_arrow(cypher, read_only=True)["v"].to_pylist()
        assert arrow == [value if in_arrow is SAME else in_arrow] * count


def test_a_time_has_the_digits_it_has(client: KuzuClient, url: str, graph: str) -> None:
    # Nanoseconds, and a year that Python's datetime does not know: Arrow's own numbers are compared.
    for expression, text, number in (
        ("CAST('2020-02-03 04:05:06.123456' AS TIMESTAMP_NS)", "2020-02-03T04:05:06.123456", 1580702706123456000),
        (
            "date('12345-01-02')",
            "12345-01-02",
            (dt.date(2345, 1, 2) - dt.date(1970, 1, 1)).days + 25 * DAYS_OF_400_YEARS,
        ),
    ):
        cypher = f"RETURN {expression} AS v"
        assert list(everywhere(client, url, graph, cypher).values()) == [[text]] * 4
        column = client.query_arrow(cypher, read_only=True)["v"].combine_chunks()
        whole = column.cast("int32" if column.type.bit_width == 32 else "int64")
        assert whole.to_pylist() == [number]


def test_a_nan_is_a_null_in_json_and_itself_in_arrow(client: KuzuClient, url: str, graph: str) -> None:
    cypher = "RETURN CAST('nan' AS DOUBLE) AS v"
    assert everywhere(client, url, graph, cypher) == {form: [None] for form in ("json", "ndjson", "lines", "jsonl")}
    (value,) = client.query_arrow(cypher, read_only=True)["v"].to_pylist()
    assert math.isnan(value)


@pytest.mark.parametrize("expression", ["a", "k", "p", "id(a)", "nodes(p)", "rels(p)", "{node: a, rels: [k]}"])
def test_nodes_relationships_and_paths_are_the_same_in_every_form(
    client: KuzuClient, url: str, graph: str, expression: str
) -> None:
    client.query("MATCH (a:P {id: 1}), (b:P {id: 2}) CREATE (a)-[:KNOWS {since: date('2020-02-02')}]->(b)")
    cypher = f"MATCH p = (a:P)-[k:KNOWS]->(b:P) RETURN {expression} AS v"
    forms = everywhere(client, url, graph, cypher)
    assert [value for value in forms.values() if value != forms["json"]] == []
    assert forms["json"] != [None]
    arrow = client.query_arrow(cypher, read_only=True)["v"].to_pylist()
    assert json.loads(json.dumps(arrow, default=str)) == forms["json"]


def test_a_node_has_the_keys_of_the_contract(client: KuzuClient) -> None:
    node = client.execute_single("MATCH (p:P {id: 1}) RETURN p")["p"]
    assert (node["_label"], node["id"], node["name"], set(node["_id"])) == ("P", 1, "Ada", {"offset", "table"})
    client.query("MATCH (a:P {id: 1}), (b:P {id: 2}) CREATE (a)-[:KNOWS]->(b)")
    row = client.execute_single("MATCH p = (:P)-[k:KNOWS]->(:P) RETURN k, p")
    assert set(row["k"]) == {"_src", "_dst", "_label", "_id", "since"}
    assert set(row["p"]) == {"_nodes", "_rels"}


@pytest.mark.parametrize(
    "value",
    [
        1,
        -(2**63),
        2**63 - 1,
        0.5,
        1e300,
        True,
        None,
        "text \u2028 \x85 'q'",
        [1, 2],
        {"a": 1, "b": ["x"]},
        [{"a": None}],
    ],
    ids=repr,
)
def test_a_parameter_comes_back_as_it_went(client: KuzuClient, url: str, graph: str, value: Any) -> None:
    result = client.query("RETURN $v AS v", parameters={"v": value}, read_only=True)
    assert result.data == [{"v": value}]
    assert type(result.data[0]["v"]) is type(value)
