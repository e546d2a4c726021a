"""The shape of a line of the route table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import attrs

from kuzu_node.http.policy import Policy
from kuzu_node.http.ports import Node
from kuzu_node.http.request import Request
from kuzu_node.http.response import Response, Streamed

Handler = Callable[[Node, Request], Awaitable[Response | Streamed]]


@attrs.frozen(kw_only=True)
class Doc:
    """What the description of the API says about a route: models of bodies, and media types that no model describes.

    `query` has the JSON schema of each parameter of the query string.
    """

    summary: str
    answer: type[Any] | None = None
    status: int = 200
    answer_media: tuple[str, ...] = ()
    request: type[Any] | None = None
    request_media: tuple[str, ...] = ()
    query: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict)


@attrs.frozen
class Route:
    method: str
    template: str
    handler: Handler
    policy: Policy
    doc: Doc
