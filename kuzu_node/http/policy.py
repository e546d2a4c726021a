"""What a request must pass before its handler runs, in one fixed order: key, admission, body, representation."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, Final

import attrs
import trio

from kuzu_node.config.values import HttpConfig
from kuzu_node.core.negotiation import choose
from kuzu_node.errors import RequestRefused, Unavailable
from kuzu_node.http.auth import check_key
from kuzu_node.http.ports import Node
from kuzu_node.http.request import Request, too_large

JSON_OFFER: Final = ("application/json",)
ADMISSION_SECONDS: Final = 0.25


class Access(enum.Enum):
    """Who may call a route: anyone, anyone when KUZU_PUBLIC_METRICS is set, or whoever has a key."""

    PUBLIC = enum.auto()
    METRICS = enum.auto()
    KEY = enum.auto()


class Body(enum.Enum):
    """What a route reads: nothing, a JSON document within the size limit, or bytes of any length."""

    NONE = enum.auto()
    JSON = enum.auto()
    STREAM = enum.auto()


@attrs.frozen(kw_only=True)
class Policy:
    """`takes_work`: refused while the node drains or is overloaded. `is_statement`: errors say `committed`.

    `produces` are the media types it can answer with; a handler that chooses by itself has none.
    """

    access: Access = Access.KEY
    body: Body = Body.NONE
    takes_work: bool = False
    is_statement: bool = False
    produces: tuple[str, ...] = JSON_OFFER


@attrs.define(eq=False)
class Gatekeeper:
    """Applies policies for one node. What it knows of the node's load is at most ADMISSION_SECONDS old."""

    node: Node
    http: HttpConfig
    _refusal: str | None = None
    _looked_at: float = float("-inf")

    def check_envelope(self, request: Request) -> None:
        """What can be said before the route is known. Raises RequestRefused."""
        self.check_sizes(request.scope)
        if request.ambiguous_length:
            raise RequestRefused("Content-Length and Transfer-Encoding exclude each other")

    def check_sizes(self, scope: Mapping[str, Any]) -> None:
        """Of path and headers. Raises RequestRefused."""
        if len(scope["raw_path"]) + len(scope.get("query_string", b"")) > self.http.max_path_length:
            limit = self.http.max_path_length
            raise RequestRefused(f"path and query are longer than {limit} bytes", code="path_too_long")
        size = sum([len(name) + len(value) for name, value in scope["headers"]])
        if size > self.http.max_header_size:
            limit = self.http.max_header_size
            raise RequestRefused(f"the headers are longer than {limit} bytes", code="headers_too_large")

    def enforce(self, policy: Policy, request: Request) -> None:
        """Raise the error of the first check that fails."""
        if policy.access is Access.KEY or (policy.access is Access.METRICS and not self.http.public_metrics):
            check_key(request.headers, self.http.api_keys)
        if policy.takes_work:
            self._admit()
        if policy.body is not Body.NONE:
            self._check_body(policy.body, request)
        if policy.produces:
            _check_accept(policy.produces, request)

    def _admit(self) -> None:
        if self.node.draining:
            raise Unavailable("the node is draining and takes no new work", code="draining", retry_after=5)
        self.check_load()

    def check_load(self) -> None:
        """Raises Unavailable while the node has more to do than it should."""
        now = trio.current_time()
        if now - self._looked_at > ADMISSION_SECONDS:
            self._looked_at = now
            self._refusal = self._overload()
        if self._refusal is not None:
            raise Unavailable(self._refusal, code="admission", retry_after=2)

    def _overload(self) -> str | None:
        statistics = self.node.statistics()
        if statistics.memory_percent > self.http.admission_memory_percent:
            return f"memory is used to {statistics.memory_percent:.0f} %"
        limit = self.http.admission_cpu_percent
        if limit is not None and statistics.cpu_percent > limit:
            return f"the processors are busy to {statistics.cpu_percent:.0f} %"
        return None

    def _check_body(self, kind: Body, request: Request) -> None:
        encoding = request.headers.get(b"content-encoding", b"identity")
        if encoding.strip().lower() != b"identity":
            raise RequestRefused("bodies are taken without Content-Encoding", code="unsupported_media_type")
        if kind is Body.STREAM:
            return
        length = request.content_length
        if length is not None and length > self.http.max_request_size:
            raise too_large(self.http.max_request_size)
        content_type = request.headers.get(b"content-type")
        if content_type is not None and content_type != b"application/json":
            _check_json_type(content_type)


def _check_json_type(content_type: bytes) -> None:
    media_type, *parameters = (part.strip() for part in content_type.decode("latin-1").lower().split(";"))
    charsets = [part.partition("=")[2].strip('"') for part in parameters if part.startswith("charset=")]
    if media_type != "application/json" or any(charset not in ("utf-8", "utf8") for charset in charsets):
        raise RequestRefused("the body must be application/json in UTF-8", code="unsupported_media_type")


def _check_accept(produces: tuple[str, ...], request: Request) -> None:
    accept = request.headers.get(b"accept")
    if accept is None or accept == b"*/*":
        return
    if choose(accept, dict.fromkeys(produces, True)) is None:
        raise RequestRefused("this answers with " + " or ".join(produces), code="not_acceptable")
