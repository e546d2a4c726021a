"""Results that are not whole, over real sockets: no part of one is ever taken for all of it."""

from __future__ import annotations

import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pytest

from kuzu_client._async.client import AsyncKuzuClient
from kuzu_client.errors import KuzuAPIError, KuzuServerError, KuzuTimeoutError, KuzuTransientError
from tests.client.calls import QUICK, SOON
from tests.client.scripted import Step, answers, breaks_off, chunked, head, says, scripted, stalls

pytestmark = pytest.mark.anyio

END = b"0\r\n\r\n"
NDJSON = head(200, {"Content-Type": "application/x-ndjson", "Transfer-Encoding": "chunked"})
ARROW = head(200, {"Content-Type": "application/vnd.apache.arrow.stream", "Transfer-Encoding": "chunked"})


def chunk(index: int, *, last: bool = False) -> bytes:
    rows = [{"a": index}]
    found = {"chunk_index": index, "data": rows, "columns": ["a"], "is_last_chunk": last, "row_count": 1}
    return json.dumps(found).encode() + b"\n"


def arrow(rows: int = 3) -> bytes:
    sink = io.BytesIO()
    table = pa.table({"a": list(range(rows))})
    with pyarrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, 1)
    return sink.getvalue()


async def read(client: AsyncKuzuClient, how: str) -> list[Any]:
    """Everything that comes; an error has a note of how much came before it. Reads, or the features were asked for."""
    found: list[Any] = []
    async with client.stream("RETURN 1", read_only=True) as stream:
        source: Any = {"chunks": stream, "rows": stream.rows(), "lines": stream.lines()}[how]
        try:
            async for entry in source:
                found += [entry]
        except KuzuAPIError as error:
            error.add_note(f"{len(found)} came")
            raise
    return found


WAYS = pytest.mark.parametrize("how", ["chunks", "rows", "lines"])
BROKEN = [
    pytest.param(says(NDJSON + chunked([chunk(0)]) + END), KuzuTransientError, id="no last chunk"),
    pytest.param(says(NDJSON + chunked([chunk(0), chunk(1)[:-9]]) + END), KuzuServerError, id="half a line"),
    pytest.param(breaks_off(NDJSON + chunked([chunk(0)])), KuzuTransientError, id="chunked body without an end"),
    pytest.param(breaks_off(NDJSON + chunked([chunk(0)]) + b"f\r\n{"), KuzuTransientError, id="half a chunk"),
    pytest.param(says(NDJSON + chunked([chunk(0), b"oops\n"]) + END), KuzuServerError, id="garbage"),
]


@WAYS
@pytest.mark.parametrize(("step", "kind"), BROKEN)
async def test_what_came_is_given_before_the_break_is_raised(step: Step, kind: type[KuzuAPIError], how: str) -> None:
    with scripted(step, answers({"columns": [], "data": []})) as server:
        async with AsyncKuzuClient(server.url, **QUICK, max_connections=1) as client:
            with pytest.raises(kind) as caught:
                await read(client, how)
            assert caught.value.__notes__ == ["1 came"]
            assert (await client.query("RETURN 1", read_only=True)).data == []


@WAYS
async def test_a_whole_result_ends_without_an_error(how: str) -> None:
    pieces = [chunk(0)[:20], chunk(0)[20:] + b"\n" + chunk(1)[:5], chunk(1)[5:] + chunk(2, last=True)]
    with scripted(says(NDJSON + chunked(pieces) + END)) as server:
        async with AsyncKuzuClient(server.url, **QUICK) as client:
            assert len(await read(client, how)) == 3


@WAYS
async def test_a_result_that_stalls_is_a_timeout(how: str) -> None:
    with scripted(stalls(NDJSON + chunked([chunk(0)]))) as server:
        async with AsyncKuzuClient(server.url, retry_delay=0.0, timeout=3 * SOON) as client:
            with pytest.raises(KuzuTimeoutError) as caught:
                await read(client, how)
    assert caught.value.__notes__ == ["1 came"]


@WAYS
async def test_the_error_line_is_raised_with_what_it_says(how: str) -> None:
    told = {"error": "it broke", "error_type": "E", "code": "internal", "committed": True, "is_last_chunk": True}
    line = json.dumps(told).encode() + b"\n"
    with scripted(says(NDJSON + chunked([chunk(0) + line]) + END)) as server:
        async with AsyncKuzuClient(server.url, **QUICK) as client:
            with pytest.raises(KuzuServerError, match="it broke") as caught:
                await read(client, how)
    assert (caught.value.committed, caught.value.code, caught.value.__notes__) == (True, "internal", ["1 came"])


@pytest.mark.parametrize("cut", [1, 8, 100])
@pytest.mark.parametrize("ended", [True, False])
async def test_an_arrow_stream_that_ends_early_is_no_table(cut: int, ended: bool) -> None:
    body = ARROW + chunked([arrow()[:-cut]])
    with scripted(says(body + END) if ended else breaks_off(body)) as server:
        async with AsyncKuzuClient(server.url, **QUICK) as client:
            with pytest.raises(KuzuTransientError):
                await client.query_arrow("RETURN 1", read_only=True)


async def test_batches_come_before_the_end_does() -> None:
    with scripted(stalls(ARROW + chunked([arrow()[:-8]]))) as server:
        async with (
            AsyncKuzuClient(server.url, **QUICK) as client,
            client.stream_arrow("RETURN 1", read_only=True) as stream,
        ):
            assert [(await stream.__anext__()).num_rows for _ in range(3)] == [1, 1, 1]


async def test_something_else_than_was_asked_for_is_an_error_of_the_server() -> None:
    page = says(head(200, {"Content-Type": "text/html", "Content-Length": "6"}) + b"<html>")
    with scripted(otherwise=page) as server:
        async with AsyncKuzuClient(server.url, **QUICK) as client:
            with pytest.raises(KuzuServerError):
                await client.query("RETURN 1", read_only=True)
            with pytest.raises(KuzuServerError):
                await client.query_arrow("RETURN 1", read_only=True)
            with pytest.raises(KuzuServerError):
                await read(client, "lines")
