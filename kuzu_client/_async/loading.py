"""Rows in: uploads, and loads that the node fetches itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kuzu_client._async.tasks import AsyncTasks
from kuzu_client._core import requests, sources
from kuzu_client._core.calls import Body, Replay
from kuzu_client._core.results import as_answer
from kuzu_client._core.sources import Progress, Rows
from kuzu_client.answers import Answer, LoadResult, TaskOutcome, TaskStarted

# Loads take longer than queries: so many times the client's timeout, by default.
LOAD_TIMES = 30


class AsyncLoading(AsyncTasks):
    """Loads are all or nothing unless `ignore_errors`, which skips rows that do not fit."""

    async def upload_rows(
        self,
        graph_id: str | None,
        table: str,
        data: Rows,
        *,
        format: str | None = None,  # noqa: A002 - the word of the contract
        ignore_errors: bool = False,
        match: str = "name",
        header: bool = True,
        delimiter: str = ",",
        progress: Progress | None = None,
        timeout: float | None = None,
    ) -> LoadResult:
        """Append rows to a table.

        `data`: a path (parquet, arrow, csv or ndjson by its name, or as `format` says), bytes with a `format`, or a
        table, reader or frame of pyarrow, pandas or polars, which is sent as Arrow. It is read in a thread, while it is
        sent, and anew at each attempt; what can be read once only is sent once. `header` and `delimiter` are for csv.
        `progress` gets the bytes sent and their number, None where it is unknown, also in that thread.
        `timeout`: 30 times the client's by default.
        """
        media_type, source = sources.of_rows(data, format)
        source = sources.watched(source, progress)
        call = requests.rows(
            self._graph(graph_id),
            table,
            Body(media_type, pieces=source.pieces, length=source.length),
            timeout=self._long(timeout),
            ignore_errors=ignore_errors,
            match=match,
            header=header,
            delimiter=delimiter,
            replay=Replay.ONCE if source.once else Replay.KEYED,
        )
        return as_answer(LoadResult, await self._caller.call(call))

    async def copy_from_s3(
        self,
        graph_id: str,
        s3_pattern: str,
        table_name: str,
        ignore_errors: bool = True,
        s3_credentials: Mapping[str, Any] | None = None,
    ) -> TaskStarted:
        """Starts a task that loads the objects."""
        call = requests.start(
            "copy_from_s3",
            graph_id,
            "copy",
            s3_pattern=s3_pattern,
            table_name=table_name,
            ignore_errors=ignore_errors,
            s3_credentials=s3_credentials,
        )
        return as_answer(TaskStarted, await self._caller.call(call))

    async def ingest(
        self,
        graph_id: str,
        file_path: str | None = None,
        table_name: str | None = None,
        pipeline_run_id: str | None = None,
        bucket: str | None = None,
        files: Sequence[str] | None = None,
        mode: str = "sync",
        priority: int = 5,
        ignore_errors: bool = True,
    ) -> Answer:
        """`sync`: a file of the node, loaded when this returns (at most 30 times the client's timeout); `async`: a task
        for files of a bucket, by `priority` from 1 to 10, 10 first.
        """
        own: dict[str, Any] = {"file_path": file_path}
        if mode != "sync":
            own = {"bucket": bucket, "files": files, "pipeline_run_id": pipeline_run_id, "priority": priority}
        call = requests.start(
            "ingest",
            graph_id,
            "ingest",
            timeout=self._long(None) if mode == "sync" else None,
            mode=mode,
            table_name=table_name,
            ignore_errors=ignore_errors,
            **own,
        )
        return as_answer(LoadResult if mode == "sync" else TaskStarted, await self._caller.call(call))

    async def ingest_with_sse(
        self,
        graph_id: str,
        table_name: str,
        s3_pattern: str,
        s3_credentials: Mapping[str, Any] | None = None,
        ignore_errors: bool = True,
        timeout: float = 14400,
    ) -> TaskOutcome:
        """`copy_from_s3`, waited for. Raises only when the load cannot be started; how it went is in the outcome."""
        started = await self.copy_from_s3(graph_id, s3_pattern, table_name, ignore_errors, s3_credentials)
        return await self._outcome(started, timeout)

    def _long(self, timeout: float | None) -> float:
        return LOAD_TIMES * self._caller.config.timeout if timeout is None else timeout
