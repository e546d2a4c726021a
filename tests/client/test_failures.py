"""Answers and exceptions as errors of the library: every row of both tables."""

from __future__ import annotations

import json
from typing import Any

import httpcore
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kuzu_client._core import failures
from kuzu_client.errors import (
    KuzuAPIError,
    KuzuClientError,
    KuzuServerError,
    KuzuSyntaxError,
    KuzuTimeoutError,
    KuzuTransientError,
)
from tests.client.calls import READ

PROBLEM = httpx.Headers({"Content-Type": "application/problem+json"})


def told(status: int, headers: dict[str, str] | None = None, **document: Any) -> KuzuAPIError:
    return failures.from_answer(status, httpx.Headers({**PROBLEM, **(headers or {})}), json.dumps(document).encode())


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "syntax", KuzuSyntaxError),
        (400, "binder", KuzuSyntaxError),
        (400, "catalog", KuzuSyntaxError),
        (400, "runtime", KuzuClientError),
        (401, "invalid_key", KuzuClientError),
        (403, "read_only", KuzuClientError),
        (404, "unknown_database", KuzuClientError),
        (422, "invalid", KuzuClientError),
        (405, "method_not_allowed", KuzuAPIError),
        (406, "not_acceptable", KuzuAPIError),
        (408, "query_timeout", KuzuAPIError),
        (409, "constraint", KuzuAPIError),
        (413, "too_large", KuzuAPIError),
        (429, "rate_limited", KuzuAPIError),
        (500, "internal", KuzuServerError),
        (502, "", KuzuTransientError),
        (503, "pool_exhausted", KuzuTransientError),
        (504, "", KuzuTransientError),
        (507, "disk_full", KuzuServerError),
        (302, "", KuzuServerError),
    ],
)
def test_answers_by_status_and_code(status: int, code: str, kind: type[KuzuAPIError]) -> None:
    error = told(status, detail="words", code=code)
    assert type(error) is kind
    assert (error.status_code, error.code, str(error)) == (status, code, "words")


def test_an_error_carries_what_the_problem_says() -> None:
    error = told(400, detail="d", code="syntax", request_id="r", committed=False, line=2, column=7, extra=[1])
    assert isinstance(error, KuzuSyntaxError)
    assert (error.line, error.column, error.request_id, error.committed) == (2, 7, "r", False)
    assert error.response_data["extra"] == [1]


@pytest.mark.parametrize(
    ("value", "committed"), [(True, True), (False, False), (None, None), ("false", None), (0, None)]
)
def test_committed_is_taken_from_truth_values_alone(value: object, committed: bool | None) -> None:
    assert told(503, committed=value).committed is committed


@pytest.mark.parametrize(
    ("header", "document", "seconds"),
    [
        ("7", {}, 7.0),
        ("7", {"retry_after": 3}, 7.0),
        (None, {"retry_after": 3}, 3.0),
        (None, {"retry_after": -3}, None),
        (None, {"retry_after": "soon"}, None),
        (None, {}, None),
        ("soon", {}, None),
        ("Wed, 21 Oct 2015 07:28:30 GMT", {}, 30.0),
        ("Wed, 21 Oct 2015 07:27:00 GMT", {}, 0.0),
    ],
)
def test_times_to_wait(header: str | None, document: dict[str, Any], seconds: float | None) -> None:
    headers = {"Date": "Wed, 21 Oct 2015 07:28:00 GMT"} | ({} if header is None else {"Retry-After": header})
    assert told(503, headers, **document).retry_after == seconds


@pytest.mark.parametrize(
    ("headers", "body", "message"),
    [
        ({}, b"", "HTTP 503"),
        ({"Content-Type": "text/html"}, b"<h1>Busy</h1>", "HTTP 503: <h1>Busy</h1>"),
        ({"Content-Type": "application/json"}, b'{"detail"', 'HTTP 503: {"detail"'),
        ({"Content-Type": "application/json"}, b"[1]", "HTTP 503: [1]"),
        ({"Content-Type": "application/json"}, b'{"detail": 5, "title": "Busy"}', "Busy"),
        ({"Content-Type": "application/json"}, b'{"detail": "old form"}', "old form"),
        ({"Content-Type": "text/plain"}, b"\xff\xfe" + b"x" * 500, "HTTP 503: \ufffd\ufffd" + "x" * 198),
    ],
)
def test_bodies_that_are_no_problem_documents_are_shown(headers: dict[str, str], body: bytes, message: str) -> None:
    assert str(failures.from_answer(503, httpx.Headers(headers), body)) == message


@given(st.integers(300, 599), st.sampled_from(["application/json", "application/problem+json", "", "x"]), st.binary())
def test_no_answer_is_beyond_it(status: int, kind: str, body: bytes) -> None:
    assert failures.from_answer(status, httpx.Headers({"Content-Type": kind}), body).status_code == status


@pytest.mark.parametrize("library", [httpx, httpcore])
@pytest.mark.parametrize(
    ("name", "kind", "sent", "blame", "final"),
    [
        ("ConnectError", KuzuTransientError, False, True, False),
        ("ConnectTimeout", KuzuTimeoutError, False, True, False),
        ("PoolTimeout", KuzuTimeoutError, False, False, False),
        ("ReadTimeout", KuzuTimeoutError, None, True, False),
        ("WriteTimeout", KuzuTimeoutError, None, True, False),
        ("ReadError", KuzuTransientError, None, True, False),
        ("WriteError", KuzuTransientError, None, True, False),
        ("RemoteProtocolError", KuzuTransientError, None, True, False),
        ("ProxyError", KuzuTransientError, None, True, False),
        ("UnsupportedProtocol", KuzuClientError, False, False, True),
        ("LocalProtocolError", KuzuClientError, False, False, True),
    ],
)
def test_exceptions_of_transports(
    library: Any, name: str, kind: type[KuzuAPIError], sent: bool | None, blame: bool, final: bool
) -> None:
    raised = getattr(library, name)("words")
    assert isinstance(raised, failures.TRANSPORT_ERRORS)
    found = failures.verdict(raised)
    assert (found.error, found.sent, found.blame, found.final) == (kind, sent, blame, final)
    assert str(failures.from_exception(raised, found, sent=True)).endswith(": words")


def test_what_did_not_go_out_is_not_committed() -> None:
    found = failures.verdict(TimeoutError())
    assert failures.from_exception(TimeoutError(), found, sent=False).committed is False
    assert failures.from_exception(TimeoutError(), found, sent=True).committed is None


@pytest.mark.parametrize("body", [b'{"a": ', b"\xff", b"{} {}"])
def test_what_is_no_json_is_told_with_its_beginning(body: bytes) -> None:
    with pytest.raises(KuzuServerError, match="read: the answer is no JSON"):
        failures.decoded(READ, body)


def test_an_empty_answer_is_none() -> None:
    assert failures.decoded(READ, b"") is None
