from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kuzu_node.core.negotiation import choose

OFFERS = {"application/json": 1, "application/x-ndjson": 2, "text/csv": 3}


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, 1),
        (b"", 1),
        (b"*/*", 1),
        (b"text/csv", 3),
        (b"TEXT/CSV", 3),
        (b"text/*", 3),
        (b"application/json;q=0.5, text/csv;q=0.7", 3),
        (b"application/json;q=0.5, */*;q=0.7", 2),
        (b"*/*;q=0.1, application/json;q=0", 2),
        (b"text/html, application/xhtml+xml, */*;q=0.8", 1),
        (b"text/csv; header=present; q=0.9, application/x-ndjson;q=0.2", 3),
        (b"application/xml", None),
        (b"application/json;q=0", None),
        (b"application/json;q=nonsense", None),
        (b"text/csv;q=1e9", None),
        (b"nonsense", None),
    ],
)
def test_the_best_offer_wins(accept: bytes | None, chosen: int | None) -> None:
    assert choose(accept, OFFERS) == chosen


@given(st.binary(max_size=60))
def test_no_header_breaks_the_choice(accept: bytes) -> None:
    assert choose(accept, OFFERS) in (None, 1, 2, 3)
