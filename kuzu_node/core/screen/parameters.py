"""What stands in the text, and what is bound, for each parameter of a statement.

Integers bind as the smallest type that holds them, so no key index is used and sums overflow: they become literals,
or for large values a cast. Whatever else the engine's binding would garble is turned into a literal or refused.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from kuzu_node.core.json_text import Grower, JsonText, Tally, TooManyError
from kuzu_node.core.messages import packed
from kuzu_node.core.screen.columns import Fields, Items, Shape
from kuzu_node.core.screen.literals import bindable, render, sample, scalar
from kuzu_node.core.screen.model import KeyTypes, Limits, bad_parameter, over_limit
from kuzu_node.core.screen.shapes import Survey, check_float, has_integer, missing_fields, type_name

# Above these a cast of a bound value is cheaper: the engine's parser takes some 100 us a value of a literal.
_SMALL_LEAVES = 48
_SMALL_SIZE = 4096
_RANGES = {
    **{f"INT{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32)},
    **{f"UINT{bits}": (0, 2**bits - 1) for bits in (8, 16, 32, 64)},
    "INT128": (-(2**127), 2**127 - 1),
    "DOUBLE": (-(2**53), 2**53),
}


@attrs.frozen
class Slot:
    """One `$name` in the text. `key` is the (label, property) it is compared with; a call takes no casts."""

    start: int
    end: int
    name: str
    key: tuple[str, str] | None
    in_call: bool


@attrs.define
class Binder:
    """Replaces the parameters of one statement; `bound` is what remains to bind, under the engine's names."""

    limits: Limits
    key_types: KeyTypes
    parameters: Mapping[str, object]
    tokens_left: int
    bound: dict[str, object] = attrs.field(factory=dict)
    _size: int = 0
    _known: dict[tuple[str, bool], str | None] = attrs.field(factory=dict)

    def replacement(self, slot: Slot) -> str | None:
        """What to write in place of the slot, None to leave it. Raises StatementFailed and RequestRefused."""
        given = self._given(slot.name)
        value = self.parameters[given]
        if type(value) is int:
            return self._integer(value, slot, given)
        place = (slot.name, slot.in_call)
        if place not in self._known:
            self._known[place] = self._other(value, slot, f"parameters.{given}")
        return self._known[place]

    def _given(self, name: str) -> str:
        """The caller's key of a parameter: as written, or without the backticks that the engine keeps."""
        if name in self.parameters:
            return name
        bare = name[1:-1] if name[0] == "`" else name
        if bare not in self.parameters:
            raise bad_parameter(
                f"parameters.{bare}", f"Parameter {bare} not found: the text uses it, the request has none"
            )
        return bare

    def _integer(self, value: int, slot: Slot, given: str) -> str:
        text = scalar(value, f"parameters.{given}")
        if slot.key is None:
            return text
        key_type = key_type_of(slot.key, self.key_types)
        lowest, highest = _RANGES.get(key_type, (1, 0))
        return f"CAST({value} AS {key_type})" if lowest <= value <= highest else text

    def _other(self, value: object, slot: Slot, path: str) -> str | None:
        if isinstance(value, JsonText):
            return self._text(value, slot, path)
        if isinstance(value, (list, tuple, dict)):
            return self._composite(value, slot, path)
        if isinstance(value, float):
            check_float(value, path)
        survey = Survey(self.limits, size=self._size)
        survey.shape_of(value, path)
        self._size = survey.size
        self.bound[slot.name] = value
        return None

    def _text(self, text: JsonText, slot: Slot, path: str) -> str | None:
        """As `_composite`, without leaving the objects of a long value to the loop."""
        with text.turn:
            written = self._composite(self._grown(text, path), slot, path)
            if slot.name in self.bound and len(text) > _SMALL_SIZE:
                self.bound[slot.name] = packed(self.bound[slot.name])
        return written

    def _grown(self, text: JsonText, path: str) -> object:
        """Raises RequestRefused before there is more of it than can be bound."""
        encoded = text.encode()
        left = self.limits.max_parameter_bytes - self._size
        tally = Tally(len(encoded), left // 8) if 8 * encoded.count(b",") > left else None
        try:
            return Grower(encoded, tally).value(0)[0]
        except TooManyError as error:
            limit, size = self.limits.max_parameter_bytes, self._size + 8 * error.count
            raise over_limit("bytes of parameters", limit, size, "KUZU_MAX_PARAMETER_BYTES") from error
        except RecursionError as error:
            raise bad_parameter(path, "lists and objects are nested too deeply") from error

    def _composite(self, value: object, slot: Slot, path: str) -> str | None:
        survey = Survey(self.limits, size=self._size)
        shape = survey.shape_of(value, path)
        missing = missing_fields(value, shape, survey.regular)
        survey.size += 8 * missing
        survey.tokens += 2 * missing
        if survey.size > self.limits.max_parameter_bytes:
            limit = self.limits.max_parameter_bytes
            raise over_limit("bytes of parameters", limit, survey.size, "KUZU_MAX_PARAMETER_BYTES")
        size, self._size = survey.size - self._size, survey.size
        plain = not (has_integer(shape) or survey.has_gap or survey.only_literal)
        small = survey.leaves <= _SMALL_LEAVES and size <= _SMALL_SIZE
        if plain and (slot.in_call or not small):
            self.bound[slot.name] = bindable(value, shape, path, survey.regular)
            return None
        if small or slot.in_call or survey.only_literal:
            return self._as_literal(value, shape, path, survey.tokens)
        return self._as_cast(value, shape, slot.name, path, survey)

    def _as_literal(self, value: object, shape: Shape, path: str, tokens: int) -> str:
        self.tokens_left -= tokens
        if self.tokens_left < 0:
            most = self.limits.max_tokens
            raise over_limit(f"tokens with {path} written out", most, most - self.tokens_left, "KUZU_MAX_TOKENS")
        return render(value, shape, path)

    def _as_cast(self, value: object, shape: Shape, name: str, path: str, survey: Survey) -> str:
        """A bound value cast to its type. A column of nothing but nulls has no type and fails: a sample goes first."""
        written = type_name(shape)
        unified = bindable(value, shape, path, survey.regular)
        is_regular = id(value) in survey.regular
        if written is None or (not is_regular and _has_null_container(unified, shape)):
            return self._as_literal(value, shape, path, survey.tokens)
        if not survey.has_gap and (is_regular or not _has_null(unified)):
            self.bound[name] = unified
            return f"CAST(${name} AS {written})"
        if isinstance(shape, Items) and isinstance(unified, list):
            self.bound[name] = [sample(shape.of), *unified]
            return f"CAST(${name} AS {written})[2:]"
        self.bound[name] = [sample(shape), unified]
        return f"CAST(${name} AS {written}[])[2]"


def key_type_of(key: tuple[str, str], key_types: KeyTypes) -> str:
    """The type of the label's primary key when the property is it, else empty. The engine ignores the case of both."""
    found = key_types.get(key[0])
    if found is None:
        label = key[0].lower()
        found = next((value for name, value in key_types.items() if name.lower() == label), None)
    if found is None or found[0].lower() != key[1].lower():
        return ""
    return found[1].upper()


def _has_null(value: object) -> bool:
    if isinstance(value, dict):
        return any(_has_null(item) for item in value.values())
    if isinstance(value, list):
        return any(_has_null(item) for item in value)
    return value is None


def _has_null_container(value: object, shape: Shape) -> bool:
    """Whether a null stands for a list or an object, also one that another object of the list has and this has not."""
    if value is None:
        return isinstance(shape, (Items, Fields))
    if isinstance(value, dict) and isinstance(shape, Fields):
        return any(_has_null_container(value[name], inner) for name, inner in shape.of.items())
    if isinstance(value, list) and isinstance(shape, Items) and isinstance(shape.of, (Items, Fields)):
        return any(_has_null_container(item, shape.of) for item in value)
    return False
