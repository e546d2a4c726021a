"""What the client asks for, before any of it is sent: the same values for both clients."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator

import attrs


class Replay(enum.Enum):
    """Whether a request may be sent again when nobody knows what became of it."""

    SAFE = "safe"
    """It changes nothing, or changes it only once: reads, and calls that ask for a state."""
    KEYED = "keyed"
    """A write that an Idempotency-Key makes safe, where the node has the feature."""
    NEVER = "never"
    ONCE = "once"
    """Not even one that was refused: its body can be read a single time, and may have been."""


@attrs.frozen
class Body:
    """What is sent. `pieces` gives the whole of it anew at each call, for bodies that do not fit memory.

    `length` in bytes where it is known.
    """

    media_type: str
    content: bytes = b""
    pieces: Callable[[], Iterator[bytes]] | None = None
    length: int | None = None


@attrs.frozen(kw_only=True)
class Call:
    """One request of the contract. `operation` is its name for observers; `path` begins with `/` and is quoted.

    `timeout`: seconds from the call to the end of the answer, retries included; None: the configured one.
    """

    operation: str
    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    accept: str | None = None
    body: Body | None = None
    timeout: float | None = None
    replay: Replay = Replay.SAFE
