"""The shapes of the bodies, and the places where they are cut."""

from __future__ import annotations

import json
from typing import Any

import kuzu
import pytest

from kuzu_node.worker.encode import FORMS, Envelope, Piece, columns, encode, encode_values
from kuzu_node.worker.encode.bodies import PIECE
from tests.worker.encode.reading import arrow_table, body, csv_rows, lines, pieces, run

COUNTS = [0, 1, 7, 10, 500, 501, 1000, 1001, 3000, 40_000]
QUERY = "UNWIND range(1, {count}) AS i RETURN i AS a, concat('s', CAST(i AS STRING)) AS b, i * 0.5 AS c"
DATES = "UNWIND range(1, {count}) AS i RETURN i AS a, date('2024-01-01') AS d, [i] AS l"


def closed_by_the_node(sent: list[Piece], chunk_size: int) -> bytes:
    """What the node makes of a stream that breaks off behind a piece."""
    total = sum(piece.rows for piece in sent)
    text = b"".join([piece.body for piece in sent])
    if sent[-1].complete:
        return text
    in_chunk = total % chunk_size or chunk_size
    return text + b'],"is_last_chunk":false,"row_count":%d,"total_rows_sent":%d}\n' % (in_chunk, total)


@pytest.mark.parametrize("chunk_size", [1, 7, 500, 1000, 10_000])
@pytest.mark.parametrize("count", [count for count in COUNTS if count <= 3000])
@pytest.mark.parametrize("query", [QUERY, DATES], ids=["rows", "arrow"])
def test_ndjson_chunks(connection: kuzu.Connection, query: str, count: int, chunk_size: int) -> None:
    chunks = lines(body(run(connection, query.format(count=count)), "ndjson", chunk_size=chunk_size))
    assert len(chunks) == max(1, -(-count // chunk_size))
    sent = 0
    for index, chunk in enumerate(chunks):
        sent += len(chunk["data"])
        expected: dict[str, Any] = {
            "chunk_index": index,
            "columns": list(chunk["data"][0]) if index == 0 and chunk["data"] else chunk["columns"],
            "data": chunk["data"],
            "is_last_chunk": index == len(chunks) - 1,
            "row_count": len(chunk["data"]),
            "total_rows_sent": sent,
        }
        if index == len(chunks) - 1:
            expected |= {"execution_time_ms": 1.5, "database": "d"}
        else:
            assert len(chunk["data"]) == chunk_size
        assert list(chunk) == list(expected)
        assert chunk == expected
        assert bool(chunk["columns"]) == (index == 0)
    assert [row["a"] for chunk in chunks for row in chunk["data"]] == list(range(1, count + 1))


@pytest.mark.parametrize("chunk_size", [3, 1000, 7000])
@pytest.mark.parametrize("query", [QUERY, DATES], ids=["rows", "arrow"])
def test_ndjson_can_be_closed_behind_any_piece(connection: kuzu.Connection, query: str, chunk_size: int) -> None:
    sent = pieces(run(connection, query.format(count=40_000)), "ndjson", chunk_size=chunk_size)
    assert len(sent) > 5
    for index in range(1, len(sent), max(1, len(sent) // 12)):
        chunks = lines(closed_by_the_node(sent[:index], chunk_size))
        rows = [row["a"] for chunk in chunks for row in chunk["data"]]
        assert rows == list(range(1, sum(piece.rows for piece in sent[:index]) + 1))
        assert chunks[-1]["total_rows_sent"] == len(rows)
        assert chunks[-1]["row_count"] == len(chunks[-1]["data"])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("query", [QUERY, DATES], ids=["rows", "arrow"])
def test_pieces_count_their_rows(connection: kuzu.Connection, query: str, count: int, form: str) -> None:
    sent = pieces(run(connection, query.format(count=count)), form)
    assert sum(piece.rows for piece in sent) == count
    assert all(piece.body for piece in sent)
    assert all(len(piece.body) <= 2 * PIECE for piece in sent)
    assert not sent or sent[-1].complete


@pytest.mark.parametrize("count", COUNTS)
def test_json_is_one_object(connection: kuzu.Connection, count: int) -> None:
    value = json.loads(body(run(connection, QUERY.format(count=count)), "json"))
    assert list(value) == ["columns", "data", "row_count", "execution_time_ms", "database"]
    assert value["columns"] == ["a", "b", "c"]
    assert value["row_count"] == len(value["data"]) == count
    assert value["execution_time_ms"] == 1.5
    assert value["database"] == "d"
    assert value["data"] == [{"a": i, "b": f"s{i}", "c": i * 0.5} for i in range(1, count + 1)]


@pytest.mark.parametrize("count", COUNTS)
def test_values_fragment(connection: kuzu.Connection, count: int) -> None:
    value = json.loads(b"{" + encode_values(run(connection, QUERY.format(count=count))) + b"}")
    assert list(value) == ["columns", "data", "row_count"]
    assert value["row_count"] == len(value["data"]) == count


def test_lines_break_off_at_the_end_of_a_row(connection: kuzu.Connection) -> None:
    for form in ("jsonl", "csv"):
        for piece in pieces(run(connection, QUERY.format(count=20_000)), form):
            assert piece.complete
            assert piece.body.endswith(b"\n")


@pytest.mark.parametrize("count", COUNTS)
def test_csv_has_a_header_and_all_rows(connection: kuzu.Connection, count: int) -> None:
    rows = csv_rows(body(run(connection, QUERY.format(count=count)), "csv"))
    assert rows[0] == ["a", "b", "c"]
    assert [[int(a), b, float(c)] for a, b, c in rows[1:]] == [[i, f"s{i}", i * 0.5] for i in range(1, count + 1)]


def test_lone_null_is_not_an_empty_line(connection: kuzu.Connection) -> None:
    for count in (3, 1200):
        written = body(run(connection, f"UNWIND range(1, {count}) AS i RETURN CAST(null AS STRING) AS v"), "csv")
        assert written == b'"v"\r\n' + b'""\r\n' * count


@pytest.mark.parametrize("count", COUNTS)
def test_arrow_stream(connection: kuzu.Connection, count: int) -> None:
    table = arrow_table(body(run(connection, QUERY.format(count=count)), "arrow"))
    assert table.schema.names == ["a", "b", "c"]
    assert table.column("a").to_pylist() == list(range(1, count + 1))


@pytest.mark.parametrize("chunk_size", [1, 7, 500, 1000, 10_000])
@pytest.mark.parametrize("count", [count for count in COUNTS if count <= 3000])
@pytest.mark.parametrize("query", [QUERY, DATES], ids=["rows", "arrow"])
def test_rows_of_sessions_are_messages_and_together_one_array(
    connection: kuzu.Connection, query: str, count: int, chunk_size: int
) -> None:
    sent = pieces(run(connection, query.format(count=count)), "session", chunk_size=chunk_size)
    together = json.loads(b"[" + b"".join([piece.body for piece in sent]) + b"]")
    assert [row["a"] for row in together] == list(range(1, count + 1))
    messages = [json.loads(b"[" + piece.body[index > 0 :] + b"]") for index, piece in enumerate(sent)]
    assert [row for message in messages for row in message] == together
    assert [len(message) for message in messages] == [piece.rows for piece in sent]
    assert all(piece.complete and 0 < piece.rows <= chunk_size for piece in sent)


@pytest.mark.parametrize("unsound", [False, True], ids=["arrow", "values"])
def test_arrow_of_sessions_is_whole_streams_of_bounded_size(connection: kuzu.Connection, unsound: bool) -> None:
    query = "UNWIND range(1, 2000) AS i RETURN i AS a, repeat('x', 20000) AS s, CAST([null] AS STRING[1]) AS u"
    query = query if unsound else query.rpartition(",")[0]
    streams, rest, rows = [], b"", []
    for piece in pieces(run(connection, query), "session_arrow", unsound=unsound):
        rest += piece.body
        if piece.complete:
            streams.append(rest)
            rows.append(piece.rows)
            rest = b""
        else:
            assert not piece.rows
    assert not rest
    assert max(map(len, streams)) <= 4 << 20
    tables = [arrow_table(stream) for stream in streams]
    assert [len(table) for table in tables] == rows
    assert len({table.schema for table in tables}) == 1
    assert [value for table in tables for value in table.column("a").to_pylist()] == list(range(1, 2001))


def test_long_result_begins_before_arrow_has_fetched_it(connection: kuzu.Connection) -> None:
    result = run(connection, QUERY.format(count=40_000))
    first = next(encode(result, "ndjson", Envelope("d", 1.5, 1000)))
    assert 0 < first.rows <= 500
    assert result.has_next()
    assert len(result.get_as_arrow(10_000)) == 39_500


def test_statement_without_columns(connection: kuzu.Connection) -> None:
    for form in FORMS:
        assert pieces(run(connection, "CREATE NODE TABLE Q(id INT64 PRIMARY KEY)"), form)
        run(connection, "DROP TABLE Q")


def test_wide_rows_stay_below_the_frames(connection: kuzu.Connection) -> None:
    query = "UNWIND range(1, 2000) AS i RETURN i, repeat('x', 20000) AS s"
    for form in FORMS:
        result = run(connection, query)
        sizes = [len(piece.body) for piece in pieces(result, form)]
        assert max(sizes) < 16 << 20, form
        assert sum(sizes) > 40_000_000


def test_names_of_columns(connection: kuzu.Connection) -> None:
    assert columns(run(connection, 'RETURN 1 AS `a"b`, 2 AS c')) == ['a"b', "c"]
    with pytest.raises(RuntimeError, match="same name"):
        run(connection, "RETURN 1 AS a, 2 AS a")


def test_unknown_form_is_refused(connection: kuzu.Connection) -> None:
    with pytest.raises(ValueError, match="xml"):
        encode(run(connection, "RETURN 1"), "xml", Envelope("d", 0.0, 1))
