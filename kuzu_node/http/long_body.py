"""Long JSON bodies, read in a thread: what the model names is made, and what it leaves open stays text.

A body of a million small values must not become a million objects that wait for their turn beside the loop: parameters
that are arrays or objects are checked and kept as `JsonText`, which the screen turns into values one at a time.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import cache
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

import attrs
import msgspec

from kuzu_node.core.json_text import PIECE, Grower, JsonText, Tally, TooManyError, after_space, scalar
from kuzu_node.errors import RequestRefused

MOST_CONTAINERS: Final = 250_000
MOST_MEMBERS: Final = 100_000

_SKIPPER: Final = msgspec.json.Decoder(msgspec.Raw)
_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ARRAY: Final = msgspec.json.Decoder(list[msgspec.Raw])


@attrs.frozen
class Plan:
    """What of an object or array is made. A mapping has neither fields nor items: its members are left open."""

    opening: bytes
    fields: Mapping[str, Plan] = attrs.field(factory=dict)
    items: Plan | None = None

    def inner(self, name: str) -> Plan | None:
        return self.fields.get(name)


@cache
def plan_of(kind: Any) -> Plan | None:
    """For a type of the models; None for what stays text where it is no scalar."""
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        [kind] = [one for one in get_args(kind) if one is not type(None)]
        return plan_of(kind)
    if origin is Mapping:
        return Plan(b"{")
    if origin is tuple:
        return Plan(b"[", items=plan_of(get_args(kind)[0]))
    if not attrs.has(kind):
        return None
    plans = {name: plan_of(inner) for name, inner in get_type_hints(kind).items()}
    return Plan(b"{", fields={name: plan for name, plan in plans.items() if plan is not None})


def check_json(body: bytes) -> None:
    """Raises as the decoder does for what is not JSON at all. Holds the interpreter for 4 ms a megabyte, no more."""
    _SKIPPER.decode(body)


def read_long(body: bytes, model: type, turn: AbstractContextManager[object], piece: int = PIECE) -> Any:
    """The document for `structure.Bodies`. Raises RequestRefused, and as the decoder does."""
    check_json(body)
    tally = None
    if body.count(b"[") + body.count(b"{") > MOST_CONTAINERS:
        # They may stand in strings.
        tally = Tally(MOST_CONTAINERS, len(body))
    try:
        return LongBody(Grower(body, tally, piece), turn).value(after_space(body, 0), plan_of(model))[0]
    except TooManyError as error:
        raise _too_many(f"{MOST_CONTAINERS} arrays and objects") from error


@attrs.define
class LongBody:
    """Reads one text that is known to be well-formed."""

    grower: Grower
    turn: AbstractContextManager[object]

    def value(self, at: int, plan: Plan | None) -> tuple[Any, int]:
        """What begins at `at`, and where it ends."""
        text = self.grower.text
        opening = text[at : at + 1]
        if opening not in (b"[", b"{"):
            return scalar(text, at)
        if plan is None or plan.opening != opening:
            end = self.grower.skip(at)
            return JsonText.from_bytes(text[at:end], self.turn), end
        return self._object(at, plan) if opening == b"{" else self._array(at, plan)

    def _object(self, at: int, plan: Plan) -> tuple[dict[str, Any], int]:
        found: dict[str, Any] = {}

        def add(piece: bytes) -> None:
            members = self.grower.members(piece)
            found.update(self._settled_object(members, b"{%b}" % piece, plan))
            _check_count(found)

        def add_one(key: bytes | None, start: int) -> int:
            assert key is not None
            name = msgspec.json.decode(key)
            found[name], end = self.value(start, plan.inner(name))
            return end

        return found, self.grower.walk(at, add, add_one)

    def _array(self, at: int, plan: Plan) -> tuple[list[Any], int]:
        found: list[Any] = []

        def add(piece: bytes) -> None:
            items = self.grower.items(piece)
            found.extend(self._settled_array(items, b"[%b]" % piece, plan))
            _check_count(found)

        def add_one(_: bytes | None, start: int) -> int:
            value, end = self.value(start, plan.items)
            found.append(value)
            return end

        return found, self.grower.walk(at, add, add_one)

    def _settled(self, value: Any, raw: msgspec.Raw, plan: Plan | None) -> Any:
        """The value as `LongBody.value` would give it, out of a piece that has been decoded as a whole."""
        if isinstance(value, dict) and plan is not None and plan.opening == b"{":
            return self._settled_object(value, bytes(raw), plan)
        if isinstance(value, list) and plan is not None and plan.opening == b"[":
            return self._settled_array(value, bytes(raw), plan)
        return JsonText.from_bytes(bytes(raw), self.turn) if isinstance(value, (dict, list)) else value

    def _settled_object(self, members: dict[str, Any], text: bytes, plan: Plan) -> dict[str, Any]:
        if not any(type(value) in (dict, list) for value in members.values()):
            return members
        raws = _OBJECT.decode(text)
        return {name: self._settled(value, raws[name], plan.inner(name)) for name, value in members.items()}

    def _settled_array(self, items: list[Any], text: bytes, plan: Plan) -> list[Any]:
        raws = _ARRAY.decode(text)
        return [self._settled(value, raw, plan.items) for value, raw in zip(items, raws, strict=True)]


def _check_count(found: dict[str, Any] | list[Any]) -> None:
    if len(found) > MOST_MEMBERS:
        raise _too_many(f"{MOST_MEMBERS} fields, parameters or statements")


def _too_many(what: str) -> RequestRefused:
    detail = f"the body holds more than {what}: PUT /databases/{{id}}/tables/{{table}}/rows takes any number of rows"
    return RequestRefused(detail, code="too_large")
