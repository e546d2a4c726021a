"""Calls and settings that the tests of the caller share."""

from __future__ import annotations

from typing import Any

import attrs

from kuzu_client._core.calls import Body, Call, Replay
from kuzu_client._core.observers import Attempted, BreakerChanged, Event, Waits

READ = Call(operation="read", method="GET", path="/read")
WRITE = Call(operation="write", method="POST", path="/write", body=Body("application/json", b"{}"), replay=Replay.NEVER)
KEYED = attrs.evolve(WRITE, operation="keyed", replay=Replay.KEYED)
# No pauses, and no deadline that a loaded machine could meet.
QUICK: dict[str, Any] = {"retry_delay": 0.0, "timeout": 20.0}
# A deadline that is meant to be met.
SOON = 0.4


@attrs.define(eq=False)
class Events:
    """An observer that keeps what it hears."""

    heard: list[Event] = attrs.field(factory=list)

    def __call__(self, event: Event) -> None:
        self.heard.append(event)

    @property
    def attempts(self) -> list[Attempted]:
        return [event for event in self.heard if isinstance(event, Attempted)]

    @property
    def waits(self) -> list[Waits]:
        return [event for event in self.heard if isinstance(event, Waits)]

    @property
    def changes(self) -> list[tuple[str, str]]:
        changes = [event for event in self.heard if isinstance(event, BreakerChanged)]
        return [(change.before.value, change.after.value) for change in changes]
