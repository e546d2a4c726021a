from __future__ import annotations

import pytest

from kuzu_client.cli.shell.statements import Statements


def fed(*lines: str) -> list[str]:
    statements = Statements()
    return [text for line in lines for text in statements.feed(line)]


def test_a_statement_ends_with_its_semicolon() -> None:
    statements = Statements()
    assert statements.feed("MATCH (p)") == []
    assert statements.pending
    assert statements.feed("RETURN p; RETURN 1; RETURN") == ["MATCH (p)\nRETURN p", "RETURN 1"]
    assert statements.pending
    assert statements.feed("2;") == ["RETURN\n2"]
    assert not statements.pending


@pytest.mark.parametrize(
    "text",
    [
        "RETURN 'a;b'",
        'RETURN "a;b"',
        "RETURN 'it\\'s;'",
        "RETURN `a;b`",
        "RETURN 1 /* ; */ + 2",
        "RETURN '//', 'x'",
        'RETURN "/*", 1',
        "RETURN '\\\\'",
    ],
)
def test_a_semicolon_within_quotes_and_comments_ends_nothing(text: str) -> None:
    assert fed(text + ";") == [text]


def test_a_comment_ends_with_its_line() -> None:
    assert fed("RETURN 1 // one; two", "+ 1;") == ["RETURN 1 // one; two\n+ 1"]
    assert fed("/* a;", "b; */ RETURN 1;") == ["/* a;\nb; */ RETURN 1"]


def test_nothing_but_semicolons_is_no_statement() -> None:
    assert fed(";;", "", "  ;") == []


def test_what_is_left_is_the_last_statement_of_a_pipe() -> None:
    statements = Statements()
    statements.feed("RETURN 1; RETURN")
    statements.feed("'x;'")
    assert statements.rest() == "RETURN\n'x;'"
    assert statements.rest() == ""
    statements.feed("RETURN 'open")
    statements.clear()
    assert statements.feed("RETURN 1;") == ["RETURN 1"]


def test_long_texts_are_looked_at_once() -> None:
    statements = Statements()
    for _ in range(20_000):
        assert statements.feed("// a line that ends nothing;") == []
    assert len(statements.feed(";")) == 1
