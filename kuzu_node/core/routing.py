"""Matches a raw request path against templates such as `/databases/{graph_id}/query`. Pure; the app calls it.

Paths are cut at the slashes that were sent and decoded afterwards, so `%2F` inside a name never becomes a separator.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Generic, TypeVar
from urllib.parse import unquote_to_bytes

import attrs

T = TypeVar("T")


class RouteClash(ValueError):
    """Two routes have the same method and shape, or one template names a parameter twice."""


@attrs.frozen
class Match(Generic[T]):
    """The value registered for a method and a template, with the decoded parameters of the path."""

    value: T
    params: Mapping[str, str]


@attrs.frozen
class Mismatch:
    """`allowed` are the methods that the path knows, sorted; empty when no template fits the path."""

    allowed: tuple[str, ...]


@attrs.define(eq=False)
class _Branch(Generic[T]):
    literal: dict[str, _Branch[T]] = attrs.field(factory=dict)
    parameter: _Branch[T] | None = None
    methods: dict[str, tuple[T, tuple[str, ...]]] = attrs.field(factory=dict)


class Router(Generic[T]):
    """A tree of path segments; a literal segment wins over a parameter. GET also answers HEAD."""

    def __init__(self, routes: Iterable[tuple[str, str, T]]) -> None:
        self._root: _Branch[T] = _Branch()
        for method, template, value in routes:
            self._add(method, template, value)

    def match(self, method: str, raw_path: bytes) -> Match[T] | Mismatch:
        """Find what answers `method` on a path as it came, without its query."""
        segments = _segments(raw_path)
        if segments is None:
            return Mismatch(())
        found = _walk(self._root, segments, 0, ())
        if found is None:
            return Mismatch(())
        branch, values = found
        entry = branch.methods.get(method) or (branch.methods.get("GET") if method == "HEAD" else None)
        if entry is None:
            return Mismatch(_allowed(branch.methods))
        value, names = entry
        return Match(value, dict(zip(names, values, strict=True)))

    def _add(self, method: str, template: str, value: T) -> None:
        branch = self._root
        names: list[str] = []
        for segment in template.strip("/").split("/"):
            if segment.startswith("{") and segment.endswith("}"):
                names.append(segment[1:-1])
                branch.parameter = branch.parameter or _Branch()
                branch = branch.parameter
            else:
                branch = branch.literal.setdefault(segment, _Branch())
        if method in branch.methods or len(set(names)) != len(names):
            raise RouteClash(f"{method} {template}")
        branch.methods[method] = (value, tuple(names))


def _allowed(methods: Mapping[str, object]) -> tuple[str, ...]:
    return tuple(sorted({*methods, "HEAD"} if "GET" in methods else methods))


def _segments(raw_path: bytes) -> list[str] | None:
    """The decoded segments of an origin-form or absolute-form target; None when it cannot be one of ours."""
    if not raw_path.startswith(b"/"):
        _, scheme, rest = raw_path.partition(b"://")
        if not scheme:
            return None
        raw_path = b"/" + rest.partition(b"/")[2]
    try:
        if b"%" in raw_path:
            return [unquote_to_bytes(segment).decode() for segment in raw_path[1:].split(b"/")]
        return raw_path[1:].decode().split("/")
    except UnicodeDecodeError:
        return None


def _walk(
    branch: _Branch[T], segments: list[str], position: int, values: tuple[str, ...]
) -> tuple[_Branch[T], tuple[str, ...]] | None:
    if position == len(segments):
        return (branch, values) if branch.methods else None
    segment = segments[position]
    literal = branch.literal.get(segment)
    if literal is not None:
        found = _walk(literal, segments, position + 1, values)
        if found is not None:
            return found
    if branch.parameter is not None and segment:
        return _walk(branch.parameter, segments, position + 1, (*values, segment))
    return None
