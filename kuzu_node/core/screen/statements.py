"""What one statement is: its kind, or the refusal. Most keywords are names too, so what counts is where they stand."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from kuzu_node.core.screen import words
from kuzu_node.core.screen.calls import call_kind
from kuzu_node.core.screen.lexer import CLOSING, OPENING, is_name, plain_name
from kuzu_node.core.screen.model import Kind, forbidden

Tokens = Sequence[str]

_READING_HEADS = frozenset({"MATCH", "OPTIONAL", "UNWIND", "RETURN", "WITH", "CALL"})
_QUERY_HEADS = _READING_HEADS | {"MERGE", "SET", "DELETE", "DETACH", "CREATE"}
_WATCHED = frozenset({"LOAD", "CALL", "CREATE", "MERGE", "SET", "DELETE", "NEXTVAL", "`NEXTVAL`"})
# After one of these a word that could begin a clause is a name: an expression, a variable or a label must follow.
_BEFORE_A_NAME = frozenset(". : ( [ { , | = <> < > <= >= != =~ + - / % ^ & >> << ..".split()) | frozenset(
    "ALL AND ANY BY CASE DISTINCT ELSE IN NONE NOT OR ORDER SINGLE STARTS THEN UNWIND WHEN WHERE WITH XOR".split()
)


class NotAStatement(Exception):
    """The statement begins with something that begins none; `index` is the token's."""

    def __init__(self, index: int) -> None:
        super().__init__(index)
        self.index = index


@attrs.frozen
class Verdict:
    """`query_as` is the index of the AS that joins a CREATE TABLE to its query."""

    kind: Kind
    query_as: int | None = None
    drops_table: bool = False


def judge(tokens: Tokens, *, allow_projected_graphs: bool) -> Verdict:
    """The verdict on one statement (no `;` in it, not empty). Raises Forbidden and NotAStatement."""
    start = 0
    if tokens[0] in ("EXPLAIN", "PROFILE"):
        start = 2 if tokens[0] == "EXPLAIN" and tokens[1:2] == ["LOGICAL"] else 1
        if start >= len(tokens):
            raise NotAStatement(start - 1)
    head = tokens[start]
    verdict = _by_head(tokens, start, head)
    inner = _scan(tokens, start, verdict.kind, allow_projected_graphs)
    return verdict if inner.strength <= verdict.kind.strength else Verdict(inner)


def _by_head(tokens: Tokens, start: int, head: str) -> Verdict:
    following = tokens[start + 1] if start + 1 < len(tokens) else ""
    if head in words.FORBIDDEN_HEADS and not (head == "DETACH" and following == "DELETE" and len(tokens) > start + 2):
        raise forbidden(words.FORBIDDEN_HEADS[head])
    if head == "CREATE":
        return _create(tokens, start, following)
    if head in _READING_HEADS:
        return Verdict(Kind.READ)
    if head in _QUERY_HEADS:
        return Verdict(Kind.WRITE)
    if head == "COPY":
        return _copy(tokens, start)
    if head == "ALTER":
        # ALTER TABLE name DROP ..: also a connection of a relationship table, which is not worth telling apart.
        return Verdict(Kind.DROP_COLUMN if tokens[start + 3 : start + 4] == ["DROP"] else Kind.DDL)
    if head == "DROP":
        return Verdict(Kind.DDL, drops_table=True)
    if head == "COMMENT":
        return Verdict(Kind.DDL)
    raise NotAStatement(start)


def _create(tokens: Tokens, start: int, following: str) -> Verdict:
    after = tokens[start + 2] if start + 2 < len(tokens) else ""
    if following == "(" or after == "=":
        return Verdict(Kind.WRITE)
    if following in words.FORBIDDEN_CREATES:
        raise forbidden(words.FORBIDDEN_CREATES[following])
    if following in ("NODE", "REL") and after == "TABLE":
        query_as = _query_as(tokens, start + 3)
        return Verdict(Kind.DDL if query_as is None else Kind.BULK_TABLE, query_as)
    if following in ("SEQUENCE", "TYPE"):
        return Verdict(Kind.DDL)
    raise NotAStatement(min(start + 1, len(tokens) - 1))


def _query_as(tokens: Tokens, index: int) -> int | None:
    """The AS after `name` or `name (..)`; `index` is behind TABLE. A table may be called group, if or as."""
    if tokens[index : index + 1] == ["GROUP"]:
        index += 1
    if tokens[index : index + 3] == ["IF", "NOT", "EXISTS"]:
        index += 3
    index += 1
    if tokens[index : index + 1] == ["("]:
        index = closing(tokens, index) + 1
    return index if tokens[index : index + 1] == ["AS"] else None


def closing(tokens: Tokens, index: int) -> int:
    """The bracket that closes the one at `index`, or the last token."""
    depth = 0
    for place in range(index, len(tokens)):
        if tokens[place] in OPENING:
            depth += 1
        elif tokens[place] in CLOSING:
            depth -= 1
            if depth == 0:
                return place
    return len(tokens) - 1


def _copy(tokens: Tokens, start: int) -> Verdict:
    """COPY T [(columns)] FROM (query): everything else that begins with COPY has to do with files."""
    index = start + 1
    if tokens[index : index + 1] == ["("]:
        raise forbidden(words.COPY_TO)
    index += 1
    if tokens[index : index + 1] == ["("]:
        index = closing(tokens, index) + 1
    is_query = tokens[index : index + 2] == ["FROM", "("] and tokens[index + 2 : index + 3] != []
    if not is_query or tokens[index + 2] not in _QUERY_HEADS:
        raise forbidden(words.LOAD_FROM if tokens[index + 2 : index + 3] == ["LOAD"] else words.COPY_FROM)
    return Verdict(Kind.BULK_COPY)


def _scan(tokens: Tokens, start: int, kind: Kind, allow_projected_graphs: bool) -> Kind:
    """The strongest kind that any clause asks for, wherever it stands. Raises Forbidden."""
    copied_table = start + 1 if tokens[start] == "COPY" else -1
    strongest = kind
    for index in [place for place in range(start, len(tokens)) if tokens[place] in _WATCHED]:
        found = Kind.READ
        token = tokens[index]
        following = tokens[index + 1] if index + 1 < len(tokens) else ""
        if token == "LOAD":
            if index != copied_table and _is_load_from(tokens, index):
                raise forbidden(words.LOAD_FROM)
        elif token == "CALL":
            found = call_kind(tokens, index, start, allow_projected_graphs)
        elif token.endswith(("NEXTVAL", "NEXTVAL`")):
            if following == "(":
                found = Kind.WRITE
        elif token == "CREATE" or not _stands_as_name(tokens, index, start):
            found = Kind.WRITE
        if found.strength > strongest.strength:
            strongest = found
    return strongest


def _is_load_from(tokens: Tokens, index: int) -> bool:
    """LOAD FROM, or LOAD WITH HEADERS (..) FROM. No expression can be followed by FROM, so no name is meant."""
    return tokens[index + 1 : index + 2] == ["FROM"] or tokens[index + 1 : index + 4] == ["WITH", "HEADERS", "("]


def _stands_as_name(tokens: Tokens, index: int, start: int) -> bool:
    """Whether SET, MERGE or DELETE is surely a name here. In doubt it is not: a text that may write is a write."""
    if index == start:
        return False
    before = tokens[index - 1]
    if before in _BEFORE_A_NAME:
        # In COPY .. FROM (MERGE ..) the kind is stronger anyway; `WITH` and the like cannot be names themselves.
        return True
    if before in ("AS", "RETURN"):
        # Behind `x AS` and `) RETURN` a name must come, unless AS or RETURN is a name itself, as in `n.as SET ..`.
        earlier = tokens[index - 2] if index - 2 >= start else ""
        if before == "RETURN" and earlier == "":
            return True
        # Behind a dot even a keyword is a property's name.
        return bool(earlier) and (_ends_expression(earlier) or (index - 3 > start and tokens[index - 3] == "."))
    return False


def _ends_expression(token: str) -> bool:
    """A closing bracket, a literal or a name that no keyword is."""
    if token in (")", "]", "}", "*"):
        return True
    if token[0] in "'\"0123456789.$`":
        return token not in (".", "..")
    return is_name(token) and plain_name(token) not in _KEYWORDS


_KEYWORDS = words.RESERVED | frozenset(
    """ADD ALTER AS ATTACH BEGIN BY CALL CHECKPOINT COMMENT COMMIT CONTAINS COPY COUNT CYCLE DATABASE DECIMAL DELETE
    DETACH DROP EXPLAIN EXPORT EXTENSION FORCE FROM GRAPH IF IMPORT INCREMENT IS KEY LIMIT LOAD LOGICAL MAP MATCH
    MAXVALUE MERGE MINVALUE NO NODE PASSWORD PROJECT READ REL RENAME RETURN ROLE ROLLBACK SEQUENCE SET SKIP START STRUCT
    TO TRANSACTION TYPE UNINSTALL UPDATE USE USER WRITE YIELD""".split()
)
