"""Bad rows: all or nothing, or left out and counted; and what each format makes of odd input."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kuzu
import pyarrow as pa
import pytest
from pyarrow import parquet

from kuzu_node.core.loading import LOGGED_NODES
from kuzu_node.worker.engine import text_literal
from kuzu_node.worker.load import BulkNeeded, Refused, ndjson, run, sources
from kuzu_node.worker.load.refusal import LONGEST_TEXT
from tests.worker.load.harness import load, open_graph, rows, write_csv, write_ndjson, write_table

BOTH_WAYS = pytest.mark.parametrize("logged", [False, True])


_ODD = "b'\\\n\"`"


@pytest.fixture
def graph(tmp_path: Path) -> Iterator[kuzu.Connection]:
    with open_graph(tmp_path) as connection:
        connection.execute("CREATE NODE TABLE P(id INT64, name STRING, n INT8, PRIMARY KEY(id))")
        connection.execute("CREATE NODE TABLE Q(id STRING, PRIMARY KEY(id))")
        connection.execute("CREATE REL TABLE K(FROM P TO Q, w INT64)")
        connection.execute("CREATE REL TABLE O(FROM P TO Q, MANY_ONE)")
        connection.execute("CREATE (:P {id: 1}), (:P {id: 2}), (:Q {id: 'a'})")
        connection.execute(f"CREATE (:Q {{id: {text_literal(_ODD)}}})")
        yield connection


def _ids(connection: kuzu.Connection) -> list[int]:
    return [row[0] for row in rows(connection, "MATCH (p:P) RETURN p.id ORDER BY p.id")]


@BOTH_WAYS
@pytest.mark.parametrize("bad", [[7, 1], [7, 8, 7], [7, None]])
def test_one_bad_key_leaves_nothing_behind(
    graph: kuzu.Connection, tmp_path: Path, bad: list[int | None], logged: bool
) -> None:
    path = write_table(tmp_path / "rows.parquet", pa.table({"id": pa.array(bad, pa.int64())}))
    with pytest.raises(RuntimeError, match="primary key"):
        load(graph, "P", path, logged=logged)
    assert _ids(graph) == [1, 2]
    graph.execute("CREATE (:P {id: 7})")


@BOTH_WAYS
@pytest.mark.parametrize("end", ["zz", None])
def test_a_relationship_without_an_end_leaves_nothing_behind(
    graph: kuzu.Connection, tmp_path: Path, end: str | None, logged: bool
) -> None:
    path = write_csv(tmp_path / "rows.csv", ["from", "to"], [["1", "a"], ["2", end]])
    with pytest.raises(RuntimeError, match="value zz" if end else "NULL"):
        load(graph, "K", path, logged=logged)
    assert rows(graph, "MATCH ()-[k:K]->() RETURN count(*)") == [[0]]


@BOTH_WAYS
def test_a_second_relationship_of_a_table_that_allows_one_is_an_error(
    graph: kuzu.Connection, tmp_path: Path, logged: bool
) -> None:
    path = write_csv(tmp_path / "rows.csv", ["from", "to"], [["1", "a"], ["1", "a"]])
    with pytest.raises(RuntimeError, match="multiplicity"):
        load(graph, "O", path, logged=logged)


@BOTH_WAYS
def test_keys_of_text_are_found_whatever_is_in_them(graph: kuzu.Connection, tmp_path: Path, logged: bool) -> None:
    path = write_ndjson(tmp_path / "rows.ndjson", [{"from": 1, "to": _ODD, "w": 5}])
    load(graph, "K", path, logged=logged)
    assert rows(graph, "MATCH (p:P)-[k:K]->(q:Q) RETURN p.id, q.id, k.w") == [[1, _ODD, 5]]


def test_ignored_rows_are_counted_by_reason_with_examples(graph: kuzu.Connection, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('id,name,n\n7,"two\nlines",\n8,x\n9,x,300\nten,x,\n1,x,\n7,x,\n,x,\n11,x,1\n')
    assert load(graph, "P", path, ignore_errors=True) == {
        "rows_processed": 8,
        "rows_inserted": 2,
        "rows_skipped": 6,
        "skipped": [
            ["duplicate primary key", 2, ["1", "7"]],
            ["malformed row", 1, ["row 2"]],
            ["unfit value in n", 1, ["row 3: 300 is not within the range of INT8"]],
            ["unfit value in id", 1, ['row 4: "ten" is not an integer']],
            ["null key", 1, []],
        ],
    }
    assert _ids(graph) == [1, 2, 7, 11]


def test_ignored_relationships_name_the_ends_that_are_missing(graph: kuzu.Connection, tmp_path: Path) -> None:
    table = pa.table({"from": [1, 3, 2], "to": ["a", "a", "zz"], "w": [1, 2, 3]})
    outcome = load(graph, "K", write_table(tmp_path / "rows.parquet", table), ignore_errors=True)
    assert (outcome["rows_inserted"], outcome["skipped"]) == (1, [["missing end", 2, ["3", "zz"]]])


def test_more_ignored_rows_than_the_engine_keeps_warnings_of_are_counted_all_the_same(
    graph: kuzu.Connection, tmp_path: Path
) -> None:
    path = write_table(tmp_path / "rows.parquet", pa.table({"id": [1] * 9000 + [7]}))
    outcome = load(graph, "P", path, ignore_errors=True)
    assert (outcome["rows_processed"], outcome["rows_inserted"], outcome["rows_skipped"]) == (9001, 1, 9000)
    assert sum(count for _, count, _ in outcome["skipped"]) == 9000
    assert load(graph, "P", path, ignore_errors=True)["rows_skipped"] == 9001


@pytest.mark.parametrize(
    ("suffix", "text", "said"),
    [
        ("csv", "id,n\n7,1\nx,1\n", 'row 2, column id: "x" is not an integer'),
        ("csv", "id,n\n7,300\n", "row 1, column n: 300 is not within the range of INT8"),
        ("csv", "id,n\n7\n", "Expected 2 columns, got 1"),
        ("csv", "", "the file is empty"),
        ("ndjson", '{"id": 7}\n{"id": 8', "row 2 is not JSON"),
        ("ndjson", "[7]\n", "row 1 is not a JSON object"),
        ("ndjson", '{"id": 7.5}\n', "row 1, column id: 7.5 is not an integer"),
        ("ndjson", '{"id": 9223372036854775808}\n', "not within the range of INT64"),
        ("ndjson", '{"id": 7, "n": true}\n', "column n: True is not an integer"),
        ("parquet", "PAR1", "cannot be read as parquet"),
        ("arrow", "nonsense", "cannot be read as arrow"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(
    graph: kuzu.Connection, tmp_path: Path, suffix: str, text: str, said: str
) -> None:
    path = tmp_path / f"rows.{suffix}"
    path.write_text(text)
    with pytest.raises(Refused) as refused:
        load(graph, "P", path)
    assert said in str(refused.value)
    assert _ids(graph) == [1, 2]


def test_a_refusal_does_not_repeat_a_long_value(graph: kuzu.Connection, tmp_path: Path) -> None:
    long = "x" * 5_000_000
    files = {
        "value.csv": f"id,name\n{long},a\n",
        "name.csv": f"id,{long}\n1,a\n",
        "value.ndjson": f'{{"id": "{long}"}}\n',
        "name.ndjson": f'{{"id": 7, "{long}": 1}}\n',
    }
    for name, text in files.items():
        path = tmp_path / name
        path.write_text(text)
        with pytest.raises(Refused) as refused:
            load(graph, "P", path)
        assert len(str(refused.value)) < 2 * LONGEST_TEXT, name
    outcome = load(graph, "P", tmp_path / "value.csv", ignore_errors=True)
    assert len(str(outcome)) < 2 * LONGEST_TEXT


@BOTH_WAYS
def test_empty_cells_are_null_and_quoted_empty_ones_are_text(
    graph: kuzu.Connection, tmp_path: Path, logged: bool
) -> None:
    (tmp_path / "rows.csv").write_text('id,name,n\n7,,""\n8,"",5\n9," ",\n')
    load(graph, "P", tmp_path / "rows.csv", logged=logged)
    found = rows(graph, "MATCH (p:P) WHERE p.id > 2 RETURN p.name, p.n ORDER BY p.id")
    assert found == [[None, None], ["", 5], [" ", None]]


def test_rows_of_json_may_write_numbers_as_text_or_with_a_point(graph: kuzu.Connection, tmp_path: Path) -> None:
    load(graph, "P", write_ndjson(tmp_path / "rows.ndjson", [{"id": "7"}, {"ID": 8.0, "n": None}, {"id": 9}]))
    assert _ids(graph) == [1, 2, 7, 8, 9]


def test_lines_longer_than_a_block_and_blocks_without_end_are_read(graph: kuzu.Connection, tmp_path: Path) -> None:
    values = [{"id": index, "name": "x" * (3 << 20 if index == 10 else 10)} for index in range(7, 20)]
    path = write_ndjson(tmp_path / "rows.ndjson", values)
    path.write_bytes(path.read_bytes().rstrip())
    load(graph, "P", path)
    assert rows(graph, "MATCH (p:P) WHERE p.id > 2 RETURN count(*), sum(size(p.name))") == [[13, (3 << 20) + 120]]


def test_files_of_no_rows_load_nothing(graph: kuzu.Connection, tmp_path: Path) -> None:
    empty = pa.table({"id": pa.array([], pa.int64())})
    (tmp_path / "rows.csv").write_text("id\n")
    (tmp_path / "rows.ndjson").write_text("\n")
    for suffix in ("parquet", "arrow", "csv", "ndjson"):
        path = tmp_path / f"rows.{suffix}"
        if suffix in {"parquet", "arrow"}:
            write_table(path, empty)
        for logged in (False, True):
            assert load(graph, "P", path, logged=logged)["rows_processed"] == 0


def test_rows_that_are_too_many_to_log_or_may_be_left_out_need_a_copy(graph: kuzu.Connection, tmp_path: Path) -> None:
    many = write_table(tmp_path / "rows.parquet", pa.table({"id": range(7, LOGGED_NODES + 8)}))
    with pytest.raises(BulkNeeded):
        load(graph, "P", many, logged=True)
    assert _ids(graph) == [1, 2]
    with pytest.raises(BulkNeeded):
        load(graph, "P", many, logged=True, ignore_errors=True)


@pytest.mark.parametrize(
    "options", [{"compression": "brotli"}, {"use_dictionary": False, "column_encoding": "DELTA_BINARY_PACKED"}]
)
def test_parquet_that_the_engine_does_not_read_is_read_for_it(
    graph: kuzu.Connection, tmp_path: Path, options: dict[str, object]
) -> None:
    parquet.write_table(pa.table({"id": range(7, 1000)}), tmp_path / "rows.parquet", **options)
    load(graph, "P", tmp_path / "rows.parquet")
    assert rows(graph, "MATCH (p:P) WHERE p.id > 2 RETURN count(*), sum(p.id)") == [[993, sum(range(7, 1000))]]


def test_arrow_batches_of_other_types_become_those_of_the_table(graph: kuzu.Connection, tmp_path: Path) -> None:
    table = pa.table(
        {
            "id": pa.array(["7", "8"]).dictionary_encode(),
            "name": pa.array([b"x", None], pa.large_binary()),
            "n": pa.array([1.0, None]),
        }
    )
    load(graph, "P", write_table(tmp_path / "rows.arrow", table))
    assert rows(graph, "MATCH (p:P) WHERE p.id > 2 RETURN p.id, p.name, p.n") == [[7, "x", 1], [8, None, None]]


def test_unions_take_the_member_of_the_value_s_own_kind(graph: kuzu.Connection, tmp_path: Path) -> None:
    graph.execute("CREATE NODE TABLE U(id INT64, u UNION(a INT64, b STRING, c DOUBLE), PRIMARY KEY(id))")
    values: list[dict[str, Any]] = [{"id": 1, "u": 5}, {"id": 2, "u": "5x"}, {"id": 3}, {"id": 4, "u": 1.5}]
    load(graph, "U", write_ndjson(tmp_path / "rows.ndjson", values))
    load(graph, "U", write_ndjson(tmp_path / "more.ndjson", [row | {"id": 9} for row in values[:1]]), logged=True)
    found = rows(graph, "MATCH (u:U) RETURN union_tag(u.u) ORDER BY u.id")
    assert found == [["a"], ["b"], [None], ["c"], ["a"]]


def test_json_columns_keep_their_text_and_take_nested_values(graph: kuzu.Connection, tmp_path: Path) -> None:
    graph.execute("CREATE NODE TABLE J(id INT64, j JSON, PRIMARY KEY(id))")
    values: list[dict[str, Any]] = [{"id": 1, "j": '{"a": 1}'}, {"id": 2}, {"id": 3, "j": {"b": [1.5, None]}}]
    load(graph, "J", write_ndjson(tmp_path / "rows.ndjson", values))
    assert rows(graph, "MATCH (j:J) RETURN j.j ORDER BY j.id") == [['{"a": 1}'], [None], ['{"b":[1.5,null]}']]


@pytest.mark.parametrize("suffix", ["arrow", "csv", "ndjson"])
def test_relationships_of_several_segments_are_one_copy(
    graph: kuzu.Connection, tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "SEGMENT_BYTES", 4 << 10)
    monkeypatch.setattr(ndjson, "BLOCK_BYTES", 4 << 10)
    monkeypatch.setattr(sources, "PART_BYTES", 4 << 10)
    graph.execute("CREATE REL TABLE W(FROM P TO Q, u UUID, at TIMESTAMP_TZ, b BLOB, n INT8 DEFAULT 7)")
    count = 3000
    ids = [str(uuid.UUID(int=index)) for index in range(1, count + 1)]
    path = tmp_path / f"rows.{suffix}"
    names, at, blob = ["u", "from", "at", "to", "b"], "2020-01-02T03:04:05Z", "AP8="
    written = [[u, str(index % 3), at, "a", blob] for index, u in enumerate(ids)]
    if suffix == "csv":
        write_csv(path, names, written)
    elif suffix == "ndjson":
        write_ndjson(path, [dict(zip(names, row, strict=True)) for row in written])
    else:
        moments = pa.array([at] * count).cast(pa.timestamp("us", "UTC"))
        sources_of_rows = [index % 3 for index in range(count)]
        columns = [ids, sources_of_rows, moments, ["a"] * count, [b"\x00\xff"] * count]
        write_table(path, pa.table(dict(zip(names, columns, strict=True))))
    outcome = load(graph, "W", path, ignore_errors=True)
    assert (outcome["rows_processed"], outcome["rows_inserted"]) == (count, 2000)
    assert outcome["skipped"] == [["missing end", 1000, ["0"] * 5]]
    found = rows(graph, "MATCH (p:P)-[w:W]->(:Q) RETURN p.id, w.at, w.b, w.n, count(DISTINCT w.u) ORDER BY p.id")
    same = [dt.datetime(2020, 1, 2, 3, 4, 5, tzinfo=dt.UTC), b"\x00\xff", 7, 1000]
    assert found == [[1, *same], [2, *same]]


def test_nodes_of_several_segments_are_copied_segment_by_segment_and_all_or_nothing(
    graph: kuzu.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "SEGMENT_BYTES", 4 << 10)
    monkeypatch.setattr(ndjson, "BLOCK_BYTES", 4 << 10)
    graph.execute("CREATE NODE TABLE W(id INT64, l STRING[], PRIMARY KEY(id))")
    path = write_ndjson(tmp_path / "rows.ndjson", [{"id": index, "l": ["a", None]} for index in range(3000)])
    assert load(graph, "W", path)["rows_inserted"] == 3000
    assert rows(graph, "MATCH (w:W) RETURN w.l, count(*)") == [[["a", None], 3000]]
    with pytest.raises(RuntimeError, match="duplicated"):
        load(graph, "W", path)
    assert rows(graph, "MATCH (w:W {id: 2999}) RETURN count(*)") == [[1]]


def test_the_format_is_what_the_order_says_whatever_the_file_is_called(graph: kuzu.Connection, tmp_path: Path) -> None:
    path = write_table(tmp_path / "rows.parquet", pa.table({"id": [7]})).rename(tmp_path / "it's a body")
    load(graph, "P", path, format="parquet")
    assert _ids(graph) == [1, 2, 7]
