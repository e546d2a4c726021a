"""Long lists by column: the rows of a batch differ in values, not in shape, and must not hold up the loop."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import NoneType

import attrs

_EXACT_DOUBLE = 2**53
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


class IrregularError(Exception):
    """The list is not all of one shape; it has to be walked value by value."""


@attrs.frozen
class Items:
    of: Shape


@attrs.frozen
class Fields:
    of: dict[str, Shape]


# A scalar's engine type; None when only nulls and empty lists have been seen.
Shape = str | Items | Fields | None


@attrs.define
class Columns:
    """What one pass over a list of one shape adds up to; see `Survey` for the words.

    `is_mixed`: integers stand among fractions and have to be converted.
    """

    depth_left: int
    size: int = 0
    tokens: int = 0
    leaves: int = 0
    has_gap: bool = False
    is_mixed: bool = False

    def shape_of(self, values: Sequence[object], depth: int = 0) -> Shape:
        """The type that all values have. Raises IrregularError, also for what the walk will refuse with its place."""
        kinds = set(map(type, values))
        self.tokens += 2 * len(values)
        if NoneType in kinds:
            self.has_gap = True
            kinds.remove(NoneType)
            values = [value for value in values if value is not None]
            if kinds & {dict, list}:
                raise IrregularError
        if kinds == {int, float}:
            # JSON writes 1.0 as 1.
            self.is_mixed = True
            if all(-_EXACT_DOUBLE <= value <= _EXACT_DOUBLE for value in values if type(value) is int):
                kinds = {float}
        if len(kinds) > 1 or depth > self.depth_left:
            raise IrregularError
        kind = kinds.pop() if kinds else None
        if kind is dict:
            return self._rows(values, depth)  # type: ignore[arg-type]
        if kind is list:
            return self._lists(values, depth)  # type: ignore[arg-type]
        self.leaves += len(values)
        self.size += 8 * len(values)
        return None if kind is None else self._scalars(values, kind)

    def _scalars(self, values: Sequence[object], kind: type) -> Shape:
        if kind is str:
            text = "".join(values)  # type: ignore[arg-type]
            try:
                self.size += len(text) if text.isascii() else len(text.encode())
            except UnicodeEncodeError as error:
                raise IrregularError from error
            return "STRING"
        if kind is bool:
            return "BOOL"
        if kind is int and min(values) >= INT64_MIN and max(values) <= INT64_MAX:  # type: ignore[type-var,operator]
            return "INT64"
        if kind is float and all(map(math.isfinite, values)):  # type: ignore[arg-type]
            return "DOUBLE"
        raise IrregularError

    def _rows(self, rows: Sequence[dict[str, object]], depth: int) -> Shape:
        names = list(rows[0])
        if not names or any(list(row) != names for row in rows):
            raise IrregularError
        self.tokens += 2 * len(names) * len(rows)
        # Once: rows of the same keys have one type.
        self.size += sum(map(len, names))
        return Fields({name: self.shape_of([row[name] for row in rows], depth + 1) for name in names})

    def _lists(self, lists: Sequence[list[object]], depth: int) -> Shape:
        if not all(lists):
            self.has_gap = True
        return Items(self.shape_of([value for values in lists for value in values], depth + 1))
