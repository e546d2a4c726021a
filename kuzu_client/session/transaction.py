"""A transaction of a session: one at a time, and only what is asked of the transaction itself runs in it."""

from __future__ import annotations

from typing import Final

import trio

from kuzu_client.errors import KuzuAPIError
from kuzu_client.session.asking import Asking
from kuzu_client.session.orders import Pending
from kuzu_client.session.protocol import Effect, Kind, Phase
from kuzu_client.session.traffic import Traffic

ABORTED: Final = "transaction_aborted"
# What a cancelled task waits at most to learn that its transaction is rolled back, or has committed.
SETTLING_SECONDS: Final = 5.0


class Transaction(Asking):
    """Commits when its block ends well, and else rolls back.

    After an error every call raises `transaction_aborted`, and the block ends with the first error. A query that is
    cancelled is such an error, since nobody can tell how far it got.
    """

    def __init__(self, traffic: Traffic, graph_id: str, *, read_only: bool) -> None:
        super().__init__(traffic, graph_id)
        self.read_only = read_only
        self.failure: KuzuAPIError | None = None
        self._ended = False

    async def begin(self) -> None:
        """Waits for the writer lock unless it only reads."""
        order = self._traffic.order(Kind.BEGIN, read_only=self.read_only)
        await self._traffic.enter(order)
        try:
            await order.ended.wait()
        except BaseException:
            self._traffic.abandon(order)
            # Sent, it may have taken effect before the cancel; without a transaction the rollback is refused.
            if order.phase is not Phase.ENDED:
                rollback = self._traffic.order(Kind.ROLLBACK)
                rollback.abandoned = True
                self._traffic.post(rollback)
            raise
        if order.failure is not None:
            raise order.failure

    async def commit(self) -> None:
        """Raises the first error of the transaction instead, when it had one."""
        if self.failure is not None:
            await self.roll_back()
            raise self.failure
        order = self._traffic.order(Kind.COMMIT, read_only=self.read_only)
        self._traffic.post(order)
        try:
            await order.ended.wait()
        except BaseException:
            # It cannot be called back, so its outcome is worth a moment.
            with trio.move_on_after(SETTLING_SECONDS, shield=True):
                await order.ended.wait()
            if order.phase is not Phase.ENDED:
                self._traffic.abandon(order, cancel=False)
                raise
        if order.failure is not None:
            await self.roll_back()  # where the commit was refused, the node waits for it
            raise order.failure

    async def roll_back(self) -> None:
        """Does not raise: a transaction that cannot be rolled back ends with its socket."""
        if self._traffic.lost:
            return
        order = self._traffic.order(Kind.ROLLBACK)
        self._traffic.post(order)
        with trio.move_on_after(SETTLING_SECONDS, shield=True):
            await order.ended.wait()

    def end(self) -> None:
        """Whoever still has it can do nothing with it."""
        self._ended = True

    def echoes(self, error: BaseException) -> bool:
        """It only says that there was an error before it."""
        return isinstance(error, KuzuAPIError) and error.code == ABORTED and self.failure is not None

    async def _admit(self, order: Pending) -> None:
        self._refuse_deadlock()
        self._check()
        order.effect = Effect.NONE  # what is lost before the commit is rolled back
        order.on_failure = self._note
        await self._traffic.enter(order)

    def _check(self) -> None:
        if self._ended:
            raise RuntimeError("the transaction has ended")
        if self.failure is not None:
            detail = "an earlier error has ended the transaction; leave its block"
            raise KuzuAPIError(detail, status_code=409, code=ABORTED, committed=False) from self.failure

    def _note(self, error: KuzuAPIError) -> None:
        if self.failure is None:
            self.failure = error

    def _give_up(self, order: Pending) -> None:
        if order.phase is not Phase.ENDED:
            self._traffic.abandon(order)
            detail = "a query of the transaction was cancelled"
            self._note(KuzuAPIError(detail, status_code=409, code=ABORTED, committed=False))

    def _leave(self, order: Pending) -> None:
        # A cancel would abort the transaction; what is left of the rows is taken and dropped.
        self._traffic.abandon(order, cancel=False)
