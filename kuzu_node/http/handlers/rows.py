"""Rows in: a body of any size goes to the database's staging folder and from there into a table."""

from __future__ import annotations

import errno
import io
import math
from pathlib import Path
from typing import Final

import trio

from kuzu_node.engine.values import LoadRequest, LoadResult
from kuzu_node.errors import OutOfSpace, RequestRefused
from kuzu_node.http.answers import RowsAnswer, SkippedRows
from kuzu_node.http.ports import Node
from kuzu_node.http.request import Effect, Request, invalid
from kuzu_node.http.response import Response, json_response

FORMATS: Final = {
    "application/vnd.apache.parquet": "parquet",
    "application/vnd.apache.arrow.stream": "arrow",
    "text/csv": "csv",
    "application/x-ndjson": "ndjson",
}
WRITE_SIZE: Final = 1024 * 1024


async def load_rows(node: Node, request: Request) -> Response:
    database = node.databases.get(request.graph_id)
    file_format = _format(request)
    options = _options(request)
    async with database.staging() as folder:
        path = folder / f"rows.{file_format}"
        await _store_body(request, path)
        load = LoadRequest(
            table=request.params["table"],
            path=str(path),
            format=file_format,
            ignore_errors=options.ignore_errors,
            match=options.match,
            header=options.header,
            delimiter=options.delimiter,
        )
        request.begin_work(math.inf, Effect(committed=None))
        return _response(await database.load(load))


def _format(request: Request) -> str:
    content_type = request.headers.get(b"content-type", b"").decode("latin-1")
    file_format = FORMATS.get(content_type.partition(";")[0].strip().lower())
    if file_format is None:
        raise RequestRefused("rows are taken as " + ", ".join(FORMATS), code="unsupported_media_type")
    return file_format


def _options(request: Request) -> LoadRequest:
    """The query parameters, before there is a file."""
    match = request.query_value("match") or "name"
    if match not in ("name", "position"):
        raise invalid("query.match", "must be name or position")
    delimiter = request.query_value("delimiter")
    if delimiter is None:
        delimiter = ","
    if len(delimiter) != 1 or delimiter in '\r\n"':
        raise invalid("query.delimiter", "must be one character, no quote and no line end")
    return LoadRequest(
        table=request.params["table"],
        path="",
        format="",
        ignore_errors=request.query_flag("ignore_errors", default=False),
        match=match,
        header=request.query_flag("header", default=True),
        delimiter=delimiter,
    )


async def _store_body(request: Request, path: Path) -> None:
    """Write the body to `path` in large pieces. The disk is written in a thread; meanwhile the client waits."""
    limiter = request.context.files
    file = await trio.to_thread.run_sync(_create, path, limiter=limiter)
    try:
        pieces: list[bytes] = []
        size = 0
        while not request.body_ended:
            piece = await request.receive_some()
            pieces.append(piece)
            size += len(piece)
            if size >= WRITE_SIZE:
                await trio.to_thread.run_sync(_write, file, pieces, limiter=limiter)
                pieces, size = [], 0
        await trio.to_thread.run_sync(_write, file, pieces, limiter=limiter)
    finally:
        file.close()


def _create(path: Path) -> io.FileIO:
    return io.FileIO(path, "xb")


def _write(file: io.FileIO, pieces: list[bytes]) -> None:
    rest = memoryview(b"".join(pieces))
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OutOfSpace("the disk has no room for these rows", code="disk_full") from error
        raise


def _response(result: LoadResult) -> Response:
    skipped = tuple(
        SkippedRows(reason=group.reason, count=group.count, examples=group.examples) for group in result.skipped
    )
    return json_response(
        RowsAnswer(
            status="completed",
            rows_processed=result.rows_processed,
            rows_inserted=result.rows_inserted,
            rows_skipped=result.rows_skipped,
            files_processed=1,
            execution_time_ms=round(result.execution_time_ms, 3),
            skipped=skipped,
        )
    )
