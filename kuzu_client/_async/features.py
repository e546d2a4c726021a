"""What the node serves, asked once a client, and only before something depends on it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection

import attrs

from kuzu_client._async.concurrency import Lock, now
from kuzu_client.errors import KuzuAPIError

# After a node that could not tell, or did not have it, is asked again: it may have been replaced by a newer one.
NO_FOR_SECONDS = 60.0


@attrs.define(eq=False)
class AsyncFeatures:
    """`ask` gives what /info lists. That costs one small request a client, and none for clients that only read."""

    _ask: Callable[[], Awaitable[Collection[str]]]
    _known: Collection[str] | None = None
    _until: float = 0.0
    _lock: Lock = attrs.field(factory=Lock)

    async def has(self, name: str) -> bool:
        """False as well where nobody can tell: /info fails, or needs another key."""
        async with self._lock:
            if self._known is None or (name not in self._known and now() >= self._until):
                try:
                    self._known = await self._ask()
                except KuzuAPIError:
                    self._known = ()
                self._until = now() + NO_FOR_SECONDS
            return name in self._known

    def forget(self) -> None:
        """After a failure another node may answer in this one's place."""
        self._known = None
