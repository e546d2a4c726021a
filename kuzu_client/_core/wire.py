"""What of a call goes over the wire, and what its transport told while it went: the same for both clients."""

from __future__ import annotations

import secrets
import urllib.parse
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import attrs
import h11
import httpcore
import httpx

from kuzu_client._core.calls import Call
from kuzu_client._core.failures import JSON

# A node that does not take a connection within this time is tried again, if the call has time left.
CONNECT_SECONDS = 5.0
READ_BYTES = 64 << 10
# Up to here a body goes out in one write with its head: a node that is woken once answers sooner than one woken twice.
JOINED_BYTES = 64 << 10
# Of the head of an answer; httpcore's number.
HEAD_BYTES = 100 << 10
PORTS = {"http": 80, "https": 443}


@attrs.frozen(kw_only=True)
class Endpoint:
    """A node's address, without a slash at its end, and the headers of every request to it."""

    base_url: str
    headers: Mapping[str, str] = attrs.field(repr=False)  # the key is among them

    @classmethod
    def at(cls, base_url: str, api_key: str | None, headers: Mapping[str, str]) -> Endpoint:
        """Raises ValueError unless it is an http or https URL. An empty one is an endpoint that nobody can reach."""
        try:
            parts = urllib.parse.urlsplit(base_url)
            port = parts.port
            netloc = httpx.URL(base_url).netloc.decode()
        except (ValueError, httpx.InvalidURL) as error:
            # Not shown: it may hold a password.
            raise ValueError(f"the base URL is none: {error}") from error
        if base_url and (parts.scheme not in ("http", "https") or not parts.hostname or port == 0):
            raise ValueError(f"the base URL must begin with http:// or https:// and name a host, and is {base_url!r}")
        if parts.username is not None:
            # Observers and errors name the URL; and nothing would make use of it.
            raise ValueError("the base URL must not hold a user or password: give api_key, or headers")
        if parts.query or parts.fragment:
            raise ValueError("the base URL must have neither a query nor a fragment")
        key = {} if api_key is None else {"X-Kuzu-API-Key": api_key}
        # Bodies are taken as they come: with an encoding, pieces would not be what the node sent.
        own = {"Host": netloc, "Accept-Encoding": "identity"}
        return cls(base_url=base_url.rstrip("/"), headers={**own, **headers, **key})

    @property
    def secure(self) -> bool:
        return self.base_url.startswith("https:")

    @property
    def address(self) -> tuple[str, int]:
        """Host and port to connect to."""
        url = httpx.URL(self.base_url)
        return url.raw_host.decode(), url.port or PORTS.get(url.scheme, 0)

    def url(self, call: Call) -> httpx.URL:
        query = "?" + urllib.parse.urlencode(call.query) if call.query else ""
        return parsed(self.base_url + call.path + query)

    def headers_of(self, call: Call, key: str | None) -> dict[str, str]:
        """`key` is the Idempotency-Key."""
        found = {**self.headers, "Accept": call.accept or JSON, **dict(call.headers)}
        if call.body is not None:
            found["Content-Type"] = call.body.media_type
            length = len(call.body.content) if call.body.pieces is None else call.body.length
            found |= {"Transfer-Encoding": "chunked"} if length is None else {"Content-Length": str(length)}
        elif call.method in ("POST", "PUT"):
            found["Content-Length"] = "0"
        if key is not None:
            found["Idempotency-Key"] = key
        return found


@lru_cache(maxsize=256)
def parsed(url: str) -> httpx.URL:
    """Taking a URL to pieces costs as much as reading the head of an answer, and most calls go to a few of them."""
    return httpx.URL(url)


def new_http() -> h11.Connection:
    return h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES)


def new_key() -> str:
    return secrets.token_hex(16)


def timeouts(seconds_left: float, stall: float) -> dict[str, float]:
    """For httpx. What bounds the whole of an attempt is its deadline; these bound each step, and those of streams."""
    left = max(seconds_left, 0.0)
    return {"connect": min(left, CONNECT_SECONDS), "pool": left, "read": stall, "write": stall}


@attrs.define
class Tracks:
    """What the trace tells of one request: whether it got a connection, a new one, and wrote to it.

    Its events are httpcore's, whose names `stack.py` uses as well.

    Of a transport that does not trace, nothing is known: see `Exchange.traces`.
    """

    connected: bool = False
    assigned: bool = False
    sending: bool = False

    def note(self, event: str, info: Mapping[str, Any]) -> None:
        if event.endswith("connect_tcp.started"):
            self.connected = True
        elif event.endswith("send_request_headers.started"):
            self.assigned = self.sending = True
        elif event.endswith("send_request_headers.failed") and isinstance(info.get("exception"), httpcore.WriteError):
            # A node cannot act on half a request. Of a write that was cut short by a deadline, more may have left.
            self.sending = False

    @property
    def queued(self) -> bool:
        """It has waited for a connection, and no more."""
        return not self.connected and not self.assigned

    @property
    def reused(self) -> bool | None:
        return not self.connected if self.assigned else None
