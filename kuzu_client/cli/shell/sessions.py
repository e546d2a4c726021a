"""A session behind the shell. The main thread reads lines and gets the signals; Trio runs in a thread beside it."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import attrs
import trio

from kuzu_client._async.client import AsyncKuzuClient
from kuzu_client.cli.results import Shown
from kuzu_client.cli.settings import Settings
from kuzu_client.cli.shell.backends import Stopped
from kuzu_client.cli.shell.wishes import Act, Wish, fetch
from kuzu_client.cli.terminal import Terminal
from kuzu_client.errors import KuzuAPIError
from kuzu_client.session import Session, Transaction

T = TypeVar("T")
# Beyond one that runs and one that was given up: people do not type faster than statements are stopped.
WISHES = 16
STARTING_SECONDS = 30.0
# After Ctrl-C the node is told at once, so this is only for a loop that hangs.
STOPPING_SECONDS = 10.0
# A transaction is rolled back when nothing comes for KUZU_TRANSACTION_IDLE_TIMEOUT; people think for longer.
KEEPALIVE_SECONDS = 10.0
ALIVE_SECONDS = 5.0


class Withdrawn(Exception):
    """Leaves the block of a transaction that is to be rolled back."""


@attrs.define(eq=False)
class SessionBackend:
    """The main thread's side; `Desk` is the other."""

    _desk: Desk
    unavailable: str = ""

    @property
    def in_transaction(self) -> bool:
        return self._desk.transaction is not None

    @property
    def aborted(self) -> bool:
        transaction = self._desk.transaction
        return transaction is not None and transaction.failure is not None

    def query(self, text: str) -> Shown:
        shown = self._ask(Act.QUERY, text)
        assert shown is not None
        return shown

    def begin(self, *, read_only: bool) -> None:
        self._ask(Act.BEGIN_READING if read_only else Act.BEGIN)

    def commit(self) -> None:
        self._ask(Act.COMMIT)

    def roll_back(self) -> None:
        self._ask(Act.ROLLBACK)

    def _ask(self, act: Act, text: str = "") -> Shown | None:
        wish = Wish(act, text)
        self._desk.post(wish)
        try:
            return wish.answer.result()
        except KeyboardInterrupt:
            self._desk.withdraw(wish)
        # A statement that ended at this moment has its result.
        return wish.answer.result(STOPPING_SECONDS)


@attrs.define(eq=False)
class Desk:
    """Trio's side: one session, opened when it is first needed, and again after it was lost outside a transaction."""

    _settings: Settings
    _graph_id: str
    _limit: int
    _lost: Callable[[], None]
    transaction: Transaction | None = None
    _started: Future[trio.lowlevel.TrioToken] = attrs.field(factory=Future)
    _send: trio.MemorySendChannel[Wish] | None = None
    _current: Wish | None = None

    def main(self) -> None:
        """The thread. Nobody may wait for it when it has ended."""
        try:
            trio.run(self._run)
        except BaseException as error:
            self._give_up(error)
            raise

    def post(self, wish: Wish) -> None:
        self._token().run_sync_soon(self._accept, wish)

    def withdraw(self, wish: Wish) -> None:
        self._token().run_sync_soon(wish.withdraw)

    def leave(self) -> None:
        self._token().run_sync_soon(self._hang_up)

    def _token(self) -> trio.lowlevel.TrioToken:
        return self._started.result(STARTING_SECONDS)

    def _accept(self, wish: Wish) -> None:
        assert self._send is not None
        try:
            self._send.send_nowait(wish)
        except (trio.WouldBlock, trio.BrokenResourceError):
            wish.answer.set_exception(Stopped())

    def _hang_up(self) -> None:
        assert self._send is not None
        self._send.close()

    def _give_up(self, error: BaseException) -> None:
        if not self._started.done():
            self._started.set_exception(error)
        self._settle(error)

    def _settle(self, error: BaseException) -> None:
        """For the wish that nobody has answered, if there is one."""
        if self._current is not None and not self._current.answer.done():
            self._current.answer.set_exception(error)

    async def _run(self) -> None:
        self._send, wishes = trio.open_memory_channel[Wish](WISHES)
        settings = self._settings
        overrides: dict[str, Any] = {} if settings.timeout is None else {"timeout": settings.timeout}
        async with AsyncKuzuClient(settings.url, settings.api_key, graph_id=self._graph_id, **overrides) as client:
            self._started.set_result(trio.lowlevel.current_trio_token())
            wish = await self._next(wishes)
            while wish is not None:
                wish = await self._with_session(client, wishes, wish)

    async def _next(self, wishes: trio.MemoryReceiveChannel[Wish]) -> Wish | None:
        """None when the shell is left."""
        try:
            self._current = await wishes.receive()
        except trio.EndOfChannel:
            return None
        return self._current

    async def _with_session(
        self, client: AsyncKuzuClient, wishes: trio.MemoryReceiveChannel[Wish], wish: Wish
    ) -> Wish | None:
        """Carry out wishes until the session is lost. The one that comes next, None when the shell is left."""
        try:
            with wish.opening:
                async with client.session() as session:
                    wish.opened = True
                    return await self._converse(session, wishes, wish)
        except KuzuAPIError as error:
            self._settle(error)
        else:
            self._settle(Stopped())
        return await self._next(wishes)

    async def _converse(self, session: Session, wishes: trio.MemoryReceiveChannel[Wish], first: Wish) -> Wish | None:
        wish: Wish | None = first
        while wish is not None:
            if wish.act in (Act.BEGIN, Act.BEGIN_READING):
                if not await self._transact(session, wishes, wish):
                    return None
            else:
                await carry_out(wish, partial(fetch, session, wish.text, self._limit, self._settings.timeout))
            wish = await self._next(wishes)
            if wish is not None and not await _alive(session):
                self._lost()
                return wish
        return None

    async def _transact(self, session: Session, wishes: trio.MemoryReceiveChannel[Wish], begin: Wish) -> bool:
        """From `begin` to the end of its transaction. False when the shell is left within it."""
        wish: Wish | None = begin
        try:
            with begin.scope:
                async with session.transaction(read_only=begin.act is Act.BEGIN_READING) as self.transaction:
                    begin.answer.set_result(None)
                    wish = await self._within(session, self.transaction, wishes)
                    if wish is None or wish.act is Act.ROLLBACK:
                        raise Withdrawn
        except Withdrawn:
            error: Exception | None = None
        except KuzuAPIError as failure:
            error = failure
        else:
            error = Stopped() if begin.scope.cancelled_caught else None
        self.transaction = None
        if wish is None:
            return False
        if error is None:
            wish.answer.set_result(None)
        else:
            wish.answer.set_exception(error)
        return True

    async def _within(
        self, session: Session, transaction: Transaction, wishes: trio.MemoryReceiveChannel[Wish]
    ) -> Wish | None:
        """Carry out queries until the transaction is to end: by which wish, None when the shell is left."""
        while True:
            wish = await kept_alive(session, partial(self._next, wishes))
            if wish is None or wish.act in (Act.COMMIT, Act.ROLLBACK):
                return wish
            await carry_out(wish, partial(fetch, transaction, wish.text, self._limit, self._settings.timeout))


async def kept_alive(session: Session, wait: Callable[[], Awaitable[T]]) -> T:
    """What comes of `wait`, while the session's transaction is kept from idling."""
    while True:
        with trio.move_on_after(KEEPALIVE_SECONDS):
            return await wait()
        await _alive(session)  # one that is lost is told when the next statement comes


async def carry_out(wish: Wish, work: Callable[[], Awaitable[Shown]]) -> None:
    """Its answer is the result of `work`, its error, or Stopped when it was withdrawn."""
    with wish.scope:
        try:
            shown = await work()
        except KuzuAPIError as error:
            wish.answer.set_exception(error)
        else:
            wish.answer.set_result(shown)
        return
    wish.answer.set_exception(Stopped())


async def _alive(session: Session) -> bool:
    with trio.move_on_after(ALIVE_SECONDS):
        try:
            await session.ping()
        except KuzuAPIError:
            return False
        return True
    return False


@contextmanager
def session_backend(terminal: Terminal, graph_id: str, limit: int) -> Iterator[SessionBackend]:
    """A transaction that is open at the end is rolled back."""

    def lost() -> None:
        terminal.note("the session was lost, and is a new one now; projected graphs are gone", style="yellow")

    desk = Desk(terminal.settings, graph_id, limit, lost)
    thread = threading.Thread(target=desk.main, name="session", daemon=True)
    thread.start()
    try:
        yield SessionBackend(desk)
    finally:
        desk.leave()
        thread.join(STOPPING_SECONDS)
