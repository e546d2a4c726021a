"""Whether a database is open, and who uses its worker: what requests and the supervisor share."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import trio

from kuzu_node.engine.values import State
from kuzu_node.engine.worker import Worker
from kuzu_node.errors import NodeError, Unavailable

# Each state, and those it may be left for.
_NEXT: dict[State, frozenset[State]] = {
    State.CLOSED: frozenset({State.STARTING}),
    State.STARTING: frozenset({State.READY, State.DEGRADED, State.RESTARTING, State.FAILED, State.CLOSED}),
    State.READY: frozenset({State.READY, State.RESTARTING, State.CLOSED, State.DEGRADED}),
    State.DEGRADED: frozenset({State.READY, State.RESTARTING, State.CLOSED, State.DEGRADED}),
    State.RESTARTING: frozenset({State.STARTING, State.FAILED, State.CLOSED}),
    State.FAILED: frozenset({State.STARTING, State.RESTARTING, State.CLOSED}),
}
_OPEN = frozenset({State.READY, State.DEGRADED})


def _no_listener() -> None:
    return None


@attrs.define(eq=False)
class Presence:
    """`users` are requests that hold a worker, this one or one that is being seen off.

    `on_idle` is called when the last of them leaves. `leaving` keeps new ones out while the supervisor ends a worker.
    While it is `handing_over`, the worker serves those who read until the next one takes its place.
    `seen_off` are workers whose places have been taken, and who end what they have begun.
    """

    graph_id: str
    state: State = State.CLOSED
    worker: Worker | None = None
    leaving: bool = False
    handing_over: bool = False
    seen_off: list[Worker] = attrs.field(factory=list)
    users: int = 0
    waiting: int = 0
    last_used: float = 0.0
    restarts: int = 0
    last_error: str | None = None
    retry_at: float | None = None
    on_idle: Callable[[], None] = _no_listener
    swap_wanted: trio.Event = attrs.field(factory=trio.Event)
    _refusal: NodeError | None = None
    _wanted: trio.Event = attrs.field(factory=trio.Event)
    _changed: trio.Event = attrs.field(factory=trio.Event)
    _emptied: trio.Event = attrs.field(factory=trio.Event)

    def usable(self) -> Worker | None:
        """The worker, when requests may have it now."""
        worker = self.worker
        return worker if worker is not None and not self.leaving and not worker.process.doomed else None

    async def wait_usable(self) -> Worker:
        """Asks for the database to be open and waits for it. Raises the reason when it will not be."""
        while True:
            worker = self.usable()
            if worker is not None:
                return worker
            if self._refusal is not None:
                raise self._refusal
            if self.state is State.FAILED:
                raise self._failed()
            self._wanted.set()
            self.waiting += 1
            try:
                await self._changed.wait()
            finally:
                self.waiting -= 1

    def _failed(self) -> Unavailable:
        detail = (
            f"the database cannot be opened: {self.last_error}; it is tried again by itself, "
            f"or at once by POST /admin/databases/{self.graph_id}/reopen"
        )
        after = 5.0 if self.retry_at is None else max(1.0, self.retry_at - trio.current_time())
        return Unavailable(detail, code="database_failed", committed=False, is_statement=True, retry_after=after)

    @property
    def busy(self) -> bool:
        return bool(self.users or self.waiting)

    def enter(self, now: float) -> None:
        self.users += 1
        self.last_used = now

    def leave(self, now: float) -> None:
        self.users -= 1
        self.last_used = now
        if not self.users:
            self._emptied.set()
            self.on_idle()

    def unused(self) -> None:
        """Whoever had the database opened may have gone without entering."""
        if not self.busy:
            self.on_idle()

    async def wait_changed(self) -> None:
        """Until the state, or who may use the database, is another one."""
        await self._changed.wait()

    async def wait_empty(self) -> None:
        while self.users:
            self._emptied = trio.Event()
            await self._emptied.wait()

    async def wait_replaced(self, worker: Worker) -> None:
        """Until the worker is no longer the database's own."""
        while self.worker is worker:
            await self._changed.wait()

    async def wait_wanted(self) -> None:
        """Returns at once when a request waits already."""
        await self._wanted.wait()

    def ask_to_swap(self) -> None:
        """The supervisor replaces the worker; who only reads may use it until then."""
        self.swap_wanted.set()

    async def wait_swapped(self, worker: Worker) -> None:
        """Asks for another worker in the place of this one, and waits until it takes no new users."""
        self.ask_to_swap()
        self.waiting += 1
        try:
            while self.usable() is worker:
                await self._changed.wait()
        finally:
            self.waiting -= 1

    def begin_leaving(self) -> None:
        """New users wait from now on."""
        self.leaving = True
        self._notify()

    def begin_handing_over(self) -> None:
        """The next worker opens beside this one, which the supervisor has made sure of."""
        self.handing_over = True
        self._notify()

    def no_longer_wanted(self) -> None:
        if not self.waiting:
            self._wanted = trio.Event()

    def want(self) -> None:
        self._wanted.set()

    def refuse(self, reason: NodeError) -> None:
        """From now on whoever waits, or comes, gets this: the database is being deleted or the node ends."""
        self._refusal = reason
        self.leaving = True
        self._notify()

    async def wait_refused(self) -> NodeError:
        """Until the database is being deleted or the node ends: the reason."""
        while self._refusal is None:
            await self._changed.wait()
        return self._refusal

    def move(self, state: State, *, worker: Worker | None = None) -> None:
        """The only way a state changes."""
        if state is self.state and worker is self.worker:
            return
        if state not in _NEXT[self.state]:
            raise AssertionError(f"{self.graph_id}: {self.state} cannot become {state}")
        self.state = state
        self.worker = worker
        self.handing_over = False
        if state in _OPEN:
            self.leaving = self._refusal is not None
            self.unused()
        self._notify()

    def workers(self) -> list[Worker]:
        """All that live."""
        own = [] if self.worker is None or self.worker in self.seen_off else [self.worker]
        return own + self.seen_off

    def _notify(self) -> None:
        changed, self._changed = self._changed, trio.Event()
        changed.set()
