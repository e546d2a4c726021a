"""Requests that mean harm, sent over real sockets to a real node whose workers are confined.

Whatever they are answered, the node lives, other databases answer soon, and no file beside the database changes.
"""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pytest
import trio
from pyarrow import parquet

from kuzu_node.worker import sandbox
from tests.process.client import JSON, NodeClient, Reply
from tests.process.nodes import NodeProcess, running

pytestmark = [
    pytest.mark.trio,
    pytest.mark.skipif(not sandbox.probe().complete, reason="this kernel cannot confine a worker"),
]

PATIENCE = 60
CSV, NDJSON, PARQUET = "text/csv", "application/x-ndjson", "application/vnd.apache.parquet"
ARROW = "application/vnd.apache.arrow.stream"
ODD = "we``ird '\"\n) FROM '/etc/passwd' //"
DDL = (
    "CREATE NODE TABLE P(id INT64, s STRING, d DOUBLE, PRIMARY KEY(id)); "
    f"CREATE NODE TABLE `{ODD}`(id INT64 PRIMARY KEY, `a``b` STRING, `c'd` STRING)"
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("base")


@pytest.fixture(scope="module")
def node(base: Path) -> Iterator[NodeProcess]:
    with running(base, KUZU_SANDBOX="required") as node:
        yield node


@asynccontextmanager
async def tenant(node: NodeProcess, base: Path) -> AsyncIterator[NodeClient]:
    """An empty database. Afterwards it and its neighbour still answer, and the base folder holds nothing else."""
    with trio.fail_after(PATIENCE):
        client = NodeClient(await node.connect())
        neighbour = NodeClient(await node.connect(), database="neighbour")
        async with client.stream, neighbour.stream:
            if not (base / "g").exists():
                await neighbour.create()
                await client.create(DDL)
            yield client
            with trio.fail_after(5):
                assert await neighbour.value("RETURN 1") == 1
            assert (await client.query("MATCH (n) DELETE n")).status == 200
            assert {path.name for path in base.iterdir()} == {".node", "g", "neighbour"}


async def refused(client: NodeClient, path: str, body: object, status: int, **headers: str) -> dict[str, Any]:
    reply = await client.call("POST", path, body, **JSON, **headers)
    assert reply.status == status, reply
    problem: dict[str, Any] = reply.json
    assert len(reply.body) < 16_384
    return problem


@pytest.mark.parametrize(
    "name", ["../x", "..", ".node", "a/b", "a%2fb", "x" * 65, "a\n", "a\0", "\u00e9", ".", "g ", " g", "neighbour/", ""]
)
async def test_names_that_are_paths_make_and_find_no_database(node: NodeProcess, base: Path, name: str) -> None:
    async with tenant(node, base) as client:
        await refused(client, "/databases", {"graph_id": name}, 422)
        reply = await client.call("DELETE", f"/databases/{quote(name, safe='')}")
        assert reply.status in (404, 405), reply


@pytest.mark.parametrize(
    "path", ["/databases/../neighbour", "/databases/g/../neighbour", "/databases//schema", "/../etc/passwd", "//health"]
)
async def test_dots_and_double_slashes_in_a_path_lead_nowhere(node: NodeProcess, base: Path, path: str) -> None:
    async with tenant(node, base) as client:
        assert (await client.call("GET", path)).status == 404


@pytest.mark.parametrize(
    ("ddl", "status"),
    [
        ("LOAD FROM '/etc/passwd' RETURN *", 403),
        ("CREATE NODE TABLE A(id INT64 PRIMARY KEY); COPY A FROM '/etc/passwd'", 403),
        ("CREATE NODE TABLE A(id INT64 PRIMARY KEY); COPY (MATCH (a:A) RETURN a) TO '/tmp/a.csv'", 403),
        ("CREATE NODE TABLE A AS LOAD FROM '/etc/passwd' RETURN *", 403),
        ("CREATE NODE TABLE A(id INT64 PRIMARY KEY); CREATE MACRO m(x) AS x", 403),
        ("BEGIN; CREATE NODE TABLE A(id INT64 PRIMARY KEY); COMMIT", 403),
        ("CREATE NODE TABLE A(id INT64 PRIMARY KEY); MATCH (n) RETURN n", 403),
        ("CALL threads = 1", 403),
        ("/* open", 400),
        ("\0", 400),
    ],
)
async def test_schema_that_says_more_leaves_no_database(node: NodeProcess, base: Path, ddl: str, status: int) -> None:
    async with tenant(node, base) as client:
        body = {"graph_id": "bad", "schema_type": "custom", "custom_schema_ddl": ddl}
        await refused(client, "/databases", body, status)
        assert (await client.call("GET", "/databases/bad")).status == 404


@pytest.mark.parametrize(
    "table", ["../P", "P`", "P'", "P) TO '/tmp/x", "'); DROP TABLE P; //", "P\0", "P/x", "x" * 900]
)
async def test_names_of_tables_are_only_names(node: NodeProcess, base: Path, table: str) -> None:
    async with tenant(node, base) as client:
        assert (await client.load(quote(table, safe=""), b"id\n1\n")).status == 400


def as_parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    parquet.write_table(table, sink, compression="zstd")
    return sink.getvalue()


async def test_names_of_tables_and_columns_that_look_like_cypher_are_loaded_and_read(
    node: NodeProcess, base: Path
) -> None:
    async with tenant(node, base) as client:
        odd = quote(ODD, safe="")
        row = {"id": 2, "a``b": "x", "c'd": "`'\"\\"}
        bodies = {
            CSV: b"id,a``b,c'd\n1,x,y\n",
            NDJSON: json.dumps(row).encode(),
            PARQUET: as_parquet(pa.table({"id": [3], "a``b": ["x"], "c'd": ["`'"]})),
        }
        for content_type, body in bodies.items():
            reply = await client.load(odd, body, content_type)
            assert reply.status == 200, reply
        assert await client.rows(f"MATCH (n:`{ODD}`) RETURN n.id ORDER BY n.id") == [[1], [2], [3]]
        unknown = await client.load(odd, b"id,`a``b` FROM '/etc/passwd' //\n4,x\n")
        assert unknown.status == 422


async def soon(client: NodeClient, content: bytes, content_type: str) -> Reply:
    """An answer within the time that a person waits: the work is bounded, not only the patience."""
    with trio.fail_after(15):
        return await client.load("P", content, content_type)


HOSTILE_FILES = {
    "a header of 200 000 names": (CSV, b"id," + b",".join(b"c%d" % i for i in range(200_000)) + b"\n1\n", 422),
    "a name of 5 MB": (CSV, b"id," + b"c" * 5_000_000 + b"\n1,2\n", 422),
    "a quote that does not end": (CSV, b'id,s\n1,"' + b"x\n" * 6_000_000, 422),
    "not UTF-8": (CSV, b"id,s\n1,\xff\xfe\n", 422),
    "a row of 200 000 keys": (NDJSON, json.dumps({f"k{i}": 1 for i in range(200_000)}).encode(), 422),
    "nested 100 000 deep": (NDJSON, b'{"id":1,"s":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n", 400),
    "an integer of a billion digits": (NDJSON, b'{"id":1e999999999}\n', 400),
    "an integer of 5000 digits": (NDJSON, b'{"id":' + b"9" * 5000 + b"}\n", 400),
    "a lone surrogate": (NDJSON, b'{"id":1,"s":"\\ud800"}\n', 400),
    "a line of 40 MB": (NDJSON, b'{"id":1,"s":"' + b"x" * 40_000_000 + b'"}\n', 422),
    "a Parquet file that is none": (PARQUET, b"PAR1" + b"\xff" * 1000 + b"PAR1", 422),
    "an Arrow message of 2 GB": (ARROW, b"\xff\xff\xff\xff\xff\xff\xff\x7f" + b"x" * 100, 507),
    "a Parquet file of 20M equal keys": (PARQUET, as_parquet(pa.table({"id": pa.repeat(0, 20_000_000)})), 409),
}


@pytest.mark.parametrize("name", HOSTILE_FILES)
async def test_file_that_means_harm_is_refused_soon(node: NodeProcess, base: Path, name: str) -> None:
    content_type, content, status = HOSTILE_FILES[name]
    async with tenant(node, base) as client:
        reply = await soon(client, content, content_type)
        assert reply.status == status, reply
        assert len(reply.body) < 16_384
        assert await client.rows("MATCH (p:P) RETURN p.id") == []


@pytest.mark.parametrize("content_type", [PARQUET, ARROW])
async def test_flipped_bytes_end_nothing(node: NodeProcess, base: Path, content_type: str) -> None:
    table = pa.table({"id": [1], "s": ["x"]})
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    content = as_parquet(table) if content_type == PARQUET else sink.getvalue()
    async with tenant(node, base) as client:
        for place in range(0, len(content), len(content) // 40):
            broken = bytearray(content)
            broken[place] ^= 0xFF
            reply = await soon(client, bytes(broken), content_type)
            assert reply.status in (200, 400, 409, 422, 507), (place, reply)
            assert (await client.query("MATCH (p:P) DELETE p")).status == 200


@pytest.mark.parametrize("delimiter", ["%0a", "%0d", "%22", "", ",,", "%C3%A9", "%E2%80%A8", "%F0%9F%98%80", "%ff"])
async def test_delimiter_is_one_plain_character(node: NodeProcess, base: Path, delimiter: str) -> None:
    async with tenant(node, base) as client:
        reply = await client.load(f"P/rows?delimiter={delimiter}&x=", b"id\n1\n")
        assert reply.status in (404, 422)
        path = f"/databases/g/tables/P/rows?delimiter={delimiter}"
        assert (await client.call("PUT", path, b"id\n1\n", content_type=CSV)).status == 422


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"cypher": "RETURN 1", "cypher": "LOAD FROM \'/etc/passwd\' RETURN *"}', 403),
        (b'{"cypher": "RETURN 1\\u0000; LOAD FROM \'/etc/passwd\' RETURN *"}', 400),
        (b'{"cypher": "RETURN \'\\ud800\'"}', 400),
        (b'{"cypher": "RETURN $p", "parameters": {"p": "\\udfff"}}', 400),
        (b'{"cypher": "RETURN $p", "parameters": {"p": ' + b"[" * 5000 + b"]" * 5000 + b"}}", 400),
        (b'{"cypher": "RETURN $p", "parameters": {"p": 1e999999999}}', 400),
        (b'{"cypher": "RETURN $p", "parameters": {"p": ' + b"9" * 100_000 + b"}}", 400),
        (b'{"cypher": "RETURN \'\xc0\x80\'"}', 400),
        (b'\xef\xbb\xbf{"cypher": "RETURN 1"}', 400),
        (b"[" * 200_000, 400),
    ],
)
async def test_json_that_means_two_things_or_none(node: NodeProcess, base: Path, body: bytes, status: int) -> None:
    async with tenant(node, base) as client:
        await refused(client, "/databases/g/query", body, status)


MANY = {
    "unknown fields": b'{"cypher":"RETURN 1",' + b",".join(b'"k%d":1' % i for i in range(200_000)) + b"}",
    "wrong statements": b'{"statements":[' + b",".join([b'{"x":1}'] * 300_000) + b"]}",
    "empty statements": b'{"statements":[' + b",".join([b'{"cypher":""}'] * 100_000) + b"]}",
    "keys of one object": b'{"cypher":"RETURN $p","parameters":{"p":{'
    + b",".join(b'"k%d":1' % i for i in range(200_000))
    + b"}}}",
    "objects of one key each": b'{"cypher":"RETURN $p","parameters":{"p":['
    + b",".join(b'{"k%d":1}' % i for i in range(20_000))
    + b"]}}",
    "lists of such objects": b'{"cypher":"RETURN $p","parameters":{"p":['
    + b",".join(b'[{"k%d":1}]' % (i % 900) for i in range(20_000))
    + b"]}}",
}


@pytest.mark.parametrize("name", MANY)
async def test_a_body_of_many_small_faults_is_refused_soon_and_shortly(
    node: NodeProcess, base: Path, name: str
) -> None:
    path = "/databases/g/transaction" if "statements" in name else "/databases/g/query"
    async with tenant(node, base) as client:
        with trio.fail_after(15):
            reply = await client.call("POST", path, MANY[name], **JSON)
        assert reply.status in (400, 413, 422), reply
        assert len(reply.body) < 16_384


async def test_the_neighbour_answers_while_many_small_faults_are_read(node: NodeProcess, base: Path) -> None:
    async with tenant(node, base) as client:
        other = NodeClient(await node.connect(), database="neighbour")
        slowest = 0.0

        async def ask() -> None:
            nonlocal slowest
            while True:
                started = trio.current_time()
                await other.value("RETURN 1")
                slowest = max(slowest, trio.current_time() - started)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            for name in ("wrong statements", "objects of one key each", "empty statements"):
                path = "/databases/g/transaction" if "statements" in name else "/databases/g/query"
                await client.call("POST", path, MANY[name], **JSON)
            nursery.cancel_scope.cancel()
        await other.stream.aclose()
        # It was a minute before lists were read up to their first fault.
        assert slowest < 6


@pytest.mark.parametrize("given", ['a"}{', "a%0d%0aX-Evil: 1", "a b", "<script>", "a" * 129, "a, b"])
async def test_request_id_of_a_client_cannot_forge_headers_or_log_lines(
    node: NodeProcess, base: Path, given: str
) -> None:
    async with tenant(node, base) as client:
        reply = await client.call("GET", "/health", x_request_id=given)
        assert reply.headers["x-request-id"] != given
        assert "x-evil" not in reply.headers
        assert reply.headers["x-request-id"].isalnum()


@pytest.mark.parametrize("tail", [b"a\rX-Evil: 1", b"a\0b"])
async def test_control_characters_in_a_header_end_its_connection(node: NodeProcess, tail: bytes) -> None:
    with trio.fail_after(PATIENCE):
        async with await node.connect() as stream:
            await stream.send_all(b"GET /health HTTP/1.1\r\nHost: x\r\nX-Request-ID: " + tail + b"\r\n\r\n")
            answer = b"".join([part async for part in stream])
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"\r\nX-Evil" not in answer.partition(b"\r\n\r\n")[0]


@pytest.mark.parametrize(
    "cypher",
    [
        "RETURN 1 AS `a\\r\\nX-Evil: 1`",
        "RETURN $`a) LOAD FROM` AS x",
        "RETURN 1 /* \\u0000 LOAD FROM */ AS x // \\u0000",
    ],
)
async def test_odd_names_and_comments_stay_names_and_comments(node: NodeProcess, base: Path, cypher: str) -> None:
    text = cypher.encode().decode("unicode_escape")
    parameters = {"a) LOAD FROM": "x"} if "$" in text else {}
    async with tenant(node, base) as client:
        reply = await client.call("POST", "/databases/g/query", {"cypher": text, "parameters": parameters}, **JSON)
        assert reply.status == 200, reply
        assert "x-evil" not in reply.headers


async def test_text_that_ends_the_worker_costs_its_own_database_a_restart(node: NodeProcess, base: Path) -> None:
    """JSON text nested 100 000 deep overflows the stack of the engine's json_structure."""
    async with tenant(node, base) as client:
        reply = await client.query("RETURN json_structure(concat(repeat('[', 100000), repeat(']', 100000)))")
        assert reply.status == 503
        assert reply.json["code"] == "database_restarting"
        assert await client.value("RETURN 1") == 1
