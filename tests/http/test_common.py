"""What holds for every route: keys, ids, sizes, methods, representations."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.http.exchange import WITH_KEY, Exchange, call, served
from tests.http.fakes import KEY, FakeDatabase, FakeNode, FakeStatistics, node_config

pytestmark = pytest.mark.trio
QUERY = {"cypher": "RETURN 1"}


@pytest.mark.parametrize("path", ["/health", "/status", "/openapi.json", "/docs"])
async def test_what_is_public_needs_no_key(path: str) -> None:
    async with served() as (app, _):
        assert (await call(app, "GET", path, headers=())).status == 200


@pytest.mark.parametrize("path", ["/metrics", "/info", "/status/databases"])
async def test_metrics_are_public_only_when_configured(path: str) -> None:
    async with served() as (app, _):
        refused = await call(app, "GET", path, headers=())
        assert (refused.status, refused.json["code"]) == (401, "missing_key")
        assert refused.headers[b"www-authenticate"].startswith(b"Bearer")
        assert (await call(app, "GET", path)).status == 200
    async with served(FakeNode(config=node_config(public_metrics=True))) as (app, _):
        assert (await call(app, "GET", path, headers=())).status == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/databases"),
        ("POST", "/databases"),
        ("GET", "/databases/g1"),
        ("DELETE", "/databases/g1"),
        ("GET", "/databases/g1/schema"),
        ("POST", "/databases/g1/query"),
        ("POST", "/databases/g1/transaction"),
        ("PUT", "/databases/g1/tables/t/rows"),
        ("POST", "/admin/drain"),
        ("GET", "/admin/connections"),
        ("POST", "/admin/databases/g1/reopen"),
    ],
)
async def test_everything_else_needs_a_key(method: str, path: str) -> None:
    async with served() as (app, node):
        refused = await call(app, method, path, headers=((b"authorization", b"Bearer wrong"),))
        assert (refused.status, refused.json["code"]) == (401, "invalid_key")
        assert not node.draining
        assert node.databases.names() == ("g1",)


async def test_the_key_comes_before_the_name_of_a_database() -> None:
    async with served() as (app, _):
        assert (await call(app, "GET", "/databases/nope", headers=())).status == 401


@pytest.mark.parametrize("name", ["nope", "a.b", "%2e%2e", "x" * 65, "a%2Fb", "%00", "gr%C3%BC"])
async def test_a_name_that_is_no_database_is_404(name: str) -> None:
    async with served() as (app, _):
        reply = await call(app, "POST", f"/databases/{name}/query", QUERY)
        assert (reply.status, reply.json["code"]) == (404, "unknown_database")
        assert reply.json["committed"] is False


async def test_the_clients_request_id_comes_back() -> None:
    async with served() as (app, _):
        for path in ("/health", "/nothing"):
            reply = await call(app, "GET", path, headers=((b"x-request-id", b"abc-123"),))
            assert reply.headers[b"x-request-id"] == b"abc-123"
        assert reply.json["request_id"] == "abc-123"


@pytest.mark.parametrize("given", [b"", b"a b", b"x" * 129, b"a\xff", b'"quoted"'])
async def test_a_malformed_request_id_is_replaced(given: bytes) -> None:
    async with served() as (app, _):
        reply = await call(app, "GET", "/health", headers=((b"x-request-id", given),))
        assert re.fullmatch(rb"[0-9a-f]{32}", reply.headers[b"x-request-id"])


async def test_an_unknown_path_is_a_problem_document() -> None:
    async with served() as (app, _):
        reply = await call(app, "GET", "/nothing")
        assert reply.headers[b"content-type"] == b"application/problem+json"
        assert {key: reply.json[key] for key in ("status", "code", "title")} == {
            "status": 404,
            "code": "unknown_route",
            "title": "Unknown route",
        }
        assert "/docs" in reply.json["detail"]


async def test_a_wrong_method_is_told_the_right_ones() -> None:
    async with served() as (app, _):
        reply = await call(app, "PATCH", "/databases")
        assert (reply.status, reply.headers[b"allow"]) == (405, b"GET, HEAD, POST")
        assert (await call(app, "OPTIONS", "/databases")).status == 405


async def test_head_is_answered_like_get() -> None:
    async with served() as (app, _):
        head, get = await call(app, "HEAD", "/status"), await call(app, "GET", "/status")
        assert head.status == 200
        assert head.headers[b"content-length"] == get.headers[b"content-length"]


async def test_only_configured_origins_are_let_in() -> None:
    async with served(FakeNode(config=node_config(cors_origins=("https://app.example",)))) as (app, _):
        preflight = await call(app, "OPTIONS", "/databases", headers=((b"origin", b"https://app.example"),))
        assert preflight.status == 200
        assert preflight.headers[b"access-control-allow-origin"] == b"https://app.example"
        assert preflight.headers[b"access-control-allow-methods"] == b"GET, HEAD, POST"
        other = await call(app, "OPTIONS", "/databases", headers=((b"origin", b"https://evil.example"),))
        assert other.status == 405
        assert b"access-control-allow-origin" not in other.headers
        answer = await call(app, "GET", "/health", headers=((b"origin", b"https://app.example"),))
        assert answer.headers[b"access-control-allow-origin"] == b"https://app.example"


@pytest.mark.parametrize(("accept", "status"), [(b"text/plain", 406), (b"application/json;q=0", 406), (b"*/*", 200)])
async def test_a_representation_that_we_lack_is_406(accept: bytes, status: int) -> None:
    async with served() as (app, _):
        assert (await call(app, "GET", "/metrics", headers=(*WITH_KEY, (b"accept", accept)))).status == status
        asked = await call(app, "POST", "/databases/g1/query", QUERY, headers=(*WITH_KEY, (b"accept", accept)))
        assert asked.status == status


async def test_a_path_that_is_too_long_is_414() -> None:
    async with served() as (app, _):
        assert (await call(app, "GET", "/" + "x" * 512)).json["code"] == "path_too_long"
        assert (await call(app, "GET", "/health?" + "x" * 512)).status == 414


async def test_headers_that_are_too_large_are_431() -> None:
    async with served() as (app, _):
        reply = await call(app, "GET", "/health", headers=((b"cookie", b"x" * 2048),))
        assert (reply.status, reply.json["code"]) == (431, "headers_too_large")


async def test_two_lengths_of_a_body_are_refused_and_the_connection_is_closed() -> None:
    async with served() as (app, node):
        exchange = Exchange(
            "POST", "/databases/g1/query", (*WITH_KEY, (b"content-length", b"3"), (b"transfer-encoding", b"chunked"))
        )
        exchange.feed(b"{}")
        reply = await exchange.run(app)
        assert (reply.status, reply.json["code"]) == (400, "bad_request")
        assert reply.headers[b"connection"] == b"close"
        assert node.g1.queries == []


@pytest.mark.parametrize(
    "content_type", [b"text/plain", b"application/json; charset=latin-1", b"application/x-www-form-urlencoded"]
)
async def test_a_body_that_is_not_json_is_415(content_type: bytes) -> None:
    async with served() as (app, _):
        headers = (*WITH_KEY, (b"content-type", content_type))
        reply = await call(app, "POST", "/databases/g1/query", b'{"cypher":"RETURN 1"}', headers=headers)
        assert (reply.status, reply.json["code"]) == (415, "unsupported_media_type")


async def test_a_compressed_body_is_415() -> None:
    async with served() as (app, _):
        headers = (*WITH_KEY, (b"content-encoding", b"gzip"))
        assert (await call(app, "POST", "/databases/g1/query", b"\x1f\x8b", headers=headers)).status == 415


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"cypher":"x"} ,', b"\xef\xbb\xbf{}", b'{"cypher":"\xff"}', b"[" * 3000, b'{"cypher":NaN}']
)
async def test_a_body_that_is_no_json_says_where(body: bytes) -> None:
    async with served() as (app, _):
        reply = await call(app, "POST", "/databases/g1/query", body)
        assert (reply.status, reply.json["code"]) == (400, "bad_request")
        assert reply.json["errors"][0]["path"] == "$"


async def test_work_is_refused_while_the_node_is_overloaded(autojump_clock: Any) -> None:
    async with served(FakeNode(current=FakeStatistics(memory_percent=91.0))) as (app, node):
        refused = await call(app, "POST", "/databases/g1/query", QUERY)
        assert (refused.status, refused.json["code"], refused.headers[b"retry-after"]) == (503, "admission", b"2")
        assert refused.json["committed"] is False
        assert (await call(app, "GET", "/databases")).status == 200
        assert node.g1.queries == []


async def test_work_is_refused_above_the_processor_threshold() -> None:
    config = node_config(admission_cpu_percent=50.0)
    async with served(FakeNode(config=config, current=FakeStatistics(cpu_percent=60.0))) as (app, _):
        assert (await call(app, "POST", "/databases/g1/query", QUERY)).json["code"] == "admission"


async def test_an_unexpected_error_is_a_500_without_its_words(capsys: pytest.CaptureFixture[str]) -> None:
    async with served() as (app, node):

        async def fail(_: object) -> None:
            raise RuntimeError("secret")

        node.g1.run = fail
        reply = await call(app, "POST", "/databases/g1/query", QUERY)
        assert (reply.status, reply.json["code"], reply.json["committed"]) == (500, "internal", None)
        assert b"secret" not in reply.body


async def test_repeated_headers_count_as_one_list() -> None:
    async with served() as (app, _):
        headers = (*WITH_KEY, (b"accept", b"text/plain"), (b"accept", b"application/json"))
        assert (await call(app, "GET", "/databases", headers=headers)).status == 200
        twice = ((b"x-kuzu-api-key", KEY), (b"x-kuzu-api-key", b"other"))
        assert (await call(app, "GET", "/databases", headers=twice)).status == 401


async def test_a_websocket_is_refused_with_a_problem() -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    async with served() as (app, _):
        scope = {"type": "websocket", "headers": [], "raw_path": b"/databases/g1/query"}
        await app(scope, receive, send)
    assert [message["type"] for message in sent] == ["websocket.http.response.start", "websocket.http.response.body"]
    assert sent[0]["status"] == 404


async def test_lifespan_is_acknowledged() -> None:
    waiting = [{"type": "lifespan.shutdown"}, {"type": "lifespan.startup"}]
    sent: list[Any] = []

    async def receive() -> Any:
        return waiting.pop()

    async def send(message: Any) -> None:
        sent.append(message["type"])

    async with served() as (app, _):
        await app({"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_other_databases_are_reached_by_their_names() -> None:
    async with served() as (app, node):
        node.databases.databases["Z-9_"] = FakeDatabase(graph_id="Z-9_")
        assert (await call(app, "GET", "/databases/Z-9_")).json["graph_id"] == "Z-9_"
