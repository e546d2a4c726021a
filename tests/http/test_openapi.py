from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from kuzu_node.http.docs import docs_page
from kuzu_node.http.openapi import openapi_document
from kuzu_node.http.routes import ROUTES
from tests.http.exchange import call, served


@pytest.fixture(scope="module")
def document() -> Any:
    return msgspec.json.decode(openapi_document(ROUTES))


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, member in value.items():
            if name == "$ref":
                yield member
            yield from references(member)
    elif isinstance(value, list):
        for member in value:
            yield from references(member)


def test_every_route_is_described(document: Any) -> None:
    described = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert described == {(route.method, route.template) for route in ROUTES}
    assert document["openapi"] == "3.1.0"


def test_every_reference_leads_somewhere(document: Any) -> None:
    names = {reference.removeprefix("#/components/schemas/") for reference in references(document)}
    assert names == set(document["components"]["schemas"])


def test_every_parameter_of_a_path_is_described(document: Any) -> None:
    for path, item in document["paths"].items():
        for operation in item.values():
            described = [p["name"] for p in operation["parameters"] if p["in"] == "path"]
            assert described == re.findall(r"{(\w+)}", path)


def test_the_models_say_what_is_required_and_allowed(document: Any) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["QueryBody"]["required"] == ["cypher"]
    assert schemas["QueryBody"]["properties"]["timeout"] == {"type": ["number", "null"]}
    assert schemas["CreateDatabaseBody"]["properties"]["schema_type"]["enum"] == ["entity", "shared", "custom"]
    assert schemas["CreateDatabaseBody"]["properties"]["graph_id"]["pattern"] == "^[A-Za-z0-9_-]{1,64}$"
    assert schemas["TransactionBody"]["properties"]["statements"]["items"] == {
        "$ref": "#/components/schemas/StatementBody"
    }
    assert "last_accessed" in schemas["DatabaseAnswer"]["required"]
    assert "source" not in schemas["TableAnswer"]["required"]


def test_what_is_public_needs_no_key(document: Any) -> None:
    assert document["paths"]["/health"]["get"]["security"] == []
    assert {} not in document["paths"]["/databases"]["get"]["security"]


def test_the_page_fetches_nothing_from_another_host() -> None:
    page = docs_page().decode()
    assert re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?(?:https?:)?//""", page) == []
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in page
    assert "openapi.json" in page


@pytest.mark.trio
async def test_the_page_may_reach_its_own_node_only() -> None:
    async with served() as (app, _):
        reply = await call(app, "GET", "/docs", headers=((b"accept", b"text/html,*/*;q=0.8"),))
        assert reply.headers[b"content-type"] == b"text/html; charset=utf-8"
        policy = reply.headers[b"content-security-policy"]
        assert b"default-src 'none'" in policy
        assert b"connect-src 'self'" in policy
        assert (await call(app, "GET", "/openapi.json", headers=())).json["openapi"] == "3.1.0"
