"""Errors, tables and exit codes, without a process."""

from __future__ import annotations

import io
from typing import Any

import click
import pytest
from rich.console import Console

from kuzu_client.cli import exits
from kuzu_client.cli.commands.loading import find_table
from kuzu_client.cli.exits import Exit
from kuzu_client.cli.failures import told
from kuzu_client.cli.tables import ResultTable
from kuzu_client.errors import (
    KuzuAPIError,
    KuzuClientError,
    KuzuServerError,
    KuzuSyntaxError,
    KuzuTimeoutError,
    KuzuTransientError,
    ServiceUnavailableError,
)


def syntax(detail: str, line: int, column: int) -> KuzuSyntaxError:
    data = {"line": line, "column": column}
    return KuzuSyntaxError(detail, status_code=400, code="syntax", response_data=data, committed=False)


def lines(error: KuzuAPIError, text: str = "", **options: Any) -> list[str]:
    return [line.plain for line in told(error, text, **options)]


def test_an_error_is_one_line_with_a_mark_under_its_place() -> None:
    text = "MATCH (p)\r\n  RETRN p"
    detail = (
        'Parser exception: Invalid input <MATCH (p)\n  RETRN>: expected\nmore (line: 2, offset: 2)\n"  RETRN p"\n  ^'
    )
    assert lines(syntax(detail, 2, 3), text) == [
        "kuzu-client: syntax: Parser exception: Invalid input <MATCH (p) RETRN>: expected more (line 2, column 3)",
        "    RETRN p",
        "    ^",
    ]


def test_the_mark_counts_wide_characters_escapes_and_cuts() -> None:
    assert lines(syntax("no", 1, 4), "数数\tX")[1:] == ["  数数\\tX", "        ^"]
    _, shown, mark = lines(syntax("no", 1, 201), "a" * 200 + "X" + "b" * 200)
    assert shown[mark.index("^")] == "X"
    assert len(shown) < 120
    assert lines(syntax("no", 9, 1), "one line") == ["kuzu-client: syntax: no (line 9, column 1)"]


def test_an_unknown_outcome_is_told_and_so_is_one_that_stays() -> None:
    lost = KuzuTransientError("it broke")
    assert lines(lost) == ["kuzu-client: it broke"]
    assert "not known" in lines(lost, writes=True)[1]
    assert "is committed" in lines(KuzuAPIError("late", committed=True))[1]
    assert lines(
        KuzuAPIError("no\x1b[2J", code="invalid", response_data={"errors": [{"path": "a", "message": "b"}]})
    ) == [
        "kuzu-client: invalid: no\\x1b[2J",
        "  a: b",
    ]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KuzuSyntaxError("", status_code=400, code="syntax"), Exit.FAILED),
        (KuzuServerError("", status_code=500), Exit.FAILED),
        (KuzuAPIError("", status_code=409, code="constraint"), Exit.FAILED),
        (KuzuClientError("", status_code=404), Exit.NOT_FOUND),
        (KuzuClientError("", status_code=401), Exit.REFUSED),
        (KuzuClientError("", status_code=403), Exit.REFUSED),
        (KuzuAPIError("", status_code=408, code="query_timeout"), Exit.TIMED_OUT),
        (KuzuTimeoutError(""), Exit.TIMED_OUT),
        (KuzuTransientError("", status_code=503), Exit.UNAVAILABLE),
        (ServiceUnavailableError(""), Exit.UNAVAILABLE),
        (KuzuAPIError("", status_code=429), Exit.UNAVAILABLE),
    ],
)
def test_each_kind_of_error_has_its_exit_code(error: KuzuAPIError, code: Exit) -> None:
    assert exits.of(error) is code


def rendered(table: ResultTable, width: int) -> list[str]:
    file = io.StringIO()
    Console(file=file, width=width, color_system=None).print(table)
    return [line.rstrip() for line in file.getvalue().splitlines()]


def test_a_table_folds_long_cells_and_keeps_numbers_to_the_right() -> None:
    shown = rendered(ResultTable(["n", "text"], [{"n": 5, "text": "a" * 30}, {"n": None, "text": "b"}]), 30)
    assert len(shown) == 5
    assert max(map(len, shown)) <= 30
    assert shown[2].startswith("   5   a")
    assert shown[4].startswith("null   b")
    assert "".join(line[7:] for line in shown[2:4]) == "a" * 30


def test_columns_that_do_not_fit_stand_below_each_other() -> None:
    columns = [f"column{number}" for number in range(20)]
    shown = rendered(ResultTable(columns, [dict.fromkeys(columns, 1), dict.fromkeys(columns, 2)]), 60)
    assert shown[0].startswith("── row 1 ")
    assert shown[1].split() == ["column0", "1"]
    assert shown[21].startswith("── row 2 ")
    assert len(shown) == 42


def test_a_file_finds_the_table_that_is_called_alike() -> None:
    tables = ["Person", "City", "knows"]
    assert find_table("persons", tables) == "Person"
    assert find_table("CITIES", tables) == "City"
    assert find_table("KNOWS", tables) == "knows"
    assert find_table("person", ["person", "Person"]) == "person"
    with pytest.raises(click.UsageError, match="Person, City, knows"):
        find_table("people", tables)
    with pytest.raises(click.UsageError):
        find_table("PERSON", ["person", "Person"])
