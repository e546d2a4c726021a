"""Bytes as they come, cut into whole lines: at `\\n` alone, since `splitlines` cuts at what JSON strings may hold."""

from __future__ import annotations

import attrs

from kuzu_client.errors import KuzuServerError


@attrs.define(eq=False)
class LineCutter:
    """Lines come without their `\\n`; an empty line is one too. A line longer than `limit` bytes is a KuzuServerError.

    Each byte is copied at most twice, however long a line is and however small the pieces are.
    """

    limit: int | None = None
    # The line that has no end yet.
    _parts: list[bytes] = attrs.field(factory=list, init=False)
    _size: int = attrs.field(default=0, init=False)

    def feed(self, piece: bytes) -> list[bytes]:
        """The lines that end in `piece`."""
        lines = piece.split(b"\n")
        rest = lines.pop()
        if lines and self._parts:
            self._parts.append(lines[0])
            lines[0] = b"".join(self._parts)
            self._parts.clear()
        self._size = len(rest) if lines else self._size + len(rest)
        if rest:
            self._parts.append(rest)
        if self.limit is not None and (self._size > self.limit or max(map(len, lines), default=0) > self.limit):
            raise KuzuServerError(f"a line of the answer is longer than {self.limit} bytes")
        return lines

    def finish(self) -> list[bytes]:
        """A last line that has no end, if there is one."""
        last = b"".join(self._parts)
        self._parts.clear()
        self._size = 0
        return [last] if last else []
