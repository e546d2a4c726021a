"""Honest texts that end the engine's process, and what to insert so that they mean the same and do not."""

from __future__ import annotations

from collections.abc import Sequence

# A row for a query that begins with WITH: its projection forgets the name.
ONE_ROW = "UNWIND [0] AS `one row` "


def bare_withs(tokens: Sequence[str], query_as: int | None) -> list[int]:
    """The WITHs that need a row before them: `WITH 1 AS x WHERE x = 1 ..` at the start of a query is a SIGSEGV.

    For texts with a WHERE in them; a row too many is harmless.
    """
    return [place for place, token in enumerate(tokens) if token == "WITH" and _begins_query(tokens, place, query_as)]


def _begins_query(tokens: Sequence[str], place: int, query_as: int | None) -> bool:
    if place == 0:
        return True
    before = tokens[place - 1]
    if before == "ALL":
        return place > 1 and tokens[place - 2] == "UNION"
    if before == "(":
        return "COPY" in tokens[:3]
    if before == "LOGICAL":
        return place == 2
    return before == "UNION" or place - 1 == query_as or (place == 1 and before in ("EXPLAIN", "PROFILE"))
