from __future__ import annotations

from typing import Any

import attrs
import pytest
import trio
import trio.testing

from kuzu_node.engine.values import LoadResult, Skipped
from kuzu_node.errors import StatementFailed
from tests.http.exchange import WITH_KEY, Exchange, call, served
from tests.http.fakes import FakeNode, node_config

pytestmark = pytest.mark.trio
PATH = "/databases/g1/tables/Person/rows"
CSV = (*WITH_KEY, (b"content-type", b"text/csv; charset=utf-8"))


@pytest.mark.parametrize("method", ["PUT", "POST"])
@pytest.mark.parametrize(
    ("content_type", "name"),
    [
        (b"application/vnd.apache.parquet", "parquet"),
        (b"application/vnd.apache.arrow.stream", "arrow"),
        (b"text/csv", "csv"),
        (b"Application/X-NDJSON", "ndjson"),
    ],
)
async def test_a_body_reaches_the_table_whole(method: str, content_type: bytes, name: str) -> None:
    async with served() as (app, node):
        reply = await call(app, method, PATH, b"rows", headers=(*WITH_KEY, (b"content-type", content_type)))
        assert reply.json == {
            "status": "completed",
            "rows_processed": 3,
            "rows_inserted": 3,
            "rows_skipped": 0,
            "files_processed": 1,
            "execution_time_ms": 2.0,
            "skipped": [],
        }
        load, data = node.g1.loads[0]
        assert (load.table, load.format, data) == ("Person", name, b"rows")
        assert (load.ignore_errors, load.match, load.header, load.delimiter) == (False, "name", True, ",")
        assert not node.g1.staged[0].exists()


async def test_a_body_far_above_the_limit_of_json_is_taken_in_pieces() -> None:
    async with served() as (app, node):
        exchange = Exchange("PUT", PATH, (*CSV, (b"transfer-encoding", b"chunked")))
        part = bytes(range(256)) * 256
        for _ in range(50):
            exchange.feed(part, more=True)
        exchange.feed(b"end")
        assert (await exchange.run(app)).status == 200
        assert node.g1.loads[0][1] == part * 50 + b"end"


async def test_the_options_are_handed_over() -> None:
    async with served() as (app, node):
        target = PATH + "?ignore_errors=true&match=position&header=false&delimiter=%09"
        node.g1.load_result = LoadResult(
            rows_processed=3,
            rows_inserted=2,
            rows_skipped=1,
            skipped=(Skipped(reason="duplicate key", count=1, examples=("7",)),),
            execution_time_ms=1.0,
        )
        reply = await call(app, "PUT", target, b"x", headers=CSV)
        load = attrs.asdict(node.g1.loads[0][0])
        assert {key: load[key] for key in ("ignore_errors", "match", "header", "delimiter")} == {
            "ignore_errors": True,
            "match": "position",
            "header": False,
            "delimiter": "\t",
        }
        assert reply.json["skipped"] == [{"reason": "duplicate key", "count": 1, "examples": ["7"]}]


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("match=other", "query.match"),
        ("ignore_errors=2", "query.ignore_errors"),
        ("header=", "query.header"),
        ("delimiter=ab", "query.delimiter"),
        ("delimiter=", "query.delimiter"),
        ("delimiter=%22", "query.delimiter"),
    ],
)
async def test_wrong_options_are_refused_before_the_body_is_stored(query: str, path: str) -> None:
    async with served() as (app, node):
        reply = await call(app, "PUT", f"{PATH}?{query}", b"x", headers=CSV)
        assert (reply.status, reply.json["errors"][0]["path"]) == (422, path)
        assert node.g1.staged == []


@pytest.mark.parametrize("content_type", [(), ((b"content-type", b"application/json"),)])
async def test_rows_in_another_form_are_415(content_type: tuple[tuple[bytes, bytes], ...]) -> None:
    async with served() as (app, node):
        reply = await call(app, "PUT", PATH, b"x", headers=(*WITH_KEY, *content_type))
        assert (reply.status, reply.json["code"], reply.json["committed"]) == (415, "unsupported_media_type", False)
        assert node.g1.staged == []


async def test_a_client_that_leaves_in_the_middle_leaves_nothing_behind() -> None:
    async with served() as (app, node):
        exchange = Exchange("PUT", PATH, (*CSV, (b"content-length", b"100")))
        exchange.feed(b"a,b", more=True)
        exchange.disconnect()
        await exchange.run(app)
        assert exchange.sent == []
        assert node.g1.loads == []
        assert not node.g1.staged[0].exists()


async def test_an_upload_that_stalls_is_cut_off() -> None:
    async with served(FakeNode(config=node_config(body_idle_seconds=0.05))) as (app, node):
        exchange = Exchange("PUT", PATH, (*CSV, (b"content-length", b"100")))
        exchange.feed(b"a,b", more=True)
        with trio.fail_after(20):
            reply = await exchange.run(app)
        assert (reply.status, reply.json["code"], reply.json["committed"]) == (400, "bad_request", False)
        assert not node.g1.staged[0].exists()


async def test_a_client_that_leaves_cancels_the_load() -> None:
    async with served() as (app, node):
        node.g1.run_load = trio.sleep_forever
        exchange = Exchange("PUT", PATH, (*CSV, (b"content-length", b"1")))
        exchange.feed(b"x")
        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(exchange.run, app)
                while not node.g1.staged:
                    await trio.testing.wait_all_tasks_blocked(0.01)
                exchange.disconnect()
        assert exchange.sent == []
        assert not node.g1.staged[0].exists()


async def test_a_load_that_fails_without_saying_is_unknown() -> None:
    async with served() as (app, node):

        async def fail() -> None:
            raise StatementFailed("duplicate key", code="constraint")

        node.g1.run_load = fail
        reply = await call(app, "PUT", PATH, b"x", headers=CSV)
        assert (reply.status, reply.json["committed"]) == (409, None)


async def test_a_table_named_with_slashes_stays_one_name() -> None:
    async with served() as (app, node):
        await call(app, "PUT", "/databases/g1/tables/a%2Fb%20c/rows", b"x", headers=CSV)
        load: Any = node.g1.loads[0][0]
        assert load.table == "a/b c"
        assert "a/b" not in load.path
