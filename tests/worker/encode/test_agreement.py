"""The ways to JSON agree on generated data: rows and msgspec, Arrow and msgspec, whole columns."""

from __future__ import annotations

import json
from typing import Any

import kuzu
import msgspec
import pyarrow as pa
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from kuzu_node.worker.encode import blocks, text
from kuzu_node.worker.encode.routes import Route, route
from kuzu_node.worker.encode.rows import fetch, json_objects, repairs_for
from kuzu_node.worker.encode.temporal import civil_date
from kuzu_node.worker.encode.values import python_values
from tests.worker.encode.reading import arrow_table, body, run

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(['"', "\\", "\u2028", "\u0085"])
INT64 = st.integers(-(2**63), 2**63 - 1)
DECIMALS = st.decimals(allow_nan=False, allow_infinity=False, places=8, min_value=-(10**9), max_value=10**9)

LEAVES: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    (pa.bool_(), st.booleans()),
    (pa.int64(), INT64),
    (pa.uint64(), st.integers(0, 2**64 - 1)),
    (pa.int8(), st.integers(-128, 127)),
    (pa.float64(), st.floats() | st.integers(-1000, 1000).map(float)),
    (pa.float32(), st.floats(width=32) | st.integers(-1000, 1000).map(float)),
    (pa.string(), TEXT),
    (pa.binary(), st.binary(max_size=9)),
    (pa.decimal128(38, 8), DECIMALS),
    (pa.date32(), st.integers(-3_000_000, 100_000_000)),
    (pa.timestamp("us"), INT64 | st.integers(0, 2**50)),
    (pa.timestamp("ns"), INT64),
    (pa.timestamp("ms"), st.integers(-(2**50), 2**50)),
    (pa.timestamp("s"), st.integers(-(2**40), 2**40)),
    (pa.timestamp("us", tz="UTC"), st.integers(-(2**55), 2**55)),
    (pa.duration("us"), INT64),
]


def build(kind: pa.DataType, values: list[Any]) -> pa.Array:
    """Temporal types from their counts, which is how values beyond Python's reach come in."""
    if pa.types.is_date32(kind):
        return pa.array(values, pa.int32()).view(kind)
    if pa.types.is_temporal(kind):
        return pa.array(values, pa.int64()).view(kind)
    return pa.array(values, kind)


def masked(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.none() | values, min_size=1, max_size=12)


@st.composite
def arrays(draw: st.DrawFn, depth: int = 2) -> pa.Array:
    shape = draw(st.sampled_from(["leaf", "leaf", "struct", "list", "array", "map"])) if depth else "leaf"
    if shape == "leaf":
        kind, values = draw(st.sampled_from(LEAVES))
        return build(kind, draw(masked(values)))
    items = draw(arrays(depth - 1))
    size = len(items)
    if shape == "struct":
        mask = pa.array(draw(st.lists(st.booleans(), min_size=size, max_size=size)), pa.bool_())
        return pa.StructArray.from_arrays([items, items], names=["a", draw(TEXT)], mask=mask)
    if shape == "array":
        return pa.FixedSizeListArray.from_arrays(items.slice(0, size - size % 2), 2)
    cuts = sorted(draw(st.lists(st.integers(0, size), max_size=6)))
    offsets = pa.array([0, *cuts, size], pa.int32())
    if shape == "list":
        mask = pa.array(draw(st.lists(st.booleans(), min_size=len(cuts) + 1, max_size=len(cuts) + 1)), pa.bool_())
        return pa.ListArray.from_arrays(offsets, items, mask=mask)
    keys = build(pa.int64(), list(range(size)))
    return pa.MapArray.from_arrays(offsets, keys, items)


@given(array=arrays(), data=st.data())
@settings(max_examples=400)
def test_columns_and_values_write_the_same(array: pa.Array, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(array)))
    stop = data.draw(st.integers(start, len(array)))
    for part in (array, array.slice(start, stop - start)):
        by_columns = [json.loads(item) for item in text.json_text(part).to_pylist()]
        by_values = [json.loads(msgspec.json.encode(item)) for item in python_values(part)]
        assert by_columns == by_values
        assert repr(by_columns) == repr(by_values)


@given(rows=st.lists(st.tuples(INT64, TEXT, st.floats(), st.none() | st.booleans()), min_size=1, max_size=8))
@settings(max_examples=60)
def test_rows_and_columns_write_the_same(connection: kuzu.Connection, rows: list[tuple[Any, ...]]) -> None:
    kinds = [pa.int64(), pa.string(), pa.float64(), pa.bool_()]
    columns = [pa.array(values, kind) for values, kind in zip(zip(*rows, strict=True), kinds, strict=True)]
    table = pa.table([*columns, columns[2].cast(pa.float32())], names=["i", "s", "d", "b", "f"])
    result = run(connection, "LOAD FROM $t RETURN *", {"t": table})
    types = result.get_column_data_types()
    assert route(types, False) is Route.ROWS
    fetched = fetch(result, len(rows), repairs_for(types, Route.ROWS))
    by_rows = list(json_objects(result.get_column_names(), fetched))
    result.reset_iterator()
    by_columns = [
        bytes(block.data[start:end])
        for block in blocks.arrow_blocks(result, text.row_parts, b"\n")
        for start, end in zip(block.ends, block.ends[1:], strict=False)
    ]
    assert [json.loads(row) for row in by_columns] == [json.loads(row) for row in by_rows]
    for separator in ("\u2028", "\u2029", "\u0085"):
        assert separator.encode() not in b"".join(by_columns + by_rows)


NESTED = st.sampled_from(
    [
        "STRUCT(a INT64, b STRING)",
        "STRUCT(a STRUCT(c INT64[], d STRING), b STRING[])",
        "STRUCT(a INT64, s STRUCT(b STRUCT(c INT64)))[]",
        "STRUCT(a INT64[2], l STRUCT(b INT64)[])[][]",
        "STRUCT(m STRUCT(a STRING)[2])",
    ]
)


def literals(kind: str) -> st.SearchStrategy[str]:
    """Cypher literals of a type, with nulls at every depth."""
    if kind.endswith("]"):
        item, _, size = kind[:-1].rpartition("[")
        count = int(size) if size else None
        items = st.lists(literals(item), min_size=count or 0, max_size=count or 3)
        full = items.map(lambda values: f"CAST([{', '.join(values)}] AS {kind})")
    elif kind.startswith("STRUCT("):
        fields = split_fields(kind[len("STRUCT(") : -1])
        full = st.tuples(*[literals(field) for _, field in fields]).map(
            lambda values: "{" + ", ".join([f"{f[0]}: {v}" for f, v in zip(fields, values, strict=True)]) + "}"
        )
    elif kind == "INT64":
        full = st.integers(-99, 99).map(str)
    else:
        full = st.sampled_from(["'x'", "''", "'a\u2028\"'"])
    return st.just(f"CAST(null AS {kind})") | full


def split_fields(text: str) -> list[tuple[str, str]]:
    """Names and types between the parentheses of a STRUCT."""
    fields, depth, start = [], 0, 0
    for position, character in enumerate(text + ","):
        depth += (character == "(") - (character == ")")
        if character == "," and not depth:
            name, kind = text[start:position].strip().split(" ", 1)
            fields.append((name, kind))
            start = position + 1
    return fields


def in_order(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """UNION ALL promises none."""
    return sorted(rows, key=lambda row: int(row["i"]))


@given(data=st.data(), kind=NESTED)
@settings(max_examples=80)
def test_nulls_at_any_depth_are_where_the_engine_has_them(
    connection: kuzu.Connection, data: st.DataObject, kind: str
) -> None:
    written = data.draw(st.lists(literals(kind), min_size=1, max_size=6))
    query = " UNION ALL ".join([f"RETURN {literal} AS v, {index} AS i" for index, literal in enumerate(written)])
    try:
        result = run(connection, query)
    except RuntimeError as error:
        assert "Unsupported casting" in str(error)  # noqa: PT017  the engine takes [null, null] for integers
        reject()
    by_rows = in_order([dict(zip("vi", row, strict=True)) for row in result.get_all()])
    assert in_order(json.loads(body(run(connection, query), "json"))["data"]) == by_rows
    result = run(connection, query)
    if route(result.get_column_data_types(), False) is not Route.ARROW:
        return
    by_columns = [
        json.loads(bytes(block.data[start:end]))
        for block in blocks.arrow_blocks(result, text.row_parts, b"\n")
        for start, end in zip(block.ends, block.ends[1:], strict=False)
    ]
    assert in_order(by_columns) == by_rows
    table = arrow_table(body(run(connection, query), "arrow"))
    table.validate(full=True)
    assert in_order(table.to_pylist()) == by_rows


@pytest.mark.parametrize("days", [0, -1, 59, 60, -719_528, -719_529, 2_932_896, 2_932_897, 11_248_737, 106_751_991])
def test_dates_agree_with_the_calendar(days: int) -> None:
    written = civil_date(days)
    shifted = civil_date(days + 146_097 * 5)
    assert shifted[-6:] == written[-6:]
    assert int(shifted[:-6]) == int(written[:-6]) + 2000
    if 0 <= days < 2_932_897:
        assert written == build(pa.date32(), [days])[0].as_py().isoformat()
