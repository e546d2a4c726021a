"""Texts of settings to values, each by a function that raises ValueError with what it wants to see. Pure."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

W = TypeVar("W", bound=str)

UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
SIZE = re.compile(r"(\d+)\s*([A-Za-z]*)")


def whole(low: int, high: int | None = None) -> Callable[[str], int]:
    """A whole number between the bounds, both included."""
    bounds = f"of at least {low}" if high is None else f"between {low} and {high}"

    def parse(text: str) -> int:
        if re.fullmatch(r"[+-]?[0-9]+", text) is None:
            raise ValueError(f"must be a whole number {bounds}")
        value = int(text)
        if value < low or (high is not None and value > high):
            raise ValueError(f"must be a whole number {bounds}")
        return value

    return parse


def number(low: float, *, above: bool = False, high: float = math.inf) -> Callable[[str], float]:
    """A finite number from `low` (or above it) to `high`."""
    bounds = f"above {low:g}" if above else f"of at least {low:g}"
    if high != math.inf:
        bounds += f" and at most {high:g}"

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise ValueError(f"must be a number {bounds}") from None
        if not math.isfinite(value) or value < low or value > high or (above and value == low):
            raise ValueError(f"must be a number {bounds}")
        return value

    return parse


def power_of_two(text: str) -> int:
    value = whole(1, 2**20)(text)
    if value & (value - 1):
        below = 1 << (value.bit_length() - 1)
        raise ValueError(f"must be a power of two for the engine, such as {below} or {2 * below}")
    return value


def percent_or_off(text: str) -> float | None:
    if text.lower() == "off":
        return None
    try:
        return number(0, above=True, high=100)(text)
    except ValueError:
        raise ValueError("must be a percentage above 0 and at most 100, or off") from None


def size(text: str) -> int:
    """Bytes from `10485760`, `10 MiB` or `10MB`; never 0."""
    match = SIZE.fullmatch(text)
    factor = UNITS.get(match[2].lower()) if match else None
    if match is None or factor is None or int(match[1]) == 0:
        raise ValueError("must be a number of bytes above 0, with or without a unit such as KiB or MiB")
    return int(match[1]) * factor


def boolean(text: str) -> bool:
    match text.lower():
        case "true" | "1" | "yes" | "on":
            return True
        case "false" | "0" | "no" | "off":
            return False
    raise ValueError("must be true or false")


def choice(allowed: tuple[W, ...]) -> Callable[[str], W]:
    """One of the words, in any case of letters; the answer is spelled as here."""
    by_lower = {word.lower(): word for word in allowed}

    def parse(text: str) -> W:
        if text.lower() not in by_lower:
            raise ValueError(f"must be one of {', '.join(allowed)}")
        return by_lower[text.lower()]

    return parse


def path(text: str) -> Path:
    """Absolute, so that a later change of the working directory changes nothing."""
    return Path(text).expanduser().absolute()


def host(text: str) -> str:
    """A name or an address to bind, without the brackets of an IPv6 URL."""
    bare = text.removeprefix("[").removesuffix("]")
    if re.fullmatch(r"[A-Za-z0-9_.-]+", bare) is None:
        try:
            ipaddress.IPv6Address(bare)
        except ValueError:
            raise ValueError("must be a host name or an address without a scheme or a port") from None
    return bare


def keys(text: str) -> tuple[bytes, ...]:
    """Keys between commas or line ends; at least one."""
    found = tuple(part.strip() for part in re.split(r"[,\n]", text) if part.strip())
    if not found:
        raise ValueError("holds no key")
    if any(re.search(r"[^\x21-\x7e]", key) for key in found):
        raise ValueError("holds a key with a character that does not fit a header: use visible ASCII without spaces")
    return tuple(key.encode("ascii") for key in found)


def origins(text: str) -> tuple[str, ...]:
    """Web origins between commas, as browsers send them: scheme, host and port, no path; or `*`."""
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    for origin in found:
        if origin != "*" and re.fullmatch(r"https?://[^\s/,]+", origin) is None:
            raise ValueError(f"must hold origins such as https://graphs.example, not {origin!r}")
    return found


def word(text: str) -> str:
    return text
