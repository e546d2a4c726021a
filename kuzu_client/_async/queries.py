"""Cypher: answers as a whole, in pieces, as tables; transactions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, overload

from kuzu_client._async.base import AsyncEndpoints
from kuzu_client._async.results import AsyncArrowStream, AsyncResultStream, AsyncRows
from kuzu_client._core import requests
from kuzu_client._core.optional import required
from kuzu_client._core.requests import Statement
from kuzu_client._core.results import as_answer, entries
from kuzu_client.answers import QueryResult, TransactionResult

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

Parameters = Mapping[str, Any] | None


class AsyncQueries(AsyncEndpoints):
    """`graph_id` is the client's own by default. `timeout` is in seconds, for waiting and execution, and the node's to
    keep. With `read_only` a text that writes is refused, and the call is repeated when its outcome is unknown.
    """

    @overload
    async def query(
        self,
        cypher: str,
        graph_id: str | None = None,
        parameters: Parameters = None,
        streaming: Literal[False] = False,
        timeout: float | None = None,
        read_only: bool = False,
    ) -> QueryResult: ...

    @overload
    async def query(
        self,
        cypher: str,
        graph_id: str | None = None,
        parameters: Parameters = None,
        *,
        streaming: Literal[True],
        timeout: float | None = None,
        read_only: bool = False,
    ) -> AsyncResultStream: ...

    @overload
    async def query(
        self,
        cypher: str,
        graph_id: str | None,
        parameters: Parameters,
        streaming: Literal[True],
        timeout: float | None = None,
        read_only: bool = False,
    ) -> AsyncResultStream: ...

    @overload
    async def query(
        self,
        cypher: str,
        graph_id: str | None = None,
        parameters: Parameters = None,
        streaming: bool = False,
        timeout: float | None = None,
        read_only: bool = False,
    ) -> QueryResult | AsyncResultStream: ...

    async def query(
        self,
        cypher: str,
        graph_id: str | None = None,
        parameters: Parameters = None,
        streaming: bool = False,
        timeout: float | None = None,
        read_only: bool = False,
    ) -> QueryResult | AsyncResultStream:
        """One text. With `streaming` the request goes out when the result is first used, and its errors come then."""
        if streaming:
            return self.stream(cypher, graph_id, parameters, timeout=timeout, read_only=read_only)
        call = requests.query(cypher, self._graph(graph_id), parameters, timeout=timeout, read_only=read_only)
        return as_answer(QueryResult, await self._caller.call(call))

    def stream(
        self,
        cypher: str,
        graph_id: str | None = None,
        parameters: Parameters = None,
        *,
        timeout: float | None = None,
        read_only: bool = False,
    ) -> AsyncResultStream:
        """Chunks of rows as they are produced; what is not read waits in the node. Leaving the block ends the query."""
        graph = self._graph(graph_id)
        form = requests.NDJSON
        call = requests.query(cypher, graph, parameters, timeout=timeout, read_only=read_only, accept=form)
        return AsyncResultStream(self._caller.open_stream(call))

    def rows(
        self,
        cypher: str,
        graph_id: str | None = None,
        parameters: Parameters = None,
        *,
        timeout: float | None = None,
        read_only: bool = False,
    ) -> AsyncRows:
        """As `stream`, one mapping a row."""
        return self.stream(cypher, graph_id, parameters, timeout=timeout, read_only=read_only).rows()

    def stream_arrow(
        self,
        cypher: str,
        graph_id: str | None = None,
        parameters: Parameters = None,
        *,
        timeout: float | None = None,
        read_only: bool = False,
    ) -> AsyncArrowStream:
        """As `stream`, as record batches of pyarrow: the fastest way to many rows."""
        graph = self._graph(graph_id)
        form = requests.ARROW
        call = requests.query(cypher, graph, parameters, timeout=timeout, read_only=read_only, accept=form)
        return AsyncArrowStream(self._caller.open_stream(call))

    @overload
    async def query_arrow(
        self,
        cypher: str,
        graph_id: str | None = None,
        parameters: Parameters = None,
        *,
        batches: Literal[False] = False,
        timeout: float | None = None,
        read_only: bool = False,
    ) -> pa.Table: ...

    @overload
    async def query_arrow(
        self,
        cypher: str,
        graph_id: str | None = None,
        parameters: Parameters = None,
        *,
        batches: Literal[True],
        timeout: float | None = None,
        read_only: bool = False,
    ) -> AsyncArrowStream: ...

    async def query_arrow(
        self,
        cypher: str,
        graph_id: str | None = None,
        parameters: Parameters = None,
        *,
        batches: bool = False,
        timeout: float | None = None,
        read_only: bool = False,
    ) -> pa.Table | AsyncArrowStream:
        """The result as a table; with `batches` as `stream_arrow`. Needs pyarrow."""
        stream = self.stream_arrow(cypher, graph_id, parameters, timeout=timeout, read_only=read_only)
        return stream if batches else await stream.read_all()

    async def query_df(
        self,
        cypher: str,
        graph_id: str | None = None,
        parameters: Parameters = None,
        *,
        timeout: float | None = None,
        read_only: bool = False,
    ) -> pd.DataFrame:
        """The result as a frame of pandas, which is needed, as is pyarrow."""
        required("pandas", "query_df")
        table = await self.query_arrow(cypher, graph_id, parameters, timeout=timeout, read_only=read_only)
        return table.to_pandas()

    async def query_polars(
        self,
        cypher: str,
        graph_id: str | None = None,
        parameters: Parameters = None,
        *,
        timeout: float | None = None,
        read_only: bool = False,
    ) -> pl.DataFrame:
        """The result as a frame of polars, which is needed, as is pyarrow."""
        polars = required("polars", "query_polars")
        table = await self.query_arrow(cypher, graph_id, parameters, timeout=timeout, read_only=read_only)
        frame: pl.DataFrame = polars.DataFrame(table)
        return frame

    async def execute_query(self, cypher: str, params: Parameters = None, graph_id: str | None = None) -> list[Any]:
        """The rows, as mappings."""
        return entries(await self.query(cypher, graph_id, params), "data")

    async def execute_single(self, cypher: str, params: Parameters = None, graph_id: str | None = None) -> Any:
        """The first row, None where there is none."""
        return next(iter(await self.execute_query(cypher, params, graph_id)), None)

    async def execute_ddl(self, ddl: str, graph_id: str | None = None) -> QueryResult:
        """Each statement commits by itself; `install_schema` takes what is to be there as a whole or not at all."""
        return await self.query(ddl, graph_id)

    async def node_exists(
        self, label: str, filters: Mapping[str, Any] | None = None, graph_id: str | None = None
    ) -> bool:
        """Whether a node has these values. Raises ValueError for what is no name of a table or column."""
        call = requests.node_exists(label, filters, self._graph(graph_id))
        return bool(entries(as_answer(QueryResult, await self._caller.call(call)), "data"))

    async def transaction(
        self,
        statements: Iterable[Statement],
        graph_id: str | None = None,
        *,
        timeout: float | None = None,
        read_only: bool = False,
    ) -> TransactionResult:
        """All of them or none: texts, pairs of text and parameters, or mappings with `cypher`, `parameters` or
        `parameter_sets`, for each of which the statement runs once.
        """
        call = requests.transaction(statements, self._graph(graph_id), timeout=timeout, read_only=read_only)
        return as_answer(TransactionResult, await self._caller.call(call))
