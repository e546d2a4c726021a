"""Sessions of a program on Trio: one WebSocket to one database, for any number of tasks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Self

import attrs
import trio

from kuzu_client._core.wire import Endpoint
from kuzu_client.config import KuzuClientConfig
from kuzu_client.errors import KuzuTimeoutError, ServiceUnavailableError
from kuzu_client.session.asking import Asking
from kuzu_client.session.orders import Pending
from kuzu_client.session.socket import Address, Dial, Socket, connect, run_socket
from kuzu_client.session.traffic import Traffic
from kuzu_client.session.transaction import Transaction


class Session(Asking):
    """Of `open_session`. There is no reconnecting: what a session is for does not outlive its socket.

    When that is lost every call raises the reason: KuzuTransientError, or what the close code means.
    """

    def __init__(self, traffic: Traffic, graph_id: str) -> None:
        super().__init__(traffic, graph_id)
        # Held by a transaction from its begin to its end, and by others while they post: whoever comes later waits.
        self._gate = trio.Semaphore(1)
        self._owner: trio.lowlevel.Task | None = None

    @property
    def under_way(self) -> int:
        """Orders that the node has not answered yet, with those that nobody waits for any more."""
        return self._traffic.under_way

    async def ping(self) -> None:
        """Returns when the node has answered; overtakes queries."""
        await self._traffic.ping()

    @asynccontextmanager
    async def transaction(self, *, read_only: bool = False) -> AsyncIterator[Transaction]:
        """Commits at the end of the block; rolls back on any exception, cancellation included.

        The session's own `query` and other transactions wait until it has ended; what belongs to it is asked of it.
        Within its block, the task that opened it gets RuntimeError for them, because they would wait for ever.
        """
        self._refuse_deadlock()
        self._refuse_own_transaction("open another transaction")
        await self._gate.acquire()
        transaction = Transaction(self._traffic, self.graph_id, read_only=read_only)
        self._owner = trio.lowlevel.current_task()
        try:
            await transaction.begin()
            try:
                yield transaction
            except BaseException as error:
                await transaction.roll_back()
                if transaction.failure is not None and transaction.echoes(error):
                    raise transaction.failure from transaction.failure.__cause__
                raise
            await transaction.commit()
        finally:
            transaction.end()
            self._owner = None
            self._gate.release()

    async def _admit(self, order: Pending) -> None:
        self._refuse_deadlock()
        self._refuse_own_transaction("ask the session")
        try:
            self._gate.acquire_nowait()
        except trio.WouldBlock:
            await self._gate.acquire()
        try:
            await self._traffic.enter(order)
        finally:
            self._gate.release()

    def _give_up(self, order: Pending) -> None:
        self._traffic.abandon(order)

    def _leave(self, order: Pending) -> None:
        self._traffic.abandon(order)

    def _refuse_own_transaction(self, wish: str) -> None:
        if self._owner is trio.lowlevel.current_task():
            raise RuntimeError(
                f"this task cannot {wish} within its transaction, whose end it would wait for: use the transaction"
            )


@asynccontextmanager
async def open_session(
    endpoint: Endpoint, graph_id: str, config: KuzuClientConfig, *, dial: Dial = connect
) -> AsyncIterator[Session]:
    """The session is usable when this enters: key and database have been accepted.

    Leaving the block is its only end; what other tasks have under way fails then. Raises KuzuClientError for a wrong
    key or database, KuzuTransientError when the node cannot be reached within the configured timeout, ValueError for a
    graph that cannot have that name. Exceptions of the block come out as they are.
    """
    if not endpoint.base_url:
        raise ServiceUnavailableError("no endpoint: give base_url, or set KUZU_API_URL", committed=False)
    address = Address.of(endpoint, graph_id)
    thrown: BaseException | None = None
    group: BaseExceptionGroup[BaseException] | None = None
    try:
        async with trio.open_nursery(strict_exception_groups=True) as nursery:
            try:
                with Tasks(nursery) as tasks:
                    traffic = await _open(tasks, address, config, dial)
                    try:
                        yield Session(traffic, graph_id)
                    finally:
                        await traffic.aclose()
            except BaseException as error:
                thrown = error
                raise
    except BaseExceptionGroup as found:
        group = found
    if group is not None:
        raise _sole(group, thrown)


@attrs.define(eq=False)
class Tasks:
    """Those of one session. Cancelling its block does not end them, leaving it does: rollback and leave need them."""

    _nursery: trio.Nursery
    _scopes: list[trio.CancelScope] = attrs.field(factory=list)

    async def start_socket(self, stream: trio.abc.Stream, address: Address) -> Socket:
        """Cancelled before the node has accepted, it ends at once."""
        scope = self._scope()

        async def run(*, task_status: trio.TaskStatus[Socket]) -> None:
            with scope:
                await run_socket(stream, address, task_status=task_status)

        socket: Socket = await self._nursery.start(run, name=f"socket {address.path}")
        scope.shield = True
        return socket

    def start_soon(self, run: Callable[[], Awaitable[None]], name: str) -> None:
        scope = self._scope()
        scope.shield = True

        async def run_within() -> None:
            with scope:
                await run()

        self._nursery.start_soon(run_within, name=name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for scope in self._scopes:
            scope.cancel()

    def _scope(self) -> trio.CancelScope:
        self._scopes.append(trio.CancelScope())
        return self._scopes[-1]


async def _open(tasks: Tasks, address: Address, config: KuzuClientConfig, dial: Dial) -> Traffic:
    try:
        with trio.fail_after(config.timeout):
            stream = await dial(address, config)
            traffic = Traffic(await tasks.start_socket(stream, address))
            tasks.start_soon(traffic.run_sender, f"sender {address.path}")
            tasks.start_soon(traffic.run_receiver, f"receiver {address.path}")
            tasks.start_soon(traffic.run_keepalive, f"keepalive {address.path}")
            # The node accepts before it looks at the key; its answer to this comes after.
            await traffic.ping()
            return traffic
    except trio.TooSlowError:
        raise KuzuTimeoutError("the session was not accepted in time", committed=False) from None


def _sole(group: BaseExceptionGroup[BaseException], thrown: BaseException | None) -> BaseException:
    """What the block has thrown, else what a task of the session has: a nursery wraps either."""
    if thrown is not None and not isinstance(thrown, trio.Cancelled):
        return thrown
    _, errors = group.split(trio.Cancelled)
    if errors is None:
        return thrown or group
    found: BaseException = errors
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found
