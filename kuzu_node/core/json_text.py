"""Long JSON texts, taken apart piece by piece. Pure; the reading of bodies and the screen call it in threads.

A call into the decoder holds the interpreter's lock until it returns, so one call for a long text would stop the loop
although it runs in a thread, and a collection of garbage walks all the objects that came out of it. So each call sees
some 16 KiB here, and what is not needed yet stays text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import attrs
import msgspec

PIECE: Final = 16 * 1024
# One value of a longer text at a time. Never less than what the engine side still screens on the loop, which must not
# wait for a thread.
LONG: Final = 32 * 1024

DECODER: Final = msgspec.json.Decoder()
_OPENING: Final = b"[{"
_STRING: Final = rb'"(?:[^"\\]++|\\.)*+"'


def _nested(depth: int) -> bytes:
    """The expression of an array or object at most so deep. Possessive: a window that ends inside of one fails fast."""
    inner = rb'[^\]\[{}"]++|' + _STRING + (b"|" + _nested(depth - 1) if depth > 1 else b"")
    return rb"[\[{](?:" + inner + rb")*+[\]}]"


_MEMBER: Final = rb'(?:[^\]\[{}",]++|' + _STRING + b"|" + _nested(4) + b")*+"
_MEMBERS: Final = re.compile(b"(?:" + _MEMBER + b",)*+", re.DOTALL)
_LAST: Final = re.compile(_MEMBER + rb"(?=[\]}])", re.DOTALL)
_NOT_FLAT: Final = re.compile(rb'[\]\[{}"]')
_STRINGS: Final = re.compile(_STRING, re.DOTALL)
_INSIDE: Final = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_SPACE: Final = re.compile(rb"[ \t\n\r]*+")
_SCALAR: Final = re.compile(rb"[^\]},\s]*+")


class JsonText(str):
    """An array or object as it was sent, known to be well-formed. Whoever makes a value of it does so in `turn`."""

    __slots__ = ("turn",)

    turn: AbstractContextManager[object]

    @classmethod
    def from_bytes(cls, text: bytes, turn: AbstractContextManager[object] | None = None) -> JsonText:
        made = cls(text, "utf-8")
        made.turn = nullcontext() if turn is None or len(made) <= LONG else turn
        return made


class TooManyError(Exception):
    """The text holds more than was said to be enough."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.count = count


@attrs.define
class Tally:
    """Counts what is outside of strings: containers are arrays and objects, commas tell scalars from below."""

    most_containers: int
    most_scalars: int
    containers: int = 0
    commas: int = 0

    def add(self, piece: bytes) -> None:
        """Raises TooManyError."""
        bare = _STRINGS.sub(b"", piece) if b'"' in piece else piece
        self.containers += bare.count(b"[") + bare.count(b"{")
        self.commas += bare.count(b",")
        if self.containers > self.most_containers:
            raise TooManyError(self.containers)
        # Commas and one make the members of a list, and those that are empty lists are no scalars.
        if self.commas - self.containers > self.most_scalars:
            raise TooManyError(self.commas - self.containers)


Batch = Callable[[bytes], object]
Member = Callable[[bytes | None, int], int]


def walk(text: bytes, at: int, batch: Batch, member: Member, piece: int) -> int:
    """Visits the members of the array or object that begins at `at`; where it ends. The text has to be well-formed.

    `batch` gets the text of some whole members, commas between them; `member` one that is longer than a piece: its key
    as written, and where its value begins. It returns where the value ends.
    """
    keyed = text[at] == 0x7B
    at += 1
    while True:
        stop = _members_end(text, at, at + piece)
        last = _LAST.match(text, stop, at + piece)
        if last is not None:
            batch(text[at : last.end()])
            return last.end() + 1
        if stop > at:
            batch(text[at : stop - 1])
            at = stop
            continue
        key = None
        at = after_space(text, at)
        if keyed:
            end = string_end(text, at)
            key = text[at:end]
            at = after_space(text, after_space(text, end) + 1)
        at = after_space(text, member(key, at))
        if text[at] != 0x2C:
            return at + 1
        at += 1


def _members_end(text: bytes, at: int, until: int) -> int:
    """Behind the last comma that ends a member of the container before `until`; `at` when there is none."""
    if _NOT_FLAT.search(text, at, until) is None:
        return max(at, text.rfind(b",", at, until) + 1)
    found = _MEMBERS.match(text, at, until)
    assert found is not None
    return found.end()


def after_space(text: bytes, at: int) -> int:
    """The first place from `at` on that is not white space."""
    found = _SPACE.match(text, at)
    assert found is not None
    return found.end()


def string_end(text: bytes, at: int) -> int:
    """Behind the string that begins at `at`."""
    at += 1
    while True:
        found = _INSIDE.match(text, at, at + PIECE)
        assert found is not None
        at = found.end()
        if text[at] == 0x22:
            return at + 1


def scalar(text: bytes, at: int) -> tuple[Any, int]:
    """What begins at `at` and is no array or object, and where it ends."""
    if text[at] == 0x22:
        end = string_end(text, at)
    else:
        found = _SCALAR.match(text, at)
        assert found is not None
        end = found.end()
    return DECODER.decode(text[at:end]), end


@attrs.define
class Grower:
    """Makes the value of a text that is well-formed, in steps. `tally` counts before anything is made."""

    text: bytes
    tally: Tally | None = None
    piece: int = PIECE

    def value(self, at: int) -> tuple[Any, int]:
        """What begins at `at`, and where it ends. Raises as the decoder does for a value it cannot hold."""
        if self.text[at] not in _OPENING:
            return scalar(self.text, at)
        return self._object(at) if self.text[at] == 0x7B else self._array(at)

    def skip(self, at: int) -> int:
        """As `value`, and forgets each piece at once: where it ends, and that it can be made."""
        if self.text[at] not in _OPENING:
            return scalar(self.text, at)[1]
        make = self.members if self.text[at] == 0x7B else self.items

        def forget(key: bytes | None, start: int) -> int:
            if key is not None:
                DECODER.decode(key)
            return self.skip(start)

        return self.walk(at, make, forget)

    def walk(self, at: int, batch: Batch, member: Member) -> int:
        """See `walk`; counts the container itself."""
        if self.tally is not None:
            self.tally.add(b"[")
        return walk(self.text, at, batch, member, self.piece)

    def items(self, piece: bytes) -> list[Any]:
        """What stands in a piece of an array."""
        if self.tally is not None:
            self.tally.add(piece)
        found: list[Any] = DECODER.decode(b"[%b]" % piece)
        return found

    def members(self, piece: bytes) -> dict[str, Any]:
        """What stands in a piece of an object."""
        if self.tally is not None:
            self.tally.add(piece)
        found: dict[str, Any] = DECODER.decode(b"{%b}" % piece)
        return found

    def _array(self, at: int) -> tuple[list[Any], int]:
        found: list[Any] = []

        def add_one(_: bytes | None, start: int) -> int:
            value, end = self.value(start)
            found.append(value)
            return end

        return found, self.walk(at, lambda piece: found.extend(self.items(piece)), add_one)

    def _object(self, at: int) -> tuple[dict[str, Any], int]:
        found: dict[str, Any] = {}

        def add_one(key: bytes | None, start: int) -> int:
            assert key is not None
            value, end = self.value(start)
            found[DECODER.decode(key)] = value
            return end

        return found, self.walk(at, lambda piece: found.update(self.members(piece)), add_one)
