"""JSON values as the engine's literals, and as values that bind without a change of meaning."""

from __future__ import annotations

from collections.abc import Set

from kuzu_node.core.screen.columns import INT64_MAX, INT64_MIN, Fields, Items, Shape
from kuzu_node.core.screen.model import Limits, bad_parameter
from kuzu_node.core.screen.shapes import Survey, as_double, check_float, check_integer, type_name, utf8_length

_UNBOUNDED = Limits(max_length=2**31, max_tokens=2**31, max_parameter_bytes=2**31)


def literal(value: object, path: str = "value") -> str:
    """A JSON value as a Cypher literal. Raises StatementFailed `parameter` for what the engine has no literal for."""
    if isinstance(value, (list, tuple, dict)):
        return render(value, Survey(_UNBOUNDED).shape_of(value, path), path)
    return scalar(value, path)


def scalar(value: object, path: str) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        check_integer(value, path)
        return str(value) if value >= 0 else f"({value})"
    if isinstance(value, float):
        check_float(value, path)
        # The engine's exponent has no plus sign.
        digits = repr(value).replace("e+", "e")
        return f"({digits})" if digits[0] == "-" else digits
    if isinstance(value, str):
        utf8_length(value, path)
        return quoted(value)
    raise bad_parameter(path, f"{type(value).__name__} is not a JSON value")


def quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def render(value: object, shape: Shape, path: str) -> str:
    """The literal of a value whose type is known; nulls and empty lists get that type where the engine asks for it."""
    if value is None:
        name = type_name(shape)
        return "null" if name is None else f"CAST(null AS {name})"
    if isinstance(value, (list, tuple)):
        inner = shape.of if isinstance(shape, Items) else None
        if not value:
            name = type_name(shape)
            return "[]" if inner in (None, "INT64") or name is None else f"CAST([] AS {name})"
        if inner not in (None, "INT64") and all(item is None for item in value):
            # The engine takes a list of nothing but nulls for one of integers.
            nulls = f"[{','.join(['null'] * len(value))}]"
            name = type_name(shape)
            return nulls if name is None else f"CAST({nulls} AS {name})"
        items = ["null" if item is None else render(item, inner, f"{path}[{i}]") for i, item in enumerate(value)]
        return f"[{','.join(items)}]"
    if isinstance(value, dict):
        fields = shape.of if isinstance(shape, Fields) else {}
        parts = [f"{quoted(name)}:{render(value.get(name), inner, f'{path}.{name}')}" for name, inner in fields.items()]
        return "{" + ",".join(parts) + "}"
    if isinstance(value, int) and not isinstance(value, bool):
        if shape == "DOUBLE":
            return scalar(as_double(value, path), path)
        if shape == "INT128" and INT64_MIN <= value <= INT64_MAX:
            return f"CAST({value} AS INT128)"
    return scalar(value, path)


def bindable(value: object, shape: Shape, path: str, regular: Set[int]) -> object:
    """The value with one order of fields and one type of number, so that the engine's binding changes nothing.

    Lists whose id is in `regular` are so already.
    """
    if id(value) in regular:
        return value
    if isinstance(value, (list, tuple)):
        inner = shape.of if isinstance(shape, Items) else None
        if isinstance(inner, str) and inner != "DOUBLE":
            return list(value)
        return [bindable(item, inner, f"{path}[{i}]", regular) for i, item in enumerate(value)]
    if isinstance(value, dict):
        fields = shape.of if isinstance(shape, Fields) else {}
        return {name: bindable(value.get(name), inner, f"{path}.{name}", regular) for name, inner in fields.items()}
    if shape == "DOUBLE" and isinstance(value, int):
        return as_double(value, path)
    return value


def sample(shape: Shape) -> object:
    """A value of the type without a null in it. At the head of a list it gives a type to what has only nulls."""
    if isinstance(shape, Items):
        return [sample(shape.of)]
    if isinstance(shape, Fields):
        return {name: sample(inner) for name, inner in shape.of.items()}
    return {"STRING": "", "BOOL": False, "DOUBLE": 0.5}.get(shape or "", 0)
