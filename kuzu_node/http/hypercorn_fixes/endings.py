"""How a protocol asks for its connection to be closed, beside hypercorn's orderly `Closed`."""

from __future__ import annotations

from dataclasses import dataclass

from hypercorn.events import Closed


@dataclass(frozen=True)
class Lingering(Closed):
    """The client may still be sending: say the end, then read and forget for a while.

    Closing at once would reset the connection, and the reset can overtake the answer.
    """


@dataclass(frozen=True)
class Aborted(Closed):
    """Reset, so that the client does not take what it has for the whole."""
