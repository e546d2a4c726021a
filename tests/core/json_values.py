"""JSON texts for property tests: values of every kind, written with spaces and escapes, with keys that come twice."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import strategies as st

_STRINGS = st.text(alphabet=st.sampled_from('ab"\\[]{},: é\u2028\n\U0001f600'), max_size=12)
_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 300),
    st.sampled_from([2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 2**127, 2**130]),
    st.floats(allow_nan=False, allow_infinity=False),
    _STRINGS,
)


def values(scalars: st.SearchStrategy[Any] = _SCALARS) -> st.SearchStrategy[Any]:
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=8) | st.dictionaries(_STRINGS, inner, max_size=5),
        max_leaves=30,
    )


@st.composite
def texts(draw: st.DrawFn) -> bytes:
    """Of an array or object."""
    value = draw(values().filter(lambda one: isinstance(one, (list, dict))))
    text = json.dumps(value, indent=draw(st.sampled_from([None, 1])), ensure_ascii=draw(st.booleans())).encode()
    if draw(st.booleans()) and isinstance(value, dict) and value:
        twice = msgspec.json.encode(value)
        text = text.rstrip()[:-1] + b" , " + twice[1:]
    return draw(st.sampled_from([b"", b" \n"])) + text + draw(st.sampled_from([b"", b"\t "]))
