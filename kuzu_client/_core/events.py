"""Decodes server-sent events from bytes.

Not httpx-sse: its decoder is private, and its public part wants an httpx response where streams here give pieces.
https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import attrs
import msgspec

from kuzu_client.answers import TaskEvent
from kuzu_client.errors import KuzuServerError

_LINE_END = re.compile(rb"\r\n|\n|\r(?!\Z)")  # a \r at the end may be half of one
ENDS = frozenset({"completed", "failed"})
LONGEST = 1 << 20


@attrs.frozen
class ServerEvent:
    """`id` is the last one that the stream has named."""

    name: str
    data: str
    id: str


class EventDecoder:
    """Pieces in, events out. `retry` is in seconds, once the stream has asked for it.

    `last_id` is that of the stream which this one goes on from.
    """

    def __init__(self, last_id: str = "") -> None:
        self.last_id = last_id
        self.retry: float | None = None
        self._rest = b""
        self._name = ""
        self._data: list[str] = []

    def feed(self, piece: bytes) -> Iterator[ServerEvent]:
        """Raises KuzuServerError for what never ends."""
        *lines, self._rest = _LINE_END.split(self._rest + piece)
        if len(self._rest) > LONGEST:
            raise KuzuServerError(f"an event has a line of more than {LONGEST} bytes")
        for line in lines:
            if line:
                self._field(line.decode(errors="replace"))
            elif self._data:
                yield ServerEvent(self._name or "message", "\n".join(self._data), self.last_id)
                self._name, self._data = "", []
            else:
                self._name = ""

    def _field(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._name = value
        elif name == "id" and "\0" not in value:
            self.last_id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry = int(value) / 1000


def task_event(found: ServerEvent) -> TaskEvent | None:
    """None for what is no JSON object: a proxy's words, or an event of a kind that is not known here."""
    try:
        data = msgspec.json.decode(found.data)
    except msgspec.DecodeError:
        return None
    return TaskEvent({**data, "event": found.name, "id": found.id}) if isinstance(data, dict) else None
