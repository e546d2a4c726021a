"""What is sent as JSON: exactly the values that were given, or an error before anything is sent."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from kuzu_client._core.calls import Body

JSON = "application/json"


def json_body(**fields: Any) -> Body:
    """An object of the fields that are not None. Raises ValueError and TypeError for values that JSON cannot carry."""
    present = {name: value for name, value in fields.items() if value is not None}
    content = msgspec.json.encode(present, enc_hook=_plain)
    return Body(JSON, content, length=len(content))


def parameters(given: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The parameters of a statement. The encoder would make a null of NaN, which is another value."""
    if given is None:
        return None
    for name, value in given.items():
        _refuse_nan(value, name)
    return dict(given)


def _refuse_nan(value: Any, path: str) -> None:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"parameter {path} is {value}, which JSON cannot carry")
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            _refuse_nan(inner, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            _refuse_nan(inner, f"{path}[{index}]")


def _plain(value: Any) -> Any:
    """Mappings of other kinds, and the numbers of numpy and its like, which say what they are with `item`."""
    if isinstance(value, Mapping):
        return dict(value)
    if callable(item := getattr(value, "item", None)):
        plain = item()
        if isinstance(plain, float) and not math.isfinite(plain):
            raise ValueError(f"a parameter is {plain}, which JSON cannot carry")
        return plain
    raise TypeError(f"a {type(value).__name__} is no value that JSON can carry")
