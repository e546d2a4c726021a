"""Escapes for JSON and CSV, for whole Arrow arrays at once and for single texts."""

from __future__ import annotations

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

# Old clients split lines at these, so they never stand in JSON text as themselves.
SEPARATORS = {"\u2028": "\\u2028", "\u2029": "\\u2029", "\u0085": "\\u0085"}
_SEPARATOR_BYTES = {ours.encode(): escaped.encode() for ours, escaped in SEPARATORS.items()}
_SHORT = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}
_CONTROLS = {chr(code): _SHORT.get(chr(code), f"\\u{code:04x}") for code in range(0x20)}
_NOT_CONTROL = bytes(range(0x20, 0x100))


def without_separators(text: bytes) -> bytes:
    """JSON text with the line separators escaped; they can only stand inside its strings."""
    if text.isascii():
        return text
    for separator, escaped in _SEPARATOR_BYTES.items():
        if separator in text:
            text = text.replace(separator, escaped)
    return text


def json_string(text: str) -> str:
    """`text` as a JSON string, quotes included."""
    return without_separators(msgspec.json.encode(text)).decode()


def json_key(value: object) -> str:
    """A MAP's key: one whose JSON is a string is that string, others are their JSON text."""
    if isinstance(value, str):
        return value
    written = msgspec.json.encode(value)
    return msgspec.json.decode(written, type=str) if written[:1] == b'"' else written.decode()


def content(array: pa.Array) -> bytes:
    """The bytes of all strings of a string array, one behind the other (those of null values may be among them)."""
    _, offsets_buffer, data = array.buffers()
    if data is None or not len(array):
        return b""
    offsets = memoryview(offsets_buffer).cast("i")
    start, end = offsets[array.offset], offsets[array.offset + len(array)]
    return bytes(memoryview(data)[start:end])


def escape_json(array: pa.Array) -> pa.Array:
    """String array with what JSON strings may not hold escaped; the quotes are the caller's."""
    data = content(array)
    # One look at the bytes spares nearly every array the passes over its values.
    if b"\\" in data:
        array = pc.replace_substring(array, "\\", "\\\\")
    if b'"' in data:
        array = pc.replace_substring(array, '"', '\\"')
    for control in sorted(set(data.translate(None, _NOT_CONTROL))):
        array = pc.replace_substring(array, chr(control), _CONTROLS[chr(control)])
    if not data.isascii():
        for separator, escaped in SEPARATORS.items():
            if separator.encode() in data:
                array = pc.replace_substring(array, separator, escaped)
    return array


def escape_csv(array: pa.Array) -> pa.Array:
    """String array with quotes doubled; the enclosing ones are the caller's."""
    return pc.replace_substring(array, '"', '""') if b'"' in content(array) else array
