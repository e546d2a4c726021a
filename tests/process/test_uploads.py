"""Bodies of rows: long ones, and those that end or stop in the middle."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import trio

from tests.process.client import NodeClient, connected
from tests.process.nodes import MB, NodeProcess, running

pytestmark = pytest.mark.trio
PATIENCE = 60
CHUNKS = 200
ROWS_A_CHUNK = 500
MOST_MB = 32
ROWS = "/databases/g/tables/P/rows"
CSV = {"content-type": "text/csv"}
CHUNKED = {**CSV, "transfer-encoding": "chunked"}


def staged(base: Path) -> list[Path]:
    return list((base / "g" / "staging").glob("**/*"))


async def until_nothing_is_staged(client: NodeClient, base: Path) -> None:
    while staged(base):
        assert (await client.call("GET", "/health")).status == 200


async def send_rows(client: NodeClient, node: NodeProcess, chunks: int) -> float:
    """Chunks of a MiB, made as they go; the most memory that the node has had in MB."""
    text, most = b"x" * (MB // ROWS_A_CHUNK), 0.0
    await client.send(b"id,s\n")
    for chunk in range(chunks):
        first = chunk * ROWS_A_CHUNK
        await client.send(b"".join([b"%d,%b\n" % (first + row, text) for row in range(ROWS_A_CHUNK)]))
        most = max(most, node.memory_mb())
    return most


async def test_a_long_upload_goes_through_the_node_without_staying_in_it(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE), running(tmp_path, KUZU_MEMORY_PER_DB_MB="2048") as node:
        async with connected(node) as client, connected(node) as neighbour:
            await client.create()
            assert (await client.load("P", b"id,s\n-1,x\n")).status == 200
            before = node.memory_mb()
            await client.begin("PUT", ROWS, CHUNKED)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(go_on, neighbour)
                most = await send_rows(client, node, CHUNKS)
                reply = await client.finish()
                nursery.cancel_scope.cancel()
            assert (reply.status, reply.json["rows_inserted"]) == (200, CHUNKS * ROWS_A_CHUNK)
            assert max(most, node.memory_mb()) - before < MOST_MB
            assert staged(tmp_path) == []
            last = CHUNKS * ROWS_A_CHUNK - 1
            assert await client.value("MATCH (p:P {id: $id}) RETURN size(p.s)", id=last) == MB // ROWS_A_CHUNK


async def go_on(neighbour: NodeClient) -> None:
    while True:
        assert await neighbour.value("RETURN 1 AS one") == 1


async def test_an_upload_that_ends_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE), running(tmp_path) as node:
        async with connected(node) as client:
            await client.create()
            for headers in (CHUNKED, {**CSV, "content-length": str(CHUNKS * MB)}):
                async with connected(node) as leaver:
                    await leaver.begin("PUT", ROWS, headers)
                    await send_rows(leaver, node, 8)
                    assert staged(tmp_path) != []
                await until_nothing_is_staged(client, tmp_path)
            assert await client.value("MATCH (p:P) RETURN count(*)") == 0
            assert (await client.load("P", b"id,s\n1,x\n")).status == 200


async def test_bodies_that_stop_are_answered_and_cut_off(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE), running(tmp_path, KUZU_BODY_IDLE_SECONDS="1") as node:
        async with connected(node) as client, connected(node) as upload, connected(node) as query:
            await client.create()
            await upload.begin("PUT", ROWS, CHUNKED)
            await send_rows(upload, node, 2)
            started = trio.current_time()
            await query.begin("POST", "/databases/g/query", {"content-length": "100"})
            await query.send(b'{"cypher": "CREATE (:P {id: 1})"')
            for stopped in (upload, query):
                status, headers = await stopped.head()
                assert (status, headers["connection"]) == (400, "close")
                body = await stopped.rest()
                assert msgspec.json.decode(body)["code"] == "bad_request"
                assert 1 <= trio.current_time() - started < 6
            await until_nothing_is_staged(client, tmp_path)
            assert await client.value("MATCH (p:P) RETURN count(*)") == 0
