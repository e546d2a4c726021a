"""Orders that tasks wait for, and the rows of an answer as they come."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import attrs
import trio

from kuzu_client._core.optional import required
from kuzu_client.answers import QueryResult
from kuzu_client.errors import KuzuAPIError, KuzuServerError
from kuzu_client.session.protocol import Batch, Order

if TYPE_CHECKING:
    import pyarrow as pa

# Batches of a stream that wait for its reader. Behind them the socket is not read.
BATCHES_AHEAD: Final = 4


@attrs.define(eq=False)
class Pending(Order):
    """`head` is set when the columns or the end are there. Without a `channel` the batches are collected."""

    head: trio.Event = attrs.field(factory=trio.Event)
    ended: trio.Event = attrs.field(factory=trio.Event)
    collected: list[Batch] = attrs.field(factory=list)
    channel: trio.MemorySendChannel[Batch] | None = None
    on_failure: Callable[[KuzuAPIError], None] | None = None

    def drop(self) -> None:
        """What comes for it from now on is of no use."""
        self.abandoned = True
        self.collected.clear()

    def wake(self) -> None:
        """It has ended."""
        if self.failure is not None and self.on_failure is not None:
            self.on_failure(self.failure)
        if self.channel is not None:
            self.channel.close()
        self.head.set()
        self.ended.set()


def rows_of(batch: Batch) -> list[dict[str, Any]]:
    if isinstance(batch, bytes):
        raise KuzuServerError("an Arrow frame came for a query in JSON")
    return batch


def table_of(batch: Batch) -> pa.Table:
    """Of one binary message."""
    if not isinstance(batch, bytes):
        raise KuzuServerError("rows in JSON came for a query in Arrow")
    ipc, lib = required("pyarrow.ipc", "format='arrow'"), required("pyarrow", "format='arrow'")
    try:
        return ipc.open_stream(batch).read_all()
    except lib.ArrowException as error:
        raise KuzuServerError("a frame is no Arrow stream") from error


def result_of(order: Pending, graph_id: str) -> QueryResult:
    """The whole answer of a query in JSON."""
    batches = order.collected
    data = rows_of(batches[0]) if len(batches) == 1 else list(chain.from_iterable(map(rows_of, batches)))
    return QueryResult(
        columns=order.columns,
        data=data,
        row_count=order.rows_seen,
        execution_time_ms=order.execution_time_ms,
        database=graph_id,
    )


def whole_table(order: Pending) -> pa.Table:
    """The whole answer of a query in Arrow."""
    if not order.collected:
        raise KuzuServerError("an Arrow answer came without its frame")
    return required("pyarrow", "format='arrow'").concat_tables([table_of(batch) for batch in order.collected])


@attrs.define(eq=False)
class Progress:
    """What the reader of a stream has taken."""

    _order: Pending
    _channel: trio.MemoryReceiveChannel[Batch]
    finished: bool = False

    @property
    def columns(self) -> list[str]:
        return self._order.columns

    @property
    def row_count(self) -> int:
        """Of what has come; of the whole answer when the iteration has ended."""
        return self._order.rows_seen

    @property
    def execution_time_ms(self) -> float:
        """Known when the iteration has ended."""
        return self._order.execution_time_ms

    async def next_batch(self) -> Batch:
        try:
            return await self._channel.receive()
        except trio.EndOfChannel:
            self.finished = True
            if self._order.failure is not None:
                raise self._order.failure from None
            raise StopAsyncIteration from None


class RowStream(Progress):
    """The rows of an answer in lists of mappings, as they come. To be read to its end or left with its block."""

    def __aiter__(self) -> RowStream:
        return self

    async def __anext__(self) -> list[dict[str, Any]]:
        return rows_of(await self.next_batch())


@attrs.define(eq=False)
class BatchStream(Progress):
    """An answer as pyarrow's record batches, as they come."""

    _waiting: deque[pa.RecordBatch] = attrs.field(factory=deque)

    def __aiter__(self) -> BatchStream:
        return self

    async def __anext__(self) -> pa.RecordBatch:
        while not self._waiting:
            self._waiting.extend(table_of(await self.next_batch()).to_batches())
        return self._waiting.popleft()
