"""Cross-origin calls from the configured origins; without any, no answer mentions them."""

from __future__ import annotations

from typing import Final

import attrs

from kuzu_node.http.request import Request
from kuzu_node.http.response import Header, Response

REQUEST_HEADERS: Final = b"authorization, content-type, accept, x-kuzu-api-key, x-request-id, traceparent"
ANSWER_HEADERS: Final = b"x-request-id, retry-after, server-timing, x-streaming"
MAX_AGE: Final = b"600"


@attrs.frozen
class Cors:
    """`origins` as browsers write them, `https://app.example`; `*` stands for all."""

    origins: tuple[str, ...]

    def allows(self, request: Request) -> bool:
        """The request comes from a page of a configured origin."""
        origin = request.headers.get(b"origin")
        return origin is not None and ("*" in self.origins or origin.decode("latin-1") in self.origins)

    def headers(self, request: Request) -> tuple[Header, ...]:
        """What an answer to this request carries."""
        if not self.origins:
            return ()
        if not self.allows(request):
            return ((b"vary", b"origin"),)
        return (
            (b"vary", b"origin"),
            (b"access-control-allow-origin", request.headers[b"origin"]),
            (b"access-control-expose-headers", ANSWER_HEADERS),
        )

    def preflight(self, allowed: tuple[str, ...]) -> Response:
        """The answer to OPTIONS, beside `headers`."""
        methods = ", ".join(allowed).encode()
        headers = (
            (b"allow", methods),
            (b"access-control-allow-methods", methods),
            (b"access-control-allow-headers", REQUEST_HEADERS),
            (b"access-control-max-age", MAX_AGE),
        )
        return Response(200, b"", b"text/plain", headers)
