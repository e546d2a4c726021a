"""How many databases may be open at once, and which one closes for the next."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import attrs
import trio

from kuzu_node.engine.presence import Presence


@attrs.define(eq=False)
class Tenant:
    """An open database, and the event that asks it to close for another."""

    presence: Presence
    evict: trio.Event = attrs.field(factory=trio.Event)


class Openings:
    """Places for open databases. While some wait, the one that has been idle longest is asked to close.

    `moved_at` is when the line of those who wait has last moved on, in the loop's seconds.
    """

    def __init__(self, limit: int) -> None:
        self._limiter = trio.CapacityLimiter(limit)
        self.waiting = 0
        self.moved_at = -math.inf
        self._tenants: dict[Tenant, None] = {}

    @asynccontextmanager
    async def place(self, presence: Presence) -> AsyncIterator[Tenant]:
        """Waits until there is room."""
        tenant = Tenant(presence)
        await self._acquire(tenant)
        self.moved()
        presence.on_idle = self._went_idle
        self._tenants[tenant] = None
        try:
            yield tenant
        finally:
            del self._tenants[tenant]
            self._limiter.release_on_behalf_of(tenant)

    @contextmanager
    def further_place(self) -> Iterator[None]:
        """A second one for a database that has one, where one is free; it is not for long."""
        holder = object()
        try:
            self._limiter.acquire_on_behalf_of_nowait(holder)
        except trio.WouldBlock:
            yield
            return
        try:
            yield
        finally:
            self._limiter.release_on_behalf_of(holder)

    def has_room(self) -> bool:
        return self._limiter.available_tokens > 0

    async def _acquire(self, tenant: Tenant) -> None:
        try:
            self._limiter.acquire_on_behalf_of_nowait(tenant)
        except trio.WouldBlock:
            self.waiting += 1
            self._evict_idlest()
            try:
                await self._limiter.acquire_on_behalf_of(tenant)
            finally:
                self.waiting -= 1

    def moved(self) -> None:
        """A database has got a place, or has opened."""
        self.moved_at = trio.current_time()

    def _went_idle(self) -> None:
        if self.waiting:
            self._evict_idlest()

    def _evict_idlest(self) -> None:
        """As many as wait, less those that are closing already."""
        closing = sum(tenant.evict.is_set() for tenant in self._tenants)
        wanted = self.waiting - closing
        idle = [one for one in self._tenants if not one.presence.busy and not one.evict.is_set()]
        for tenant in sorted(idle, key=lambda one: one.presence.last_used)[: max(0, wanted)]:
            tenant.evict.set()

    @property
    def open_count(self) -> int:
        return len(self._tenants)
