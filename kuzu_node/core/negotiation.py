"""Chooses a representation by the Accept header (RFC 9110, 12.5.1). Pure; handlers and policies call it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")


def choose(accept: bytes | None, offers: Mapping[str, T]) -> T | None:
    """The offer the client likes best, the earlier one at equal weight; None when it refuses them all.

    The most specific range decides the weight of an offer. Ranges that make no sense are passed over.
    """
    if accept is None or not accept.strip():
        return next(iter(offers.values()))
    ranges = _ranges(accept.decode("latin-1"))
    best: T | None = None
    best_weight = 0.0
    for media_type, offer in offers.items():
        weight = _weight(media_type, ranges)
        if weight > best_weight:
            best, best_weight = offer, weight
    return best


def _ranges(accept: str) -> dict[str, float]:
    ranges: dict[str, float] = {}
    for part in accept.lower().split(","):
        media_range, *parameters = (piece.strip() for piece in part.split(";"))
        if "/" not in media_range:
            continue
        weight = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip() == "q":
                weight = _number(value)
        ranges[media_range] = max(weight, ranges.get(media_range, 0.0))
    return ranges


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if 0.0 <= value <= 1.0 else 0.0


def _weight(media_type: str, ranges: Mapping[str, float]) -> float:
    for candidate in (media_type, media_type.partition("/")[0] + "/*", "*/*"):
        if candidate in ranges:
            return ranges[candidate]
    return 0.0
