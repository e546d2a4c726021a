"""Reserved words as aliases: `RETURN x AS exists` is quoted for the engine, and so are later uses of the alias."""

from __future__ import annotations

from collections.abc import Sequence

from kuzu_node.core.screen.lexer import is_name
from kuzu_node.core.screen.words import RESERVED

# What an expression may follow; a reserved word behind one of these is a name unless it begins an expression itself.
_BEFORE_EXPRESSION = frozenset("( [ { , = <> < > <= >= + - * / % ^ & | =~ : .. >> <<".split()) | frozenset(
    "RETURN WITH WHERE BY AND OR XOR NOT DISTINCT IN UNWIND WHEN THEN ELSE CASE SKIP LIMIT CONTAINS DELETE SET".split()
)
_BEGINS_EXPRESSION = {
    "ALL": "(", "ANY": "(", "CAST": "(", "EXISTS": "{", "NONE": "(", "SINGLE": "(",
}  # fmt: skip
_NEVER_LATER = frozenset("CASE DISTINCT FALSE NOT NULL TRUE".split())
_ENDS = frozenset({")", "]", "}", "*", "END", "NULL", "TRUE", "FALSE"})
_NAME_BEFORE = frozenset({".", ":", "AS", "(", ",", "{", "["})


def reserved_names(tokens: Sequence[str], query_as: int | None) -> list[int]:
    """The tokens to quote: reserved words that stand as an alias, where the engine's grammar takes none.

    `query_as` is the AS of a CREATE TABLE .. AS, behind which a query stands. Only for texts with AS in them.
    """
    aliased: set[str] = set()
    quoted: list[int] = []
    for index in range(1, len(tokens)):
        token = tokens[index]
        if token not in RESERVED:
            continue
        before = tokens[index - 1]
        if before == "AS" and index - 1 != query_as and (index - 2 in quoted or _joins_alias(tokens, index - 1)):
            # CAST(x AS UNION(..)) names a type.
            if token == "UNION" and tokens[index + 1 : index + 2] == ["("]:
                continue
            aliased.add(token)
            quoted.append(index)
        elif (
            token in aliased
            and token not in _NEVER_LATER
            and index - 1 not in quoted
            and _is_use(tokens, index, before)
        ):
            quoted.append(index)
    return quoted


def _joins_alias(tokens: Sequence[str], index: int) -> bool:
    """Whether the AS at `index` is the keyword: an expression ends before it. Else `as` is itself a name."""
    if index == 0:
        return False
    before = tokens[index - 1]
    if before in _ENDS or before[0] in "'\"0123456789$" or (before[0] == "." and len(before) > 1 and before != ".."):
        return True
    if before == "AS":
        return not _joins_alias(tokens, index - 1)
    if before in _BEFORE_EXPRESSION or not is_name(before):
        return index > 1 and tokens[index - 2] in _NAME_BEFORE
    return before not in RESERVED or (index > 1 and tokens[index - 2] in _NAME_BEFORE)


def _is_use(tokens: Sequence[str], index: int, before: str) -> bool:
    following = tokens[index + 1] if index + 1 < len(tokens) else ""
    if _BEGINS_EXPRESSION.get(tokens[index]) == following and following:
        return False
    return before in _BEFORE_EXPRESSION
