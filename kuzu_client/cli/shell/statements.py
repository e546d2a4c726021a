"""Lines become statements: each ends with a semicolon outside of quotes and comments. Pure."""

from __future__ import annotations

from typing import Final

import attrs

# What opens a part in which a semicolon ends nothing, and what closes it.
_CLOSES: Final = {"'": "'", '"': '"', "`": "`", "//": "\n", "/*": "*/"}
_ESCAPING: Final = frozenset({"'", '"'})


@attrs.define(eq=False)
class Statements:
    """Lines that are no statement yet."""

    _held: str = ""
    _scanned: int = 0
    _inside: str = ""

    @property
    def pending(self) -> bool:
        return bool(self._held.strip())

    def clear(self) -> None:
        self._held, self._scanned, self._inside = "", 0, ""

    def feed(self, line: str) -> list[str]:
        """The statements that end on this line, without their semicolons; empty ones are left out."""
        self._held += line + "\n"
        found = []
        while (end := self._end()) is not None:
            text, self._held, self._scanned = self._held[:end], self._held[end + 1 :], 0
            found.append(text.strip())
        if not self.pending:
            self.clear()
        return [text for text in found if text]

    def rest(self) -> str:
        """What stands behind the last semicolon when no more lines come."""
        text = self._held.strip()
        self.clear()
        return text

    def _end(self) -> int | None:
        """The place of the next semicolon that ends a statement. What was looked at is not looked at again."""
        held = self._held
        while self._scanned < len(held):
            at = self._scanned
            if self._inside:
                self._scanned = self._within(at)
                continue
            opened = next((mark for mark in _CLOSES if held.startswith(mark, at)), "")
            if not opened and held[at] == ";":
                return at
            self._inside = opened
            self._scanned = at + (len(opened) or 1)
        return None

    def _within(self, at: int) -> int:
        """The place behind the character at `at`, which stands in quotes or a comment."""
        if self._inside in _ESCAPING and self._held[at] == "\\":
            return at + 2
        closing = _CLOSES[self._inside]
        if self._held.startswith(closing, at):
            self._inside = ""
            return at + len(closing)
        return at + 1
