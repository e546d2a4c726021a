from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.bodies import QUERY, listed, queries, query
from kuzu_node.core.json_text import PIECE, Grower, JsonText, Tally, TooManyError, after_space
from tests.core.json_values import texts

NO_LIMIT = 2**40


class Watched(Grower):
    """Remembers how long the pieces were that went to the decoder."""

    longest = 0

    def items(self, piece: bytes) -> list[Any]:
        found = super().items(piece)
        self.longest = max(self.longest, len(piece))
        return found

    def members(self, piece: bytes) -> dict[str, Any]:
        found = super().members(piece)
        self.longest = max(self.longest, len(piece))
        return found


@given(texts(), st.integers(1, 40))
def test_a_text_in_pieces_is_the_value_that_it_is_as_a_whole(text: bytes, piece: int) -> None:
    begin = after_space(text, 0)
    value, end = Grower(text, piece=piece).value(begin)
    # repr tells 1 from 1.0 and shows the order of keys.
    assert repr(value) == repr(msgspec.json.decode(text))
    assert Grower(text, piece=piece).skip(begin) == end
    assert text[end:].strip() == b""


@given(texts(), st.integers(1, 40))
def test_containers_are_counted_outside_of_strings(text: bytes, piece: int) -> None:
    tally = Tally(NO_LIMIT, NO_LIMIT)
    value, _ = Grower(text, tally, piece).value(after_space(text, 0))
    if b":" not in text:
        # A key that comes twice is counted twice.
        assert tally.containers == containers(value)


def containers(value: object) -> int:
    if isinstance(value, dict):
        return 1 + sum(map(containers, value.values()))
    return 1 + sum(map(containers, value)) if isinstance(value, list) else 0


def test_too_many_are_found_before_they_are_made() -> None:
    text = listed(b"[]", 300_000)
    grower = Watched(text, Tally(1000, NO_LIMIT))
    with pytest.raises(TooManyError):
        grower.value(0)
    assert grower.longest == 0
    with pytest.raises(TooManyError):
        Grower(listed(b"0", 300_000), Tally(NO_LIMIT, 100_000)).value(0)
    strings = listed(b'"[[,,[["', 300_000)
    assert len(Grower(strings, Tally(1, NO_LIMIT)).value(0)[0]) == strings.count(b'"') // 2


@pytest.mark.parametrize(
    "text",
    [
        listed(b"0", 300_000),
        listed(b"[]", 300_000),
        listed(b'{"a":"\\u00e9,]"}', 300_000),
        b"[" + b"[" * 20 + listed(b"0.5", 300_000) + b"]" * 20 + b"]",
        b'{"a":%b,"b":{"c":%b}}' % (listed(b"1", 300_000), listed(b'"x"', 300_000)),
        b"[" + b",\n ".join([listed(b"null", 20_000)] * 10) + b"]",
    ],
)
def test_no_call_of_the_decoder_sees_more_than_a_piece(text: bytes) -> None:
    grower = Watched(text)
    assert grower.value(0) == (msgspec.json.decode(text), len(text))
    assert PIECE // 2 < grower.longest <= PIECE


def test_a_long_string_or_number_is_one_value() -> None:
    for text in (b'"%b"' % (b'\\"]' * 30_000), b'"%b"' % ("é".encode() * 30_000), b"[" + b"9" * 4000 + b"]"):
        assert Grower(text).value(0) == (msgspec.json.decode(text), len(text))
    text = b'{"%b":[%b]}' % (b"k" * 50_000, b"1" * 4000)
    assert Grower(text).value(0)[0] == msgspec.json.decode(text)


def test_a_text_is_what_was_sent() -> None:
    text = JsonText.from_bytes('["é"]'.encode())
    assert text == '["é"]'
    assert text.encode() == '["é"]'.encode()


def test_the_corpus_holds_what_it_says() -> None:
    bodies = dict(queries(100_000))
    assert len(bodies) > 30
    assert {name: len(body) for name, body in bodies.items() if not 90_000 < len(body) < 103_000} == {}
    assert msgspec.json.decode(bodies["integers"])["cypher"] == QUERY
    assert msgspec.json.decode(query(b"[1]"))["parameters"] == {"rows": [1]}
