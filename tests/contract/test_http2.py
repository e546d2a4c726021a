"""The client with HTTP/2 and a node with TLS: what is longer than any window arrives, and calls share a connection."""

from __future__ import annotations

import secrets
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest
import trio
import trustme

from kuzu_client import AsyncKuzuClient, KuzuClient
from kuzu_node.config import load
from kuzu_node.http.app import open_app
from kuzu_node.http.server import ServerOptions, run_server
from kuzu_node.node import open_node
from tests.engine.nodes import SETTINGS
from tests.http.server.serving import DEFAULTS

pytestmark = pytest.mark.anyio

PATIENCE = 60
DDL = "CREATE NODE TABLE Big(id INT64, text STRING, PRIMARY KEY(id))"
# httpcore opens a connection's window to 16 MiB, the node's is 64 KiB.
ROWS, WIDE = 18_000, "x" * 1000
UPLOADED = b"id,text\n" + b"".join(b"%d,%b\n" % (number, WIDE.encode()) for number in range(4000))


@attrs.define(eq=False)
class SecureNode:
    """A node in a thread of its own. `versions` counts the requests by the HTTP they came in."""

    folder: Path
    bundle: str = ""
    versions: Counter[str] = attrs.field(factory=Counter)
    port: Future[int] = attrs.field(factory=Future)
    stop: trio.Event = attrs.field(factory=trio.Event)
    token: trio.lowlevel.TrioToken | None = None

    @property
    def settings(self) -> dict[str, Any]:
        url = f"https://localhost:{self.port.result(PATIENCE)}"
        return {"base_url": url, "ca_bundle": self.bundle, "http2": True, "timeout": float(PATIENCE)}

    def options(self) -> ServerOptions:
        authority, pem = trustme.CA(), self.folder / "node.pem"
        authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(pem)
        authority.cert_pem.write_to_path(self.folder / "ca.pem")
        self.bundle = str(self.folder / "ca.pem")
        return ServerOptions(**DEFAULTS, certfile=str(pem), keyfile=str(pem))

    async def serve(self) -> None:
        self.token = trio.lowlevel.current_trio_token()
        config = load({"KUZU_DATABASE_PATH": str(self.folder / "data"), **SETTINGS})
        async with open_node(config) as node, open_app(node) as app, trio.open_nursery() as nursery:

            async def counted(scope: Any, receive: Any, send: Any) -> None:
                if scope["type"] == "http":
                    self.versions[scope["http_version"]] += 1
                await app(scope, receive, send)

            run: Any = partial(run_server, counted, self.options(), shutdown=self.stop.wait)
            addresses = await nursery.start(run)
            self.port.set_result(addresses[0][1])

    def run(self) -> None:
        try:
            trio.run(self.serve)
        except BaseException as error:
            if self.port.done():
                raise
            self.port.set_exception(error)


@contextmanager
def running(folder: Path) -> Iterator[SecureNode]:
    node = SecureNode(folder)
    thread = threading.Thread(target=node.run, daemon=True)
    thread.start()
    node.port.result(PATIENCE)
    assert node.token is not None
    try:
        yield node
    finally:
        node.token.run_sync_soon(node.stop.set)
        thread.join(PATIENCE)
    assert not thread.is_alive()


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureNode]:
    with running(tmp_path_factory.mktemp("secure")) as node:
        yield node
        assert list(node.versions) == ["2"]


@pytest.fixture
def graph(secure: SecureNode) -> str:
    name = f"g{secrets.token_hex(4)}"
    with KuzuClient(**secure.settings) as client:
        client.create_database(name, "custom", custom_schema_ddl=DDL)
    return name


@pytest.fixture
def settings(secure: SecureNode, graph: str) -> dict[str, Any]:
    return {**secure.settings, "graph_id": graph}


async def test_calls_at_once_share_a_connection(settings: dict[str, Any]) -> None:
    found: list[int] = []

    async def ask(number: int) -> None:
        found.append((await client.query("RETURN $n AS n", parameters={"n": number})).data[0]["n"])

    async with AsyncKuzuClient(**settings, max_connections=1) as client, anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(ask, number)
    assert sorted(found) == list(range(20))


async def test_a_stream_longer_than_the_windows_arrives(settings: dict[str, Any]) -> None:
    text = f"UNWIND range(1, {ROWS}) AS id RETURN id, $text AS text"
    rows = 0
    async with AsyncKuzuClient(**settings) as client:
        async with client.rows(text, parameters={"text": WIDE}, read_only=True) as found:
            async for row in found:
                rows += 1
                assert row == {"id": rows, "text": WIDE}
        assert rows == ROWS


# httpcore leaves the generators of a body that is not read to its end to the collector of garbage.
@pytest.mark.filterwarnings("ignore:Async generator 'httpcore:ResourceWarning")
async def test_streams_that_are_given_up_take_nothing_from_the_others(settings: dict[str, Any]) -> None:
    """Else the window of the connection would be used up by the fourth."""
    text = f"UNWIND range(1, {ROWS}) AS id RETURN id, $text AS text"
    async with AsyncKuzuClient(**settings, max_connections=1) as client:
        for _ in range(6):
            async with client.rows(text, parameters={"text": WIDE}, read_only=True) as found:
                async for row in found:
                    assert row["id"] == 1
                    break
            assert (await client.query("RETURN 1 AS n")).data == [{"n": 1}]


async def test_an_upload_longer_than_the_windows_arrives(settings: dict[str, Any]) -> None:
    async with AsyncKuzuClient(**settings) as client:
        loaded = await client.upload_rows(None, "Big", UPLOADED, format="csv")
        assert loaded.rows_inserted == 4000
        counted = await client.query("MATCH (b:Big) RETURN count(*) AS n, min(size(b.text)) AS shortest")
    assert counted.data == [{"n": 4000, "shortest": len(WIDE)}]


def test_the_sync_client_does_the_same(settings: dict[str, Any]) -> None:
    with KuzuClient(**settings) as client:
        client.upload_rows(None, "Big", UPLOADED, format="csv")
        with client.rows("MATCH (b:Big) RETURN b.id AS id, b.text AS text ORDER BY id", read_only=True) as rows:
            assert [row["id"] for row in rows if row["text"] == WIDE] == list(range(4000))
