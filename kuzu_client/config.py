"""The client's settings and where they come from. The only reader of the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs

PREFIX = "KUZU_CLIENT_"
URL, KEY = "KUZU_API_URL", "KUZU_API_KEY"
# Names that applications set already, beside the prefixed ones.
_OTHER_NAMES = {
    "circuit_breaker_threshold": "KUZU_CIRCUIT_BREAKER_THRESHOLD",
    "circuit_breaker_timeout": "KUZU_CIRCUIT_BREAKER_TIMEOUT",
    "retries_enabled": "KUZU_RETRY_LOGIC_ENABLED",
    "circuit_breakers_enabled": "KUZU_CIRCUIT_BREAKERS_ENABLED",
}

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def _not_negative(instance: object, attribute: attrs.Attribute[Any], value: float) -> None:
    if value < 0:
        raise ValueError(f"{attribute.name} must not be negative, and is {value}")


def _fit_for_headers(instance: object, attribute: attrs.Attribute[Any], value: Mapping[str, str]) -> None:
    for name, content in value.items():
        if not _TOKEN.fullmatch(name) or not _sendable(content):
            raise ValueError(f"{attribute.name}: {name!r} has a name or a value that HTTP cannot carry")


def _sendable(text: str) -> bool:
    return text.isascii() and text.isprintable() and text == text.strip()


def _names_alone(headers: Mapping[str, str]) -> str:
    """Some of them are keys, and a configuration is easily logged."""
    return f"<{', '.join(headers)}>"


def _positive(instance: object, attribute: attrs.Attribute[Any], value: float) -> None:
    if value <= 0:
        raise ValueError(f"{attribute.name} must be above 0, and is {value}")


@attrs.frozen(kw_only=True)
class KuzuClientConfig:
    """Times in seconds. `timeout` bounds a whole call, its retries included.

    `circuit_breaker_threshold`: failures in a row; `ca_bundle` and `client_cert`: paths of PEM files, the latter with
    the key in the same file or as a pair of paths. Raises ValueError for values that make no sense.
    """

    timeout: float = attrs.field(default=30.0, validator=_positive)
    max_retries: int = attrs.field(default=3, validator=_not_negative)
    retry_delay: float = attrs.field(default=1.0, validator=_not_negative)
    retry_backoff: float = attrs.field(default=2.0, validator=_positive)
    max_connections: int = attrs.field(default=100, validator=_positive)
    max_keepalive_connections: int = attrs.field(default=20, validator=_not_negative)
    keepalive_expiry: float = attrs.field(default=5.0, validator=_not_negative)
    circuit_breaker_threshold: int = attrs.field(default=5, validator=_not_negative)
    circuit_breaker_timeout: float = attrs.field(default=60.0, validator=_positive)
    verify_ssl: bool = True
    ca_bundle: str | None = None
    client_cert: str | tuple[str, str] | None = None
    http2: bool = False
    headers: Mapping[str, str] = attrs.field(factory=dict, validator=_fit_for_headers, repr=_names_alone)
    retries_enabled: bool = True
    circuit_breakers_enabled: bool = True

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ, **overrides: Any) -> KuzuClientConfig:
        """What is given, else what the environment says, else the defaults. Raises ValueError naming the variable."""
        found: dict[str, Any] = {}
        for field in attrs.fields(cls):
            for name in (_OTHER_NAMES.get(field.name), PREFIX + field.name.upper()):
                if name is not None and environ.get(name):
                    found[field.name] = _parsed(name, environ[name], field.name)
        return cls(**{**found, **overrides})


def address(
    base_url: str | None, api_key: str | None, environ: Mapping[str, str] = os.environ
) -> tuple[str, str | None]:
    """What is given, else what the environment says; the URL is empty when nobody says.

    White space around a key, such as the line end of the file it was read from, is no part of it. Raises ValueError for
    a key that HTTP cannot carry, without showing it.
    """
    key = (api_key or environ.get(KEY) or "").strip()
    if not _sendable(key):
        raise ValueError("the API key has characters that HTTP cannot carry")
    return base_url or environ.get(URL) or "", key or None


def history_path(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the shell keeps what was typed: in the folder that the XDG specification has for such state."""
    state = environ.get("XDG_STATE_HOME", "")
    folder = Path(state) if state.startswith("/") else Path.home() / ".local" / "state"
    return folder / "kuzu-client" / "history"


def _parsed(variable: str, text: str, field: str) -> Any:
    parse = _PARSERS.get(field, float)
    try:
        return parse(text)
    except ValueError as error:
        raise ValueError(f"{variable}={text!r}: {error}") from None


def _truth(text: str) -> bool:
    known = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
    try:
        return known[text.strip().lower()]
    except KeyError:
        raise ValueError("say true or false") from None


def _headers(text: str) -> dict[str, str]:
    """`Name: value` pairs, separated by commas."""
    found = {}
    for pair in text.split(","):
        name, colon, value = pair.partition(":")
        if not colon or not name.strip():
            raise ValueError("say Name: value, Name: value")
        found[name.strip()] = value.strip()
    return found


_PARSERS: dict[str, Callable[[str], Any]] = {
    "max_retries": int,
    "max_connections": int,
    "max_keepalive_connections": int,
    "circuit_breaker_threshold": int,
    "verify_ssl": _truth,
    "http2": _truth,
    "retries_enabled": _truth,
    "circuit_breakers_enabled": _truth,
    "ca_bundle": str,
    "client_cert": str,
    "headers": _headers,
}
