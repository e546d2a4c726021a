"""Every type of the engine has one JSON form, whichever way it is fetched."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kuzu
import pytest

from kuzu_node.worker.encode import is_unsound
from tests.worker.encode.reading import arrow_table, body, csv_rows, rows_of, run

ROOT = Path(__file__).parents[3]

VALUES: list[tuple[str, Any]] = [
    ("true", True),
    ("CAST(-128 AS INT8)", -128),
    ("9223372036854775807", 9223372036854775807),
    ("CAST(18446744073709551615 AS UINT64)", 18446744073709551615),
    ("CAST(0.1 AS FLOAT)", 0.1),
    ("CAST(16777216 AS FLOAT)", 16777216.0),
    ("0.1", 0.1),
    ("CAST(2 AS DOUBLE)", 2.0),
    ("1e300", 1e300),
    ("CAST('nan' AS DOUBLE)", None),
    ("CAST('inf' AS DOUBLE)", None),
    ("CAST('-inf' AS FLOAT)", None),
    (
        "'it\\'s \"quoted\" \\\\ \n \u2028 \u2029 \u0085 \u00e4 \U0001f600'",
        'it\'s "quoted" \\ \n \u2028 \u2029 \u0085 ä 😀',
    ),
    ("''", ""),
    ("date('2024-02-29')", "2024-02-29"),
    ("date('0000-01-01')", "0000-01-01"),
    ("date('20000-12-31')", "20000-12-31"),
    ("date('290000-01-01')", "290000-01-01"),
    ("timestamp('2024-01-01 00:00:00')", "2024-01-01T00:00:00"),
    ("timestamp('2024-01-01 12:34:56.120')", "2024-01-01T12:34:56.12"),
    ("timestamp('1969-12-31 23:59:59.999999')", "1969-12-31T23:59:59.999999"),
    ("timestamp('20000-01-01 00:00:00.5')", "20000-01-01T00:00:00.5"),
    ("CAST('2024-01-01 00:00:10' AS TIMESTAMP_SEC)", "2024-01-01T00:00:10"),
    ("CAST('2024-01-01 00:00:00.5' AS TIMESTAMP_MS)", "2024-01-01T00:00:00.5"),
    ("CAST('2024-01-01 00:00:00.123456' AS TIMESTAMP_NS)", "2024-01-01T00:00:00.123456"),
    ("CAST('2024-01-01 02:00:00+02' AS TIMESTAMP_TZ)", "2024-01-01T00:00:00Z"),
    ("interval('1 month 3 days 4 hours 5 minutes 6.7 seconds')", "P33DT4H5M6.7S"),
    ("interval('0 days')", "PT0S"),
    ("interval('90 seconds')", "PT1M30S"),
    ("CAST(1.5 AS DECIMAL(18, 3))", "1.500"),
    ("CAST('-0.01' AS DECIMAL(4, 2))", "-0.01"),
    ("CAST('-0.01' AS DECIMAL(9, 2))", "-0.01"),
    ("CAST('-123456789.012' AS DECIMAL(18, 3))", "-123456789.012"),
    ("CAST('-0.5' AS DECIMAL(38, 1))", "-0.5"),
    ("[CAST('-1.25' AS DECIMAL(9, 2)), null]", ["-1.25", None]),
    ("{a: CAST('-1.25' AS DECIMAL(9, 2))}", {"a": "-1.25"}),
    ("CAST('0.00000001' AS DECIMAL(38, 8))", "0.00000001"),
    ("CAST('0' AS DECIMAL(38, 8))", "0.00000000"),
    (f"CAST('{2**127 - 1}' AS INT128)", str(2**127 - 1)),
    ("UUID('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11')", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ("BLOB('\\\\xAAab')", "qmFi"),
    ("[1, null, 3]", [1, None, 3]),
    ("[[1], []]", [[1], []]),
    ("CAST([0.1, 0.2] AS FLOAT[2])", [0.1, 0.2]),
    ("[CAST(0.1 AS FLOAT)]", [0.1]),
    ("[date('20000-01-01')]", ["20000-01-01"]),
    ("{a: 1, b: 'x', c: null}", {"a": 1, "b": "x", "c": None}),
    ('{`a"b`: {c: [0.5]}}', {'a"b': {"c": [0.5]}}),
    ("map(['a', 'b\"'], [1, 2])", {"a": 1, 'b"': 2}),
    ("map([1, 2], ['x', null])", {"1": "x", "2": None}),
    ("map([1.0], ['x'])", {"1.0": "x"}),
    ("map([[1, 2]], ['x'])", {"[1,2]": "x"}),
    ("map([{a: 'b'}], ['x'])", {'{"a":"b"}': "x"}),
    ("map([date('2024-01-01')], [1])", {"2024-01-01": 1}),
    ("union_value(a := 1)", 1),
    ("union_value(a := 'x')", "x"),
    ("[union_value(a := date('2024-01-01'))]", ["2024-01-01"]),
    ("union_value(a := CAST(0.1 AS FLOAT))", 0.1),
    ("union_value(a := timestamp('2024-01-01 00:00:00.50'))", "2024-01-01T00:00:00.5"),
    ("union_value(a := CAST(1.50 AS DECIMAL(9, 2)))", "1.50"),
    ("to_json({a: 1})", '{"a":1}'),
    ("CAST(null AS DATE)", None),
    ("CAST(null AS INT64[])", None),
    ("CAST(null AS STRUCT(a INT64))", None),
    ("CAST(null AS BLOB)", None),
]


@pytest.mark.parametrize("form", ["json", "ndjson", "jsonl"])
@pytest.mark.parametrize("count", [1, 200, 1200])
@pytest.mark.parametrize(("literal", "expected"), VALUES, ids=[literal[:40] for literal, _ in VALUES])
def test_value_is_the_same_whatever_fetched_it(
    connection: kuzu.Connection, literal: str, expected: Any, count: int, form: str
) -> None:
    rows = rows_of(connection, f"UNWIND range(1, {count}) AS i RETURN {literal} AS v", form)
    assert rows == [{"v": expected}] * count
    assert type(rows[0]["v"]) is type(expected)


@pytest.mark.parametrize(("literal", "expected"), VALUES, ids=[literal[:40] for literal, _ in VALUES])
def test_value_beside_nulls(connection: kuzu.Connection, literal: str, expected: Any) -> None:
    text = f"UNWIND range(1, 300) AS i RETURN CASE WHEN i % 2 = 0 THEN {literal} ELSE null END AS v, i"
    assert rows_of(connection, text, "json")[:2] == [{"v": None, "i": 1}, {"v": expected, "i": 2}]


@pytest.mark.parametrize("count", [1, 1200])
@pytest.mark.parametrize(("literal", "expected"), VALUES, ids=[literal[:40] for literal, _ in VALUES])
def test_csv_field(connection: kuzu.Connection, literal: str, expected: Any, count: int) -> None:
    written = body(run(connection, f"UNWIND range(1, {count}) AS i RETURN {literal} AS v, i"), "csv")
    rows = csv_rows(written)
    assert rows[0] == ["v", "i"]
    assert len(rows) == count + 1
    field = rows[-1][0]
    if expected is None:
        assert field == ""
    elif isinstance(expected, str):
        assert field == expected
    else:
        assert json.loads(field) == expected


@pytest.mark.parametrize(("literal", "expected"), VALUES, ids=[literal[:40] for literal, _ in VALUES])
def test_arrow_has_every_type(connection: kuzu.Connection, literal: str, expected: Any) -> None:
    text = f"UNWIND range(1, 1200) AS i RETURN {literal} AS v, i"
    table = arrow_table(body(run(connection, text), "arrow"))
    assert table.schema.names == ["v", "i"]
    assert table.num_rows == 1200
    assert table.column("i").to_pylist() == list(range(1, 1201))


@pytest.fixture(scope="module")
def graph(connection: kuzu.Connection) -> kuzu.Connection:
    run(connection, "CREATE NODE TABLE N(id INT64 PRIMARY KEY, f FLOAT, d DATE, m MAP(INT64, STRING), b BLOB)")
    run(connection, "CREATE NODE TABLE M(id INT64 PRIMARY KEY, x STRING)")
    run(connection, "CREATE REL TABLE R(FROM N TO M, since TIMESTAMP)")
    run(
        connection,
        "CREATE (:N {id: 1, f: CAST(0.1 AS FLOAT), d: date('20000-01-01'), m: map([7], ['x'])})"
        "-[:R {since: timestamp('2020-02-02 00:00:00.5')}]->(:M {id: 2, x: 'q'})",
    )
    return connection


NODE = {
    "_id": {"offset": 0, "table": 0},
    "_label": "N",
    "id": 1,
    "f": 0.1,
    "d": "20000-01-01",
    "m": {"7": "x"},
    "b": None,
}
OTHER = {"_id": {"offset": 0, "table": 1}, "_label": "M", "id": 2, "x": "q"}
REL = {
    "_src": {"offset": 0, "table": 0},
    "_dst": {"offset": 0, "table": 1},
    "_label": "R",
    "_id": {"offset": 0, "table": 2},
    "since": "2020-02-02T00:00:00.5",
}


@pytest.mark.parametrize("count", [1, 300])
def test_nodes_relationships_and_paths(graph: kuzu.Connection, count: int) -> None:
    match = f"UNWIND range(1, {count}) AS i MATCH p = (n:N)-[r:R]->(m:M) "
    rows = rows_of(graph, match + "RETURN n, r, m, id(n) AS i, p, collect(n) AS l, {n: n} AS s", "json")
    assert rows[0]["n"] == NODE
    assert rows[0]["r"] == REL
    assert rows[0]["m"] == OTHER
    assert rows[0]["i"] == {"offset": 0, "table": 0}
    assert list(rows[0]["p"]) == ["_nodes", "_rels"]
    assert [node["_label"] for node in rows[0]["p"]["_nodes"]] == ["N", "M"]
    assert rows[0]["p"]["_rels"] == [REL]
    assert rows[0]["l"][0] == NODE
    assert rows[0]["s"] == {"n": NODE}
    assert list(rows[0]["n"])[:2] == ["_id", "_label"]


def test_missing_node_is_null(graph: kuzu.Connection) -> None:
    assert rows_of(graph, "MATCH (m:M) OPTIONAL MATCH (m)-[r]->(x) RETURN r, x", "json") == [{"r": None, "x": None}]


def test_arrow_spells_the_keys_of_graph_values_as_the_rows_do(graph: kuzu.Connection) -> None:
    table = arrow_table(body(run(graph, "MATCH p = (n:N)-[r:R]->(m:M) RETURN n, r, p"), "arrow"))
    assert [field.name for field in table.schema.field("n").type][:3] == ["_id", "_label", "id"]
    assert [field.name for field in table.schema.field("r").type][:4] == ["_src", "_dst", "_label", "_id"]
    assert [field.name for field in table.schema.field("p").type] == ["_nodes", "_rels"]
    assert [field.name for field in table.schema.field("p").type.field(0).type.value_type][:2] == ["_id", "_label"]
    assert table.column("r").to_pylist()[0]["_label"] == "R"
    table.validate(full=True)


def test_struct_of_a_user_keeps_its_keys(connection: kuzu.Connection) -> None:
    assert rows_of(connection, "RETURN {_ID: 1, _LABEL: 'x'} AS v", "json") == [{"v": {"_ID": 1, "_LABEL": "x"}}]


def test_line_separators_are_escaped_everywhere(connection: kuzu.Connection) -> None:
    for count in (1, 1200):
        text = f"UNWIND range(1, {count}) AS i RETURN 'a\u2028b\u2029c\u0085d' AS `x\u2028y`, {{k: '\u0085'}} AS s"
        for form in ("json", "ndjson", "jsonl"):
            written = body(run(connection, text), form)
            assert len(written.decode().splitlines()) == written.count(b"\n") + (form == "json")


NULL_UNION = """
import sys; sys.path.insert(0, {root!r})
import kuzu
from kuzu_node.worker.encode import Envelope, encode
database = kuzu.Database(":memory:", buffer_pool_size=64 << 20, max_db_size=1 << 30)
c = kuzu.Connection(database)
c.execute("CREATE NODE TABLE U(id INT64 PRIMARY KEY, u UNION(a INT64, b STRING), l STRING[2])")
c.execute("UNWIND range(1, 1500) AS i CREATE (:U {{id: i}})")
for form in ("json", "ndjson", "jsonl", "csv", "arrow"):
    for what in ("u.u", "u", "collect(u)", "[u.u]", "u.l"):
        pieces = list(encode(c.execute("MATCH (u:U) RETURN " + what), form, Envelope("d", 0.0, 1000, True)))
        assert pieces[-1].complete
print("survived")
"""


def test_null_in_a_union_does_not_crash_any_form() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", NULL_UNION.format(root=str(ROOT))], capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, ended.stdout) == (0, "survived\n"), ended.stderr


@pytest.fixture
def empty() -> Iterator[kuzu.Connection]:
    database = kuzu.Database(":memory:", buffer_pool_size=64 << 20, max_db_size=1 << 30)
    connection = kuzu.Connection(database)
    yield connection
    connection.close()
    database.close()


@pytest.mark.parametrize(
    ("name", "unsound"),
    [
        ("UNION(a INT64, b STRING)", True),
        ("STRUCT(u UNION(a INT64))[]", True),
        ("STRING[3]", True),
        ("UUID[3][]", True),
        ("INT64[][3]", True),
        ("FLOAT[2][3]", True),
        ("STRUCT(a INT64)[3]", True),
        ("FLOAT[768]", False),
        ("DATE[2]", False),
        ("STRING[]", False),
        ("MAP(STRING, INT64)", False),
        ("STRUCT(a INT64[2], b STRING)", False),
    ],
)
def test_types_that_arrow_garbles(name: str, unsound: bool) -> None:
    assert is_unsound(name) is unsound


def test_nodes_with_unions_have_the_same_form(empty: kuzu.Connection) -> None:
    run(empty, "CREATE NODE TABLE U(id INT64 PRIMARY KEY, u UNION(a INT64, b STRING), f FLOAT, d DATE)")
    run(empty, "CREATE (:U {id: 1, u: 'x', f: CAST(0.1 AS FLOAT), d: date('2024-01-01')})")
    (row,) = rows_of(empty, "MATCH (u:U) RETURN u", "json", unsound=True)
    assert row["u"] == {
        "_id": {"offset": 0, "table": 0},
        "_label": "U",
        "id": 1,
        "u": "x",
        "f": 0.1,
        "d": "2024-01-01",
    }
