from __future__ import annotations

import json

import pytest

from kuzu_client._core.wire import Endpoint
from kuzu_client.errors import KuzuClientError
from kuzu_client.session.protocol import (
    Conversation,
    Kind,
    Order,
    Phase,
    ProtocolViolation,
    order_text,
    query_text,
)
from kuzu_client.session.socket import Address


def conversation(*orders: Order) -> Conversation[Order]:
    """With these under way."""
    talk: Conversation[Order] = Conversation()
    for order in orders:
        talk.under_way[order.id] = order
        talk.sent(order)
    return talk


def order(number: int = 1, kind: Kind = Kind.QUERY) -> Order:
    return Order(number, kind, "text")


def test_absent_fields_are_left_out() -> None:
    assert json.loads(query_text(1, "RETURN 1", None)) == {"type": "query", "id": 1, "cypher": "RETURN 1"}
    assert json.loads(order_text(2, Kind.BEGIN)) == {"type": "begin", "id": 2}
    assert json.loads(order_text(3, Kind.CANCEL, target=1)) == {"type": "cancel", "id": 3, "target": 1}
    full = query_text(4, "RETURN $a", {"a": [1, None]}, timeout=2.5, read_only=True, answer="arrow")
    assert json.loads(full) == {
        "type": "query",
        "id": 4,
        "cypher": "RETURN $a",
        "parameters": {"a": [1, None]},
        "timeout": 2.5,
        "read_only": True,
        "format": "arrow",
    }


def test_an_answer_in_pieces_goes_through_its_phases() -> None:
    asked = order()
    talk = conversation(asked)
    assert talk.receive('{"type":"columns","id":1,"columns":["a"]}') == (asked, None)
    assert (asked.phase, asked.columns) == (Phase.ANSWERING, ["a"])
    assert talk.receive('{"type":"rows","id":1,"rows":[{"a":1}]}') == (asked, [{"a": 1}])
    assert talk.receive('{"type":"rows","id":1,"binary":true,"row_count":4}') == (asked, None)
    assert talk.receive(b"frame") == (asked, b"frame")
    talk.receive('{"type":"done","id":1,"row_count":5,"execution_time_ms":2}')
    assert (asked.phase, asked.rows_seen, asked.execution_time_ms, talk.under_way) == (Phase.ENDED, 5, 2, {})


def test_answers_find_their_orders_in_any_order() -> None:
    query, ping, cancel = order(1), order(2, Kind.PING), order(3, Kind.CANCEL)
    talk = conversation(query, ping, cancel)
    talk.receive('{"type":"done","id":3}')
    talk.receive('{"type":"pong","id":2}')
    assert list(talk.under_way) == [1]


def test_types_of_later_versions_are_ignored() -> None:
    assert conversation().receive('{"type":"notice","text":"hello"}') is None


@pytest.mark.parametrize("kind", [Kind.BEGIN, Kind.COMMIT, Kind.ROLLBACK, Kind.PING])
@pytest.mark.parametrize("said", ["result", "columns", "rows"])
def test_only_queries_have_rows(kind: Kind, said: str) -> None:
    with pytest.raises(ProtocolViolation):
        conversation(order(1, kind)).receive(json.dumps({"type": said, "id": 1, "columns": [], "rows": []}))


def test_what_was_never_sent_cannot_be_answered() -> None:
    waiting = order()
    talk: Conversation[Order] = Conversation({1: waiting})
    with pytest.raises(ProtocolViolation, match="waiting"):
        talk.receive('{"type":"done","id":1}')


def test_nothing_follows_the_last_answer() -> None:
    talk = conversation(order())
    talk.receive('{"type":"done","id":1}')
    with pytest.raises(ProtocolViolation, match="not under way"):
        talk.receive('{"type":"done","id":1}')


def test_addresses_follow_the_base_url() -> None:
    plain = Address.of(Endpoint.at("http://10.0.0.1", None, {}), "g")
    assert (plain.host, plain.port, plain.secure, plain.host_header) == ("10.0.0.1", 80, False, "10.0.0.1")
    tls = Address.of(Endpoint.at("https://[::1]:8443/x", None, {}), "g-1")
    assert (tls.host, tls.port, tls.secure, tls.host_header) == ("::1", 8443, True, "[::1]:8443")
    assert tls.path == "/x/databases/g-1/session"
    assert Address.of(Endpoint.at("http://h", None, {}), "a/b").path == "/databases/a%2Fb/session"
    with pytest.raises(ValueError, match="no name of a database"):
        Address.of(Endpoint.at("http://h", None, {}), "..")


def test_headers_that_cannot_be_sent_are_refused_before_connecting() -> None:
    with pytest.raises(KuzuClientError, match="cannot be sent"):
        Address.of(Endpoint.at("http://h", "two\nlines", {}), "g")


def test_an_address_does_not_show_the_key() -> None:
    assert "secret" not in repr(Address.of(Endpoint.at("http://h", "secret", {}), "g"))
