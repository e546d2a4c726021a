"""What of a call goes over the wire, and what its transport told while it went: the same for both clients."""

from __future__ import annotations

import secrets
import urllib.parse
from collections.abc import Mapping
from typing import Any

import attrs
import httpcore
import httpx

from kuzu_client._core.calls import Call
from kuzu_client._core.failures import JSON

# A node that does not take a connection within this time is tried again, if the call has time left.
CONNECT_SECONDS = 5.0


@attrs.frozen(kw_only=True)
class Endpoint:
    """A node's address, without a slash at its end, and the headers of every request to it."""

    base_url: str
    headers: Mapping[str, str]

    @classmethod
    def at(cls, base_url: str, api_key: str | None, headers: Mapping[str, str]) -> Endpoint:
        """Raises ValueError unless it is an http or https URL. An empty one is an endpoint that nobody can reach."""
        parts = urllib.parse.urlsplit(base_url)
        if base_url and (parts.scheme not in ("http", "https") or not parts.hostname):
            raise ValueError(f"the base URL must begin with http:// or https:// and name a host, and is {base_url!r}")
        if parts.query or parts.fragment:
            raise ValueError("the base URL must have neither a query nor a fragment")
        key = {} if api_key is None else {"X-Kuzu-API-Key": api_key}
        # Bodies are taken as they come: with an encoding, pieces would not be what the node sent.
        own = {"Host": httpx.URL(base_url).netloc.decode(), "Accept-Encoding": "identity"}
        return cls(base_url=base_url.rstrip("/"), headers={**own, **headers, **key})

    @property
    def secure(self) -> bool:
        return self.base_url.startswith("https:")

    def url(self, call: Call) -> httpx.URL:
        query = "?" + urllib.parse.urlencode(call.query) if call.query else ""
        return httpx.URL(self.base_url + call.path + query)

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


def new_key() -> str:
    return secrets.token_hex(16)


def timeouts(seconds_left: float, stall: float) -> dict[str, float]:
    """For httpx. What bounds the whole of an attempt is its deadline; these bound each step, and those of streams."""
    left = max(seconds_left, 0.0)
    return {"connect": min(left, CONNECT_SECONDS), "pool": left, "read": stall, "write": stall}


@attrs.define
class Tracks:
    """What httpcore's trace tells of one request: whether it got a connection, a new one, and wrote to it.

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
            # A node cannot act on half a header. Of a write that was cut short by a deadline, more may have left.
            self.sending = False

    @property
    def reused(self) -> bool | None:
        return not self.connected if self.assigned else None
