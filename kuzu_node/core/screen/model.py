"""The values that the screen takes and gives, and the refusals it raises."""

from __future__ import annotations

import enum
from bisect import bisect_right
from collections.abc import Mapping

import attrs

from kuzu_node.errors import Forbidden, RequestRefused, StatementFailed

KeyTypes = Mapping[str, tuple[str, str]]
"""Node label -> (primary key property, the engine's name of its type, such as `INT64` or `STRING`)."""


class Kind(enum.Enum):
    """What one statement does, and so which locks and which kind of commit it needs; the last are the strongest."""

    READ = "read"
    WRITE = "write"
    DDL = "ddl"
    BULK_COPY = "bulk_copy"
    BULK_TABLE = "bulk_table"
    BULK_INDEX = "bulk_index"
    DROP_COLUMN = "drop_column"

    @property
    def strength(self) -> int:
        return _STRENGTH[self]

    @property
    def is_bulk(self) -> bool:
        """It has a commit of its own and so must be the only statement of its request."""
        return self in _BULK


_STRENGTH = {kind: place for place, kind in enumerate(Kind)}
_BULK = frozenset({Kind.BULK_COPY, Kind.BULK_TABLE, Kind.BULK_INDEX, Kind.DROP_COLUMN})


@attrs.frozen(kw_only=True)
class Limits:
    """Bounds on what the engine's parser and binder get to see: neither timeout nor interrupt stops those."""

    max_length: int
    max_nesting: int = 64
    max_case_depth: int = 10
    max_tokens: int = 20_000
    max_parameter_bytes: int = 8 * 1024 * 1024


@attrs.frozen
class Edit:
    """Characters `start` to `end` of the text as sent stand as `text` in the statement."""

    start: int
    end: int
    text: str


@attrs.frozen
class Statement:
    """`text` is ready for the engine. `fingerprint` is the same for texts that differ in literals and white space.

    `start` is where the statement begins in the text as sent; `edits` are in order, in positions of that text.
    """

    text: str
    kind: Kind
    fingerprint: str
    start: int = 0
    edits: tuple[Edit, ...] = ()

    def origin(self, position: int) -> int:
        """The place in the text as sent of a place in `text`; inside a replacement, the place of what was replaced."""
        shift = self.start
        for edit in self.edits:
            begin = edit.start - shift
            if position < begin:
                break
            if position < begin + len(edit.text):
                return edit.start
            shift += (edit.end - edit.start) - len(edit.text)
        return position + shift


@attrs.frozen
class Screened:
    """A request's statements in order, with the parameters that are left to bind; `source` is the text as sent."""

    statements: tuple[Statement, ...]
    parameters: dict[str, object]
    kind: Kind
    source: str

    @property
    def is_read(self) -> bool:
        return self.kind is Kind.READ

    @property
    def is_bulk(self) -> bool:
        return self.kind.is_bulk

    def origin(self, statement: int, line: int, offset: int) -> tuple[int, int]:
        """(line, column), both from 1, in the text as sent, for the engine's `line` from 1 and `offset` from 0."""
        one = self.statements[statement]
        starts = line_starts(one.text)
        position = starts[min(max(line, 1), len(starts)) - 1] + offset
        return place(self.source, one.origin(min(position, len(one.text))))


def line_starts(text: str) -> list[int]:
    """Where lines begin; the engine's lexer counts lines by LF alone."""
    starts = [0]
    found = text.find("\n")
    while found >= 0:
        starts.append(found + 1)
        found = text.find("\n", found + 1)
    return starts


def place(text: str, position: int) -> tuple[int, int]:
    """(line, column) of a position, both from 1."""
    starts = line_starts(text)
    line = bisect_right(starts, position)
    return line, position - starts[line - 1] + 1


def over_limit(what: str, limit: int, actual: int, setting: str) -> RequestRefused:
    return RequestRefused(f"{what}: {actual}, the limit is {limit} ({setting})", committed=False, is_statement=True)


def bad_request(detail: str) -> RequestRefused:
    return RequestRefused(detail, committed=False, is_statement=True)


def bad_syntax(detail: str, text: str, position: int) -> StatementFailed:
    line, column = place(text, position)
    return StatementFailed(
        f"Parser exception: {detail} (line: {line}, offset: {column - 1})",
        code="syntax",
        committed=False,
        is_statement=True,
        line=line,
        column=column,
    )


def bad_parameter(path: str, message: str) -> StatementFailed:
    return StatementFailed(f"{path}: {message}", code="parameter", committed=False, is_statement=True)


def forbidden(detail: str, *, statement: int | None = None) -> Forbidden:
    return Forbidden(detail, code="forbidden_statement", committed=False, is_statement=True, statement=statement)
