"""Parameters that are still text: what the screen makes of them is what it makes of their values."""

from __future__ import annotations

import threading
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bench.bodies import ROW, listed
from kuzu_node.core import messages
from kuzu_node.core.json_text import LONG, JsonText
from kuzu_node.core.screen import Limits, Screen, Screened
from kuzu_node.errors import NodeError
from tests.core.json_values import values

LIMITS = Limits(max_length=10_000)
TEXT = "UNWIND $rows AS r RETURN r, $rows"
ALIKE = st.one_of(
    st.lists(st.integers(-(2**63), 2**63), max_size=80),
    st.lists(st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-9, 9), max_size=80),
    st.lists(st.none() | st.text(max_size=90), max_size=80),
    st.lists(st.lists(st.integers(0, 9)), max_size=40),
    st.lists(st.fixed_dictionaries({"a": st.integers()}, optional={"b": st.none() | st.text()}), max_size=40),
)


def looked_at(rows: object, limits: Limits = LIMITS, text: str = TEXT) -> tuple[Any, ...]:
    """Everything that the engine side gets to see of it."""
    try:
        found: Screened = Screen(limits).screen(text, {"rows": rows})
    except NodeError as error:
        return type(error), error.code, error.detail
    return found.statements, msgspec.msgpack.decode(messages.encode(found.parameters))


@given(values() | ALIKE)
@example([[1, None], []])
@example([{"a": 1}, None])
@example([[{"a": 1.5, "b": 2}] * 60])
@example(["x" * 100] * 60)
def test_a_text_is_screened_as_its_value(value: object) -> None:
    text = msgspec.json.encode(value)
    if isinstance(value, (list, dict)):
        assert looked_at(JsonText.from_bytes(text)) == looked_at(msgspec.json.decode(text))


def test_a_long_value_is_encoded_where_it_was_made() -> None:
    text = JsonText.from_bytes(listed(ROW, 10**7, 5000))
    [statement], bound = looked_at(text)
    assert bound == {"rows": [{f"f{i}": i for i in range(10)}] * 5000}
    assert "CAST($rows AS STRUCT(f0 INT64" in statement.text
    assert type(Screen(LIMITS).screen(TEXT, {"rows": text}).parameters["rows"]) is msgspec.Raw


def test_a_hundred_thousand_rows_of_ten_fields_can_be_bound() -> None:
    [_], bound = looked_at(JsonText.from_bytes(listed(ROW, 10**7, 100_000)))
    assert len(bound["rows"]) == 100_000


@pytest.mark.parametrize("item", [b"0", b'"a"', b"[0,0]", b'{"a":1}', b"0.5,null"])
def test_more_than_can_be_bound_is_refused_with_the_setting(item: bytes) -> None:
    limits = Limits(max_length=10_000, max_parameter_bytes=80_000)
    text = listed(item, 200_000)
    kind, code, detail = looked_at(JsonText.from_bytes(text), limits)
    assert (kind, code) == looked_at(msgspec.json.decode(text), limits)[:2]
    assert "KUZU_MAX_PARAMETER_BYTES" in detail


def test_what_is_nested_too_deeply_is_refused() -> None:
    for depth in (70, 300, 5000):
        text = JsonText.from_bytes(b"[" * depth + listed(b"0", 100_000) + b"]" * depth)
        assert looked_at(text)[1] in ("bad_request", "parameter")


def test_one_long_value_is_made_at_a_time_and_a_short_one_waits_for_nobody() -> None:
    turn = threading.Lock()
    short = JsonText.from_bytes(listed(b"0", LONG), turn)
    long = JsonText.from_bytes(listed(b"0", 2 * LONG), turn)
    assert long.turn is turn
    with turn:
        assert len(looked_at(short)[1]["rows"]) == len(msgspec.json.decode(short.encode()))
    looked_at(long)
    assert not turn.locked()
