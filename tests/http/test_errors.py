from __future__ import annotations

import inspect
import re

import msgspec
import pytest

from kuzu_node import errors
from kuzu_node.http.errors import STATUS, problem


def test_every_code_that_can_be_raised_has_a_status() -> None:
    tree = inspect.getdoc(errors) or ""
    codes = set(re.findall(r"\b[a-z]+(?:_[a-z]+)*\b", " ".join(re.findall(r"(?:──|│ ) *\w* +(.*)", tree))))
    codes -= {"with", "the", "paths", "of", "what", "is", "wrong"}
    assert codes == set(STATUS)


def test_a_problem_carries_everything_that_helps() -> None:
    error = errors.StatementFailed(
        "Parser exception: extraneous input",
        code="syntax",
        line=3,
        column=7,
        statement=1,
        faults=(errors.Fault("a", "b"),),
    )
    answer = problem(error, "r-1", {"committed": False})
    assert (answer.status, answer.content_type) == (400, b"application/problem+json")
    assert msgspec.json.decode(answer.body) == {
        "type": "urn:kuzu-node:error:syntax",
        "title": "Syntax error",
        "status": 400,
        "detail": "Parser exception: extraneous input",
        "code": "syntax",
        "request_id": "r-1",
        "errors": [{"path": "a", "message": "b"}],
        "line": 3,
        "column": 7,
        "statement": 1,
        "committed": False,
    }


def test_a_422_always_has_a_place() -> None:
    error = errors.StatementFailed("unknown columns: nme; Person has id, name", code="invalid")
    assert msgspec.json.decode(problem(error, "r-1").body)["errors"] == [{"path": "$", "message": error.detail}]
    assert "errors" not in msgspec.json.decode(problem(errors.StatementFailed("no"), "r-1").body)


@pytest.mark.parametrize(("seconds", "header"), [(None, b"1"), (0.2, b"1"), (4.1, b"5")])
def test_every_back_off_says_when_to_come_again(seconds: float | None, header: bytes) -> None:
    for code, (status, _) in STATUS.items():
        answer = problem(errors.Unavailable("later", code=code, retry_after=seconds), "r")
        assert (dict(answer.headers).get(b"retry-after") == header) is (status in (429, 503))


def test_the_title_existing_clients_look_for() -> None:
    answer = problem(errors.Unavailable("no slot", code="pool_exhausted"), "r")
    assert msgspec.json.decode(answer.body)["title"] == "Connection pool exhausted"
