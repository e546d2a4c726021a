"""What the repairs rely on in hypercorn, compared with what is installed. Run once, when the package is imported."""

from __future__ import annotations

import importlib
import inspect
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

HYPERCORN = "0.18.0"
# The fork of h11 compiled with mypyc, in the version whose source and behaviour were compared with h11 0.16.0.
COMPILED_H11 = "0.17.0"

_STREAM = ("self", "app", "config", "context", "task_group", "ssl", "client", "server", "send", "stream_id")
_PROTOCOL = (
    *("self", "app", "config", "context", "task_group", "connection_state", "ssl", "client", "server", "send"),
)

# Module, name, and the parameters of what is called or overridden; None where the name alone is used.
SYMBOLS: tuple[tuple[str, str, tuple[str, ...] | None], ...] = (
    ("hypercorn.app_wrappers", "ASGIWrapper.__init__", ("self", "app")),
    ("hypercorn.config", "Config.create_ssl_context", ("self",)),
    ("hypercorn.config", "Config.response_headers", ("self", "protocol")),
    ("hypercorn.config", "Config.log", None),
    ("hypercorn.events", "Closed", ()),
    ("hypercorn.events", "RawData", ("data", "address")),
    ("hypercorn.events", "Updated", ("idle",)),
    ("hypercorn.protocol.events", "Body", ("stream_id", "data")),
    ("hypercorn.protocol.events", "Data", ("stream_id", "data")),
    ("hypercorn.protocol.events", "EndBody", ("stream_id",)),
    ("hypercorn.protocol.events", "EndData", ("stream_id",)),
    ("hypercorn.protocol.events", "Request", ("stream_id", "headers", "http_version", "method", "raw_path", "state")),
    ("hypercorn.protocol.events", "Response", ("stream_id", "headers", "status_code")),
    ("hypercorn.protocol.events", "StreamClosed", ("stream_id",)),
    ("hypercorn.protocol.h2", "BufferCompleteError", None),
    ("hypercorn.protocol.h2", "H2Protocol.__init__", _PROTOCOL),
    ("hypercorn.protocol.h2", "H2Protocol._close_stream", ("self", "stream_id")),
    ("hypercorn.protocol.h2", "H2Protocol._create_stream", ("self", "request")),
    ("hypercorn.protocol.h2", "H2Protocol._flush", ("self",)),
    ("hypercorn.protocol.h2", "H2Protocol._handle_events", ("self", "events")),
    ("hypercorn.protocol.h2", "H2Protocol._priority_updated", ("self", "event")),
    ("hypercorn.protocol.h2", "H2Protocol._send_data", ("self", "stream_id")),
    ("hypercorn.protocol.h2", "H2Protocol.handle", ("self", "event")),
    ("hypercorn.protocol.h2", "H2Protocol.initiate", ("self", "headers", "settings")),
    ("hypercorn.protocol.h2", "H2Protocol.stream_send", ("self", "event")),
    ("hypercorn.protocol.http_stream", "ASGIHTTPState.RESPONSE", None),
    ("hypercorn.protocol.http_stream", "HTTPStream.__init__", _STREAM),
    ("hypercorn.protocol.http_stream", "HTTPStream.app_send", ("self", "message")),
    ("hypercorn.protocol.http_stream", "HTTPStream.handle", ("self", "event")),
    ("hypercorn.protocol.ws_stream", "ASGIWebsocketState.CONNECTED", None),
    ("hypercorn.protocol.ws_stream", "ASGIWebsocketState.HANDSHAKE", None),
    ("hypercorn.protocol.ws_stream", "ASGIWebsocketState.HTTPCLOSED", None),
    ("hypercorn.protocol.ws_stream", "FrameTooLargeError", None),
    ("hypercorn.protocol.ws_stream", "Handshake.__init__", ("self", "headers", "http_version")),
    ("hypercorn.protocol.ws_stream", "Handshake.accept", ("self", "subprotocol", "additional_headers")),
    ("hypercorn.protocol.ws_stream", "Handshake.is_valid", ("self",)),
    ("hypercorn.protocol.ws_stream", "WSStream.__init__", _STREAM),
    ("hypercorn.protocol.ws_stream", "WSStream._accept", ("self", "message")),
    ("hypercorn.protocol.ws_stream", "WSStream._handle_events", ("self",)),
    ("hypercorn.protocol.ws_stream", "WSStream._send_wsproto_event", ("self", "event")),
    ("hypercorn.protocol.ws_stream", "WSStream.app_send", ("self", "message")),
    ("hypercorn.protocol.ws_stream", "WSStream.handle", ("self", "event")),
    ("hypercorn.trio.task_group", "_handle", ("app", "config", "scope", "receive", "send", "sync_spawn", "call_soon")),
    ("hypercorn.trio.worker_context", "WorkerContext.__init__", ("self", "max_requests")),
    ("hypercorn.utils", "filter_pseudo_headers", ("headers",)),
    ("hypercorn.utils", "parse_socket_addr", ("family", "address")),
    ("hypercorn.utils", "suppress_body", ("method", "status_code")),
)


class UnexpectedHypercorn(ImportError):
    """The installed hypercorn is not the one that the repairs were written for."""


def verify_hypercorn(installed: str, symbols: tuple[tuple[str, str, tuple[str, ...] | None], ...] = SYMBOLS) -> None:
    """Raises UnexpectedHypercorn, naming everything that differs."""
    faults = [] if installed == HYPERCORN else [f"version {installed} instead of {HYPERCORN}"]
    for module, name, parameters in symbols:
        found = _find(module, name)
        if found is None:
            faults.append(f"{module}.{name} is gone")
        elif parameters is not None and tuple(inspect.signature(found).parameters) != parameters:
            faults.append(f"{module}.{name} takes {tuple(inspect.signature(found).parameters)} instead of {parameters}")
    if faults:
        raise UnexpectedHypercorn(
            "the repairs of the HTTP server do not fit the installed hypercorn: " + "; ".join(faults)
        )


def installed_hypercorn() -> str:
    return version("hypercorn")


def has_compiled_h11() -> bool:
    return find_spec("h11_mypyc") is not None and version("h11-mypyc") == COMPILED_H11


def _find(module: str, name: str) -> Any:
    try:
        found: Any = importlib.import_module(module)
    except ImportError:
        return None
    for part in name.split("."):
        found = getattr(found, part, None)
    return found
