from __future__ import annotations

import attrs
import httpcore
import pytest

from kuzu_client._core.calls import Body
from kuzu_client._core.wire import Endpoint, Tracks, timeouts
from tests.client.calls import READ, WRITE

NODE = Endpoint.at("http://node:8001/", "k", {"X-Mine": "1"})


@pytest.mark.parametrize(
    "url",
    [
        *("node:8001", "ftp://node", "http://", "http://node?x=1", "http://node#x", "/tmp"),
        *("http://node:port", "http://node:99999", "http://node:0", "http://[::1", "http://no\x00de"),
    ],
)
def test_what_is_no_address_of_a_node_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="base URL"):
        Endpoint.at(url, None, {})


@pytest.mark.parametrize(
    ("base", "path", "url"),
    [
        ("http://node", "/info", "http://node/info"),
        ("http://node/", "/info", "http://node/info"),
        ("https://proxy/kuzu/", "/info", "https://proxy/kuzu/info"),
        ("http://[::1]:8001", "/info", "http://[::1]:8001/info"),
        ("http://node", "/databases/a%2Fb/query", "http://node/databases/a%2Fb/query"),
    ],
)
def test_paths_stand_behind_the_base(base: str, path: str, url: str) -> None:
    assert str(Endpoint.at(base, None, {}).url(attrs.evolve(READ, path=path))) == url


@pytest.mark.parametrize(
    ("base", "address"),
    [
        ("http://node", ("node", 80)),
        ("https://node/kuzu", ("node", 443)),
        ("http://[::1]:8001", ("::1", 8001)),
        ("http://bücher.example", ("xn--bcher-kva.example", 80)),
        ("", ("", 0)),
    ],
)
def test_where_a_base_is_connected_to(base: str, address: tuple[str, int]) -> None:
    assert Endpoint.at(base, None, {}).address == address


def test_neither_key_nor_password_shows() -> None:
    assert "secret" not in repr(Endpoint.at("http://node", "secret", {"Authorization": "Bearer secret"}))
    with pytest.raises(ValueError, match="base URL") as caught:
        Endpoint.at("http://me:secret@node", None, {})
    assert "secret" not in str(caught.value)


def test_queries_are_quoted() -> None:
    call = attrs.evolve(READ, query=(("a", "1&b=2"), ("c", "d e")))
    assert Endpoint.at("http://node", None, {}).url(call).query == b"a=1%26b%3D2&c=d+e"


def test_headers_of_requests() -> None:
    assert NODE.headers_of(READ, None) == {
        "Host": "node:8001",
        "Accept-Encoding": "identity",
        "Accept": "application/json",
        "X-Kuzu-API-Key": "k",
        "X-Mine": "1",
    }
    write = NODE.headers_of(WRITE, "key")
    assert (write["Content-Type"], write["Content-Length"], write["Idempotency-Key"]) == (
        "application/json",
        "2",
        "key",
    )


@pytest.mark.parametrize(
    ("body", "framing"),
    [
        (Body("x/y", b"abc"), {"Content-Length": "3"}),
        (Body("x/y", b""), {"Content-Length": "0"}),
        (Body("x/y", pieces=lambda: iter([b"a"])), {"Transfer-Encoding": "chunked"}),
        (Body("x/y", pieces=lambda: iter([b"a"]), length=1), {"Content-Length": "1"}),
        (None, {"Content-Length": "0"}),
    ],
)
def test_bodies_are_framed(body: Body | None, framing: dict[str, str]) -> None:
    headers = NODE.headers_of(attrs.evolve(WRITE, body=body), None)
    assert {name: headers[name] for name in headers if name in ("Content-Length", "Transfer-Encoding")} == framing


def test_a_call_may_say_more_but_not_lose_the_key() -> None:
    headers = NODE.headers_of(attrs.evolve(READ, headers=(("Last-Event-ID", "7"),)), None)
    assert (headers["Last-Event-ID"], headers["X-Kuzu-API-Key"]) == ("7", "k")


def test_connecting_has_a_bound_of_its_own() -> None:
    assert timeouts(30.0, 60.0) == {"connect": 5.0, "pool": 30.0, "read": 60.0, "write": 60.0}
    assert timeouts(2.0, 60.0)["connect"] == 2.0
    assert timeouts(-1.0, 60.0)["pool"] == 0.0


def test_a_request_is_on_its_way_from_its_first_write() -> None:
    tracks = Tracks()
    assert tracks.queued
    tracks.note("connection.connect_tcp.started", {})
    assert (tracks.sending, tracks.reused, tracks.queued) == (False, None, False)
    tracks.note("http11.send_request_headers.started", {})
    assert (tracks.sending, tracks.reused) == (True, False)


@pytest.mark.parametrize(("raised", "sending"), [(httpcore.WriteError(), False), (httpcore.WriteTimeout(), True)])
def test_a_first_write_that_fails_has_sent_nothing_and_one_that_was_cut_may_have(
    raised: Exception, sending: bool
) -> None:
    tracks = Tracks()
    tracks.note("http11.send_request_headers.started", {})
    tracks.note("http11.send_request_headers.failed", {"exception": raised})
    assert (tracks.sending, tracks.reused) == (sending, True)
