"""Which column of a file goes where, and what is said when one goes nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import kuzu
import pyarrow as pa
import pytest

from kuzu_node.worker.load import Refused
from tests.worker.load.harness import load, open_graph, rows, write_csv, write_ndjson, write_table

_SCHEMA = (
    "CREATE NODE TABLE P(id INT64, name STRING, n INT8, PRIMARY KEY(id))",
    "CREATE NODE TABLE Q(id STRING, PRIMARY KEY(id))",
    "CREATE NODE TABLE S(id SERIAL, v STRING, PRIMARY KEY(id))",
    "CREATE REL TABLE R(FROM P TO P, FROM P TO Q, w INT64, t STRING DEFAULT 'none')",
    "CREATE REL TABLE K(FROM P TO Q, w INT64)",
    "CREATE REL TABLE F(FROM P TO P, `from` STRING)",
    "CREATE (:P {id: 1}), (:P {id: 2}), (:Q {id: 'a'})",
)
BOTH_WAYS = pytest.mark.parametrize("logged", [False, True])


@pytest.fixture
def graph(tmp_path: Path) -> Iterator[kuzu.Connection]:
    with open_graph(tmp_path) as connection:
        for text in _SCHEMA:
            connection.execute(text)
        yield connection


@BOTH_WAYS
def test_columns_match_by_name_in_any_case_and_order_and_missing_ones_are_null(
    graph: kuzu.Connection, tmp_path: Path, logged: bool
) -> None:
    load(graph, "p", write_table(tmp_path / "rows.parquet", pa.table({"NAME": ["x"], "Id": [7]})), logged=logged)
    assert rows(graph, "MATCH (p:P {id: 7}) RETURN p.name, p.n") == [["x", None]]


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "csv", "ndjson"])
def test_unknown_columns_are_refused_with_all_their_names(graph: kuzu.Connection, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"rows.{suffix}"
    if suffix == "csv":
        write_csv(path, ["id", "nam", "colour"], [["7", "x", "y"]])
    elif suffix == "ndjson":
        write_ndjson(path, [{"id": 7}, {"id": 8, "nam": "x"}, {"id": 9, "colour": "y"}])
    else:
        write_table(path, pa.table({"id": [7], "nam": ["x"], "colour": ["y"]}))
    with pytest.raises(Refused, match="unknown columns: nam, colour") as refused:
        load(graph, "P", path)
    assert refused.value.code == "invalid"
    assert rows(graph, "MATCH (p:P) RETURN count(*)") == [[2]]


@pytest.mark.parametrize(
    ("names", "said"), [(["name"], "no column for the key id"), (["id", "ID"], "more than one column ID, id")]
)
def test_a_file_without_key_or_with_a_column_twice_is_refused(
    graph: kuzu.Connection, tmp_path: Path, names: list[str], said: str
) -> None:
    with pytest.raises(Refused, match=said):
        load(graph, "P", write_csv(tmp_path / "rows.csv", names, [["7"] * len(names)]))


def test_an_unknown_table_is_refused(graph: kuzu.Connection, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no table Nothing") as refused:
        load(graph, "Nothing", write_csv(tmp_path / "rows.csv", ["id"], [["7"]]))
    assert refused.value.code == "catalog"


def test_columns_match_by_position_when_asked_and_without_a_header(graph: kuzu.Connection, tmp_path: Path) -> None:
    load(graph, "P", write_csv(tmp_path / "rows.csv", ["a", "b"], [["7", "x"]]), match="position")
    (tmp_path / "bare.csv").write_text("8;y\n")
    load(graph, "P", tmp_path / "bare.csv", header=False, delimiter=";")
    assert rows(graph, "MATCH (p:P) WHERE p.id > 2 RETURN p.id, p.name ORDER BY p.id") == [[7, "x"], [8, "y"]]
    with pytest.raises(Refused, match="4 columns for the 3 of P"):
        load(graph, "P", write_csv(tmp_path / "rows.csv", list("abcd"), [["9"] * 4]), match="position")


@BOTH_WAYS
def test_serial_keys_are_given_by_the_engine(graph: kuzu.Connection, tmp_path: Path, logged: bool) -> None:
    load(graph, "S", write_csv(tmp_path / "rows.csv", ["v"], [["x"], ["y"]]), logged=logged)
    load(graph, "S", write_csv(tmp_path / "rows.csv", ["any"], [["z"]]), logged=logged, match="position")
    assert rows(graph, "MATCH (s:S) RETURN s.id, s.v ORDER BY s.id") == [[0, "x"], [1, "y"], [2, "z"]]


@BOTH_WAYS
@pytest.mark.parametrize(
    "names", [["w", "to", "from"], ["w", "DST", "SRC"], ["from", "to", "w"], ["one", "other", "w"]]
)
def test_ends_are_found_by_name_anywhere_else_they_are_the_first_two(
    graph: kuzu.Connection, tmp_path: Path, names: list[str], logged: bool
) -> None:
    cells = ["5", "a", "1"] if names[0] == "w" else ["1", "a", "5"]
    load(graph, "K", write_csv(tmp_path / "rows.csv", names, [cells]), logged=logged)
    assert rows(graph, "MATCH (p:P)-[k:K]->(q:Q) RETURN p.id, q.id, k.w") == [[1, "a", 5]]


def test_a_property_called_from_is_no_end(graph: kuzu.Connection, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "rows.csv", ["from", "dst", "src"], [["text", "2", "1"]])
    load(graph, "F", path, logged=True)
    assert rows(graph, "MATCH (a:P)-[f:F]->(b:P) RETURN a.id, b.id, f.`from`") == [[1, 2, "text"]]


def test_a_copy_that_would_garble_a_property_called_from_is_refused(graph: kuzu.Connection, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "rows.csv", ["from", "dst", "src"], [["text", "2", "1"]])
    with pytest.raises(Refused, match="called from"):
        load(graph, "F", path)


@BOTH_WAYS
def test_tables_with_several_pairs_of_ends_need_their_tables_named(
    graph: kuzu.Connection, tmp_path: Path, logged: bool
) -> None:
    with pytest.raises(Refused, match="R connects P to P, P to Q: name the columns"):
        load(graph, "R", write_csv(tmp_path / "rows.csv", ["from", "to"], [["1", "2"]]), logged=logged)
    load(graph, "R", write_csv(tmp_path / "rows.csv", ["from:P", "to:p", "w"], [["1", "2", "5"]]), logged=logged)
    load(graph, "R", write_csv(tmp_path / "rows.csv", ["from", "to:Q"], [["1", "a"]]), logged=logged)
    found = rows(graph, "MATCH (a)-[r:R]->(b) RETURN label(b), r.w, r.t ORDER BY label(b)")
    assert found == [["P", 5, "none"], ["Q", None, "none"]]


@BOTH_WAYS
def test_a_table_may_be_called_as_the_variable_that_holds_the_rows(
    graph: kuzu.Connection, tmp_path: Path, logged: bool
) -> None:
    graph.execute("CREATE NODE TABLE staged_rows(id INT64, `two words` STRING, PRIMARY KEY(id))")
    load(graph, "staged_rows", write_csv(tmp_path / "rows.csv", ["id", "two words"], [["7", "x"]]), logged=logged)
    assert rows(graph, "MATCH (s:staged_rows) RETURN s.id, s.`two words`") == [[7, "x"]]


@BOTH_WAYS
@pytest.mark.parametrize(
    ("kind", "default", "expected"),
    [("INT8", "7", 7), ("FLOAT", "1.5", 1.5), ("DOUBLE", "1", 1.0), ("STRING", "'text'", "text"), ("INT64", "7", 7)],
)
def test_columns_that_the_file_lacks_get_their_default_in_every_row(
    graph: kuzu.Connection, tmp_path: Path, kind: str, default: str, expected: object, logged: bool
) -> None:
    graph.execute(f"CREATE NODE TABLE D(id INT64, v {kind} DEFAULT {default}, PRIMARY KEY(id))")
    load(graph, "D", write_table(tmp_path / "rows.parquet", pa.table({"id": range(3000)})), logged=logged)
    assert rows(graph, "MATCH (d:D) RETURN d.v, count(*)") == [[expected, 3000]]


@BOTH_WAYS
def test_random_and_sequence_defaults_differ_from_row_to_row(
    graph: kuzu.Connection, tmp_path: Path, logged: bool
) -> None:
    graph.execute("CREATE SEQUENCE numbers")
    graph.execute(
        "CREATE NODE TABLE D(id INT64, u UUID DEFAULT gen_random_uuid(), n INT64 DEFAULT nextval('numbers'), "
        "PRIMARY KEY(id))"
    )
    load(graph, "D", write_table(tmp_path / "rows.parquet", pa.table({"id": range(3000)})), logged=logged)
    assert rows(graph, "MATCH (d:D) RETURN count(DISTINCT d.u), count(DISTINCT d.n)") == [[3000, 3000]]
