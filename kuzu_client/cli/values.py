"""Values as texts: parameters from the command line, cells of a table, what a terminal must not be sent."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

# Control characters, and those that turn the direction of a line: data could else steer the terminal.
_STEERING: Final = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_SHORT: Final = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}
# A name that Cypher takes without backticks.
_PLAIN_NAME: Final = re.compile(r"[A-Za-z_]\w*")
_OWN_KEYS: Final = frozenset({"_id", "_label", "_src", "_dst"})


def parameter(text: str) -> tuple[str, Any]:
    """Of `name=value`: JSON where the value is JSON, else the text itself. Raises ValueError."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ValueError(f"{text!r} is not NAME=VALUE")
    try:
        return name, json.loads(value, parse_constant=_no_constant)
    except ValueError:
        return name, value


def _no_constant(word: str) -> Any:
    # NaN and its like are no JSON.
    raise ValueError(word)


def printable(text: str) -> str:
    """With escapes for what would steer the terminal."""
    return _STEERING.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    number = ord(character)
    return _SHORT.get(character) or (f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}")


def cell(value: Any) -> str:
    """A value of a row. Texts as they are; nodes, relationships and paths as Cypher draws them; the rest as JSON."""
    if isinstance(value, str):
        return printable(value)
    if value is None:
        return "null"
    return printable("".join(_drawn(value)))


def _drawn(value: Any) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield _json(value)
    elif "_nodes" in value and "_rels" in value:
        yield from _path(value["_nodes"], value["_rels"])
    elif "_label" in value and "_src" in value:
        yield f"-[{_inner(value)}]->"
    elif "_label" in value and "_id" in value:
        yield f"({_inner(value)})"
    else:
        yield _json(value)


def _path(nodes: list[Any], rels: list[Any]) -> Iterator[str]:
    for index, node in enumerate(nodes):
        yield from _drawn(node)
        if index < len(rels):
            yield _arrow(rels[index], node)


def _arrow(rel: Mapping[str, Any], node: Mapping[str, Any]) -> str:
    inner = f"[{_inner(rel)}]"
    return f"-{inner}->" if rel.get("_src") == node.get("_id") else f"<-{inner}-"


def _inner(value: Mapping[str, Any]) -> str:
    properties = ", ".join(
        f"{_name(key)}: {_json(inner)}" for key, inner in value.items() if key not in _OWN_KEYS and inner is not None
    )
    label = f":{_name(str(value['_label']))}"
    return f"{label} {{{properties}}}" if properties else label


def _name(text: str) -> str:
    return text if _PLAIN_NAME.fullmatch(text) else f"`{text}`"


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def size(count: float) -> str:
    """Bytes for people."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def duration(seconds: float) -> str:
    """Seconds for people."""
    if seconds < 1:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min")]
    told = [f"{count} {unit}" for count, unit in parts if count]
    return " ".join(told[:2]) if days or hours else f"{minutes} min {rest} s"
