"""What the node serves, asked once a client, and only before something depends on it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection

import attrs

from kuzu_client._async.concurrency import Lock, now
from kuzu_client.errors import KuzuAPIError, KuzuTransientError

# Then a node that did not have it is asked again: it may have been replaced by a newer one.
NO_FOR_SECONDS = 60.0
# Then a node that could not be reached is: as long as it cannot, each write would ask in vain.
UNREACHED_FOR_SECONDS = 5.0


@attrs.define(eq=False)
class AsyncFeatures:
    """`ask` gives what /info lists, within so many seconds.

    That costs one small request a client, and none for clients that only read.
    """

    _ask: Callable[[float], Awaitable[Collection[str]]]
    _known: Collection[str] | None = None
    _until: float = 0.0
    _lock: Lock = attrs.field(factory=Lock)

    async def has(self, name: str, seconds: float) -> bool:
        """False as well where nobody can tell: /info fails, needs another key, or takes longer than `seconds`."""
        async with self._lock:
            if self._known is None or (name not in self._known and now() >= self._until):
                self._known, pause = await self._asked(seconds)
                self._until = now() + pause
            return name in self._known

    async def _asked(self, seconds: float) -> tuple[Collection[str], float]:
        try:
            return await self._ask(seconds), NO_FOR_SECONDS
        except KuzuTransientError:
            return (), UNREACHED_FOR_SECONDS
        except KuzuAPIError:
            return (), NO_FOR_SECONDS

    def forget(self) -> None:
        """After a failure another node may answer in this one's place."""
        self._known = None
