"""What a session and its transactions have in common: queries, and how they are waited for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

import trio

from kuzu_client.answers import QueryResult
from kuzu_client.session.orders import (
    BATCHES_AHEAD,
    BatchStream,
    Pending,
    Progress,
    RowStream,
    result_of,
    whole_table,
)
from kuzu_client.session.protocol import Batch, Effect, Format, Kind, Phase, query_text
from kuzu_client.session.traffic import Traffic

if TYPE_CHECKING:
    import pyarrow as pa

StreamT = TypeVar("StreamT", bound=Progress)


class Asking(ABC):
    """Whoever uses it decides when an order may go (`_admit`) and what giving one up means (`_give_up`, `_leave`)."""

    def __init__(self, traffic: Traffic, graph_id: str) -> None:
        self._traffic = traffic
        self.graph_id = graph_id

    @overload
    async def query(
        self,
        cypher: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,  # noqa: ASYNC109
        read_only: bool = False,
        format: Literal["json"] = "json",
    ) -> QueryResult: ...

    @overload
    async def query(
        self,
        cypher: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,  # noqa: ASYNC109
        read_only: bool = False,
        format: Literal["arrow"],
    ) -> pa.Table: ...

    async def query(
        self,
        cypher: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 # the node keeps it; it is part of the order
        read_only: bool = False,
        format: Format = "json",  # noqa: A002 # the name that the contract has for it
    ) -> QueryResult | pa.Table:
        """The whole answer. Any number of tasks may ask at once; answers come in the order in which they asked.

        Cancelled, it has the node stop the query and does not wait for that. `timeout` in seconds is the node's to
        keep, from the query's turn on. `read_only` has the node refuse a text that writes.
        """
        order = self._query(cypher, parameters, timeout, read_only, format)
        await self._admit(order)
        try:
            await order.ended.wait()
        except BaseException:
            self._give_up(order)
            raise
        if order.failure is not None:
            raise order.failure
        return result_of(order, self.graph_id) if format == "json" else whole_table(order)

    def stream(
        self,
        cypher: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        read_only: bool = False,
    ) -> AbstractAsyncContextManager[RowStream]:
        """The rows as they come, a few batches ahead of the reader.

        All answers share one socket and come in order, so a reader that stops holds up the answers behind its own, and
        after KUZU_STREAM_STALL_TIMEOUT the node ends the session. The task that reads cannot ask anything else of the
        session before it has read everything or left the block: RuntimeError.
        """
        return self._stream(self._query(cypher, parameters, timeout, read_only, "json"), RowStream)

    def stream_arrow(
        self,
        cypher: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        read_only: bool = False,
    ) -> AbstractAsyncContextManager[BatchStream]:
        """As `stream`, in pyarrow's record batches."""
        return self._stream(self._query(cypher, parameters, timeout, read_only, "arrow"), BatchStream)

    def _query(
        self, cypher: str, given: Mapping[str, Any] | None, timeout: float | None, read_only: bool, answer: Format
    ) -> Pending:
        order_id = self._traffic.new_id()
        text = query_text(order_id, cypher, given, timeout=timeout, read_only=read_only, answer=answer)
        return Pending(order_id, Kind.QUERY, text, Effect.NONE if read_only else Effect.UNKNOWN)

    @asynccontextmanager
    async def _stream(self, order: Pending, kind: type[StreamT]) -> AsyncIterator[StreamT]:
        order.channel, receive = trio.open_memory_channel[Batch](BATCHES_AHEAD)
        task = trio.lowlevel.current_task()
        with receive:
            await self._admit(order)
            try:
                await order.head.wait()
                if order.failure is not None and order.phase is Phase.ENDED and not order.columns:
                    raise order.failure
                self._traffic.readers[task] = rows = kind(order, receive)
                yield rows
            except BaseException:
                self._give_up(order)
                raise
            else:
                self._leave(order)
            finally:
                self._traffic.readers.pop(task, None)

    def _refuse_deadlock(self) -> None:
        reading = self._traffic.readers.get(trio.lowlevel.current_task())
        if reading is not None and not reading.finished:
            raise RuntimeError(
                "this task reads a stream of the same session, and answers come in order:"
                " read it to its end first, ask from another session, or keep the rows"
            )

    @abstractmethod
    async def _admit(self, order: Pending) -> None:
        """Post it when its turn comes. Cancelled or refused, nothing was sent."""

    @abstractmethod
    def _give_up(self, order: Pending) -> None:
        """Its task has been cancelled, or has failed within the stream."""

    @abstractmethod
    def _leave(self, order: Pending) -> None:
        """Its task has what it wants of the stream."""
