"""The engine types of JSON values: one type for all members of a list, one set of fields for all objects in it.

The engine unifies by position or not at all: it swaps and renames fields, and some mixtures end the process. So the
types are found here, and what has none is refused with its path.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Set

import attrs

from kuzu_node.core.screen.columns import INT64_MAX, INT64_MIN, Columns, Fields, IrregularError, Items, Shape
from kuzu_node.core.screen.model import Limits, bad_parameter, over_limit
from kuzu_node.core.screen.words import RESERVED

_INT128 = 2**127
_EXACT_DOUBLE = 2**53
_LONG = 16
MAX_FIELDS = 1000
"""Different keys of all objects in one place. The engine takes 80 ms to bind so many, and each object has them all."""
_FIELD = re.compile("[A-Za-z_][A-Za-z0-9_]*")


@attrs.define
class Survey:
    """What one walk over a value finds besides its type. `leaves` are scalars, gaps nulls and empty lists.

    `regular` are the ids of lists that bind as they are, because all that is in them has one shape already.
    """

    limits: Limits
    size: int = 0
    tokens: int = 0
    leaves: int = 0
    has_gap: bool = False
    only_literal: bool = False
    regular: set[int] = attrs.field(factory=set)

    def shape_of(self, value: object, path: str, depth: int = 1) -> Shape:
        """The type of the value. Raises StatementFailed with the path of what has none, and RequestRefused."""
        self.tokens += 2
        if isinstance(value, (list, tuple, dict)):
            if depth > self.limits.max_nesting:
                raise over_limit(f"depth of {path[:200]}", self.limits.max_nesting, depth, "KUZU_MAX_NESTING")
            if isinstance(value, dict):
                return self._fields(value, path, depth)
            return self._items(value, path, depth)
        self.leaves += 1
        self.size += 8
        if value is None:
            self.has_gap = True
            return None
        if isinstance(value, str):
            self.add_text(value, path)
            return "STRING"
        if isinstance(value, bool):
            return "BOOL"
        if isinstance(value, int):
            return self._integer(value, path)
        if isinstance(value, float):
            check_float(value, path)
            return "DOUBLE"
        raise bad_parameter(path, f"{type(value).__name__} is not a JSON value")

    def add_text(self, value: str, path: str) -> None:
        self.size += len(value) if value.isascii() else utf8_length(value, path)
        if self.size > self.limits.max_parameter_bytes:
            raise over_limit(
                "bytes of parameters", self.limits.max_parameter_bytes, self.size, "KUZU_MAX_PARAMETER_BYTES"
            )

    def _integer(self, value: int, path: str) -> Shape:
        if INT64_MIN <= value <= INT64_MAX:
            return "INT64"
        check_integer(value, path)
        self.only_literal = True
        return "INT128"

    def _items(self, value: list[object] | tuple[object, ...], path: str, depth: int) -> Shape:
        if not value:
            self.has_gap = True
        if len(value) > _LONG:
            try:
                return self._by_column(value, depth)
            except IrregularError:
                # The walk finds a type for more, or the place of what has none.
                pass
        shape: Shape = None
        for index, item in enumerate(value):
            shape = unify(shape, self.shape_of(item, f"{path}[{index}]", depth + 1), f"{path}[{index}]")
        if isinstance(shape, (Items, Fields)) and None in value:
            # Bound, a null list comes back empty and a null object ends the process.
            self.only_literal = True
        return Items(shape)

    def _by_column(self, value: list[object] | tuple[object, ...], depth: int) -> Shape:
        columns = Columns(self.limits.max_nesting - depth)
        shape = columns.shape_of(value)
        if not _binds_by_name(shape):
            self.only_literal = True
        self.size += columns.size
        self.tokens += columns.tokens
        self.leaves += columns.leaves
        self.has_gap = self.has_gap or columns.has_gap
        if not columns.is_mixed:
            self.regular.add(id(value))
        return Items(shape)

    def _fields(self, value: Mapping[object, object], path: str, depth: int) -> Shape:
        if not value:
            raise bad_parameter(path, "an empty object has no type in the engine; leave it out or send null")
        if len(value) > MAX_FIELDS:
            raise bad_parameter(path, f"an object with more than {MAX_FIELDS} keys: send a list of pairs")
        fields: dict[str, Shape] = {}
        for name, item in value.items():
            if not isinstance(name, str):
                raise bad_parameter(path, "a key is not a string")
            self.add_text(name, path)
            fields[name] = self.shape_of(item, f"{path}.{name}", depth + 1)
        self.tokens += 2 * len(fields)
        if not _are_bindable(fields):
            self.only_literal = True
        return Fields(fields)


def _binds_by_name(shape: Shape) -> bool:
    if isinstance(shape, Items):
        return _binds_by_name(shape.of)
    if isinstance(shape, Fields):
        return _are_bindable(shape.of) and all(map(_binds_by_name, shape.of.values()))
    return True


def _are_bindable(fields: Mapping[str, Shape]) -> bool:
    """Bound, an object of `key` and `value` becomes a MAP; names that are not plain are none in the text of a type."""
    return set(fields) != {"key", "value"} and _are_plain(fields)


def _are_plain(fields: Mapping[str, Shape]) -> bool:
    names = {name.upper() for name in fields}
    return len(names) == len(fields) and RESERVED.isdisjoint(names) and all(map(_FIELD.fullmatch, fields))


def utf8_length(value: str, path: str) -> int:
    """Bytes of the text in UTF-8. Raises StatementFailed for a lone surrogate."""
    try:
        return len(value.encode())
    except UnicodeEncodeError as error:
        raise bad_parameter(path, f"a lone surrogate at character {error.start}, which is not Unicode") from error


def check_float(value: float, path: str) -> None:
    if not math.isfinite(value):
        raise bad_parameter(path, f"{value} is not a JSON number")


def check_integer(value: int, path: str) -> None:
    if not -_INT128 <= value < _INT128:
        raise bad_parameter(path, "an integer beyond 128 bits")


def unify(one: Shape, other: Shape, path: str) -> Shape:
    """The type that holds both; an object without a field of the other reads as if that were null."""
    if other is None or one == other:
        return one
    if one is None:
        return other
    if isinstance(one, Items) and isinstance(other, Items):
        return Items(unify(one.of, other.of, f"{path}[]"))
    if isinstance(one, Fields) and isinstance(other, Fields):
        return _merged(one, other, path)
    if isinstance(one, str) and isinstance(other, str):
        pair = {one, other}
        if pair == {"INT64", "INT128"}:
            return "INT128"
        if pair <= {"INT64", "INT128", "DOUBLE"}:
            return "DOUBLE"
    raise bad_parameter(
        path, f"{_words(other)} where the values before are {_words(one)}: a list holds values of one type"
    )


def _merged(one: Fields, other: Fields, path: str) -> Fields:
    """`one` itself where `other` adds nothing, so that a list of many objects costs what is in them."""
    fields = one.of
    for name, inner in other.of.items():
        known = fields.get(name)
        found = unify(known, inner, f"{path}.{name}")
        if found is not known or name not in fields:
            fields = dict(fields) if fields is one.of else fields
            fields[name] = found
    if len(fields) > MAX_FIELDS:
        raise bad_parameter(path[:200], f"objects with more than {MAX_FIELDS} different keys: send lists of pairs")
    return one if fields is one.of else Fields(fields)


def missing_fields(value: object, shape: Shape, regular: Set[int]) -> int:
    """How many nulls will stand for what one object has and another has not; lists in `regular` have no such."""
    if isinstance(value, (list, tuple)):
        inner = shape.of if isinstance(shape, Items) else None
        if id(value) in regular or not isinstance(inner, (Items, Fields)):
            return 0
        return sum(missing_fields(item, inner, regular) for item in value)
    if isinstance(value, dict) and isinstance(shape, Fields):
        inner_ones = sum(missing_fields(item, shape.of[name], regular) for name, item in value.items())
        return len(shape.of) - len(value) + inner_ones
    return 0


def _words(shape: Shape) -> str:
    if isinstance(shape, Items):
        return "lists"
    if isinstance(shape, Fields):
        return "objects"
    return {"STRING": "strings", "BOOL": "booleans"}.get(shape or "", "numbers")


def has_integer(shape: Shape) -> bool:
    """Whether any value binds as an integer; those among fractions do not."""
    if isinstance(shape, Items):
        return has_integer(shape.of)
    if isinstance(shape, Fields):
        return any(map(has_integer, shape.of.values()))
    return shape in ("INT64", "INT128")


def type_name(shape: Shape) -> str | None:
    """How a CAST writes the type, None where a field's name cannot be written there. Unknown is INT64: any column
    takes a null of that type, and a list of it when empty."""
    if isinstance(shape, Items):
        inner = type_name(shape.of)
        return None if inner is None else f"{inner}[]"
    if isinstance(shape, Fields):
        if not _are_plain(shape.of):
            return None
        parts = [(name, type_name(inner)) for name, inner in shape.of.items()]
        if any(inner is None for _, inner in parts):
            return None
        return f"STRUCT({', '.join(f'{name} {inner}' for name, inner in parts)})"
    return shape or "INT64"


def as_double(value: int, path: str) -> float:
    """An integer among fractions. Raises StatementFailed where a DOUBLE does not hold its digits."""
    if abs(value) > _EXACT_DOUBLE:
        raise bad_parameter(path, "an integer beyond 2^53 in a list with fractions would lose digits")
    return float(value)
