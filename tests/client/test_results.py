"""Lines of a result: chunks, errors in the midst, and ends that are none."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import msgspec
import pytest

from kuzu_client._core.results import ChunkReader, as_answer, as_answers, entries
from kuzu_client.answers import Answer, DatabaseInfo
from kuzu_client.errors import (
    KuzuAPIError,
    KuzuClientError,
    KuzuServerError,
    KuzuSyntaxError,
    KuzuTransientError,
)


def line(*, last: bool, rows: Any = (), **more: Any) -> bytes:
    head = {"chunk_index": 0, "columns": ["a"], "data": list(rows), "is_last_chunk": last}
    return json.dumps({**head, "row_count": len(rows), **more}, separators=(",", ":")).encode()


def failure(code: str, **more: Any) -> bytes:
    told = {"error": "it broke", "error_type": "Broken", "code": code, "is_last_chunk": True, **more}
    return json.dumps(told).encode()


def test_the_last_chunk_ends_the_result() -> None:
    reader = ChunkReader()
    assert reader.chunk(line(last=False, rows=[{"a": 1}])).data == [{"a": 1}]
    with pytest.raises(KuzuTransientError):
        reader.finish()
    assert reader.chunk(line(last=True)).is_last_chunk
    reader.finish()


# Rows that look like the end, or like more to come.
DECEPTIVE: list[list[dict[str, Any]]] = [
    [{"is_last_chunk": True}],
    [{"is_last_chunk": False}],
    [{"a": ']"is_last_chunk":false'}],
    [{"a": {"is_last_chunk": False}}],
    [{"a": "]"}, {"is_last_chunk": False, "b": []}],
]


@pytest.mark.parametrize("rows", DECEPTIVE)
@pytest.mark.parametrize("last", [True, False])
def test_raw_lines_end_with_the_same_line_whatever_is_in_the_rows(rows: Any, last: bool) -> None:
    raw, decoded = ChunkReader(), ChunkReader()
    text = line(last=last, rows=rows)
    assert raw.checked(text) is text
    decoded.chunk(text)
    assert raw.ended is decoded.ended is last


@pytest.mark.parametrize(
    ("code", "kind", "status"),
    [
        ("runtime", KuzuClientError, 400),
        ("binder", KuzuSyntaxError, 400),
        ("query_timeout", KuzuAPIError, 408),
        ("database_restarting", KuzuTransientError, 503),
        ("memory_exceeded", KuzuServerError, 507),
        ("internal", KuzuServerError, 500),
        ("not known yet", KuzuServerError, 500),
    ],
)
@pytest.mark.parametrize("way", ["chunk", "checked"])
def test_an_error_in_the_midst_is_the_one_it_would_have_been_before(
    code: str, kind: type[KuzuAPIError], status: int, way: str
) -> None:
    with pytest.raises(kind, match="it broke") as caught:
        getattr(ChunkReader(), way)(failure(code, committed=True))
    assert type(caught.value) is kind
    assert (caught.value.code, caught.value.status_code, caught.value.committed) == (code, status, True)


@pytest.mark.parametrize("committed", [None, "yes"])
def test_nobody_knows_what_the_error_does_not_say(committed: Any) -> None:
    with pytest.raises(KuzuServerError) as caught:
        ChunkReader().chunk(failure("internal", committed=committed))
    assert caught.value.committed is None


@pytest.mark.parametrize("text", [b"<html>", b"[]", b'{"status":"ok"}', b'{"data":null}', b"{", b'"\xff"'])
@pytest.mark.parametrize("way", ["chunk", "checked"])
def test_what_is_no_chunk_is_an_error_of_the_server(text: bytes, way: str) -> None:
    with pytest.raises(KuzuServerError):
        getattr(ChunkReader(), way)(text)


@pytest.mark.parametrize("way", ["chunk", "checked"])
def test_nothing_comes_behind_the_last_chunk(way: str) -> None:
    reader = ChunkReader()
    reader.chunk(line(last=True))
    with pytest.raises(KuzuServerError, match="behind"):
        getattr(reader, way)(line(last=False))


def test_answers_read_as_mappings_and_attributes() -> None:
    found = as_answer(DatabaseInfo, {"graph_id": "g", "nested": {"a": {"b": 1}}})
    assert (found["graph_id"], found.graph_id, found.nested.a.b) == ("g", "g", 1)
    with pytest.raises(AttributeError, match="created_at"):
        _ = found.created_at


def test_objects_within_an_answer_read_alike_and_rows_stay_plain() -> None:
    answer = Answer(results=[{"data": [{"a": {"b": 1}}], "at": {"x": 1}}], empty=[], names=["a"], data=[{"a": 1}])
    assert answer.results[0].at.x == 1
    assert answer.results[0] is answer.results[0] is answer["results"][0]
    assert type(answer.results[0].data[0]) is dict
    assert type(answer.data[0]) is dict
    assert (answer.empty, answer.names) == ([], ["a"])
    assert msgspec.json.decode(msgspec.json.encode(answer)) == answer == copy.deepcopy(answer)
    assert pickle.loads(pickle.dumps(answer)).results[0].at.x == 1


@pytest.mark.parametrize("document", [None, [], "text", 1])
def test_an_answer_of_another_kind_is_an_error_of_the_server(document: Any) -> None:
    with pytest.raises(KuzuServerError):
        as_answer(Answer, document)
    with pytest.raises(KuzuServerError):
        as_answers(Answer, {} if document == [] else document)
    with pytest.raises(KuzuServerError):
        entries(Answer(data=document) if document != [] else Answer(), "data")
