"""Results as they come: chunks, rows, raw lines, Arrow batches. Nothing is read before it is asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from kuzu_client._async.streams import AsyncStream
from kuzu_client._core.arrow import BatchReader
from kuzu_client._core.lines import LineCutter
from kuzu_client._core.optional import required
from kuzu_client._core.results import ChunkReader
from kuzu_client.answers import Chunk

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")


class AsyncBody:
    """The body of one answer: asked for at the first use, and closed once."""

    def __init__(self, opening: AbstractAsyncContextManager[AsyncStream]) -> None:
        self._opening = opening
        self._pieces: AsyncIterator[bytes] | None = None
        self._closed = False

    async def open(self) -> AsyncIterator[bytes]:
        if self._closed:
            raise RuntimeError("the result has been closed")
        if self._pieces is None:
            stream = await self._opening.__aenter__()
            self._pieces = stream.pieces()
        return self._pieces

    async def next(self) -> bytes | None:
        """The next bytes, None at the end."""
        pieces = await self.open()
        try:
            return await pieces.__anext__()
        except StopAsyncIteration:
            return None

    async def aclose(self) -> None:
        """What has not been read never will be: the node stops the query."""
        closed, self._closed = self._closed, True
        if self._pieces is not None and not closed:
            await self._opening.__aexit__(None, None, None)


class AsyncOpened:
    """Base of what reads a body: usable in a block, or by iterating; closed at the end of either, and on errors."""

    def __init__(self, opening: AbstractAsyncContextManager[AsyncStream]) -> None:
        self._body = AsyncBody(opening)
        self._waiting: deque[Any] = deque()
        self._ended = False

    async def __aenter__(self) -> Self:
        await self._body.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """For who iterates without a block and leaves before the end. What has come already is dropped as well."""
        self._waiting.clear()
        await self._body.aclose()


class AsyncResultStream(AsyncOpened):
    """Iterating gives chunks, mappings as the contract has them; `rows` and `lines` give the same in other pieces.

    Errors in the midst of the result are raised where they stand, with `committed`. A result that ends without its last
    chunk is a KuzuTransientError: what came is not all.
    """

    def __init__(self, opening: AbstractAsyncContextManager[AsyncStream]) -> None:
        super().__init__(opening)
        self._reader = ChunkReader()
        self._cutter = LineCutter()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk:
        return await self._taken(self._reader.chunk)

    def rows(self) -> AsyncRows:
        """One mapping a row. Chunks cost less where rows need not come one by one."""
        return AsyncRows(self)

    def lines(self) -> AsyncLines:
        """Whole lines as they were sent, without their line ends; only the last is decoded, for its error."""
        return AsyncLines(self)

    async def next_line(self) -> bytes:
        return await self._taken(self._reader.checked)

    async def _taken(self, take: Callable[[bytes], T]) -> T:
        """The next line through `take`. Raises StopAsyncIteration behind the last one."""
        try:
            while not self._waiting and not self._ended:
                piece = await self._body.next()
                self._ended = piece is None
                lines = self._cutter.finish() if piece is None else self._cutter.feed(piece)
                self._waiting.extend(line for line in lines if line)
            if self._waiting:
                return take(self._waiting.popleft())
            self._reader.finish()
        except BaseException:
            await self.aclose()
            raise
        await self.aclose()
        raise StopAsyncIteration


class AsyncLines:
    """The lines of a result stream, which they close at their end."""

    def __init__(self, stream: AsyncResultStream) -> None:
        self._stream = stream

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        return await self._stream.next_line()


class AsyncRows:
    """The rows of a result stream, which is closed with them."""

    def __init__(self, stream: AsyncResultStream) -> None:
        self._stream = stream
        self._rows: Iterator[dict[str, Any]] = iter(())

    async def __aenter__(self) -> Self:
        await self._stream.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stream.aclose()

    async def aclose(self) -> None:
        await self._stream.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> dict[str, Any]:
        # Not a generator: those that are left before their end wait for the garbage collector.
        while True:
            try:
                return next(self._rows)
            except StopIteration:
                chunk = await self._stream.__anext__()
            self._rows = iter(chunk["data"])


class AsyncArrowStream(AsyncOpened):
    """Iterating gives record batches, each as soon as it is there. One that ends early is a KuzuTransientError."""

    def __init__(self, opening: AbstractAsyncContextManager[AsyncStream]) -> None:
        super().__init__(opening)
        self._reader = BatchReader()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> pa.RecordBatch:
        while not self._waiting and not self._ended:
            await self._feed()
        if not self._waiting:
            raise StopAsyncIteration
        batch: pa.RecordBatch = self._waiting.popleft()
        return batch

    async def schema(self) -> pa.Schema:
        """Comes before the first batch, also where there is none."""
        while self._reader.schema is None:
            await self._feed()
        return self._reader.schema

    async def read_all(self) -> pa.Table:
        """What is left of the result as one table."""
        batches = [batch async for batch in self]
        return required("pyarrow", "query_arrow").Table.from_batches(batches, await self.schema())

    async def _feed(self) -> None:
        """Take one piece; the end of the body closes it."""
        try:
            piece = await self._body.next()
            if piece is None:
                self._reader.finish()
            else:
                self._waiting.extend(self._reader.feed(piece))
        except BaseException:
            await self.aclose()
            raise
        if piece is None:
            self._ended = True
            await self.aclose()
