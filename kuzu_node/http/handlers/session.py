"""What a request for a session gets that is no WebSocket; `http/session/` serves those that are."""

from __future__ import annotations

from kuzu_node.errors import RequestRefused
from kuzu_node.http.ports import Node
from kuzu_node.http.request import Request
from kuzu_node.http.response import Response
from kuzu_node.http.session.messages import SUBPROTOCOL


async def open_session(node: Node, request: Request) -> Response:
    node.databases.get(request.graph_id)
    raise RequestRefused(f"a session is a WebSocket: upgrade with the subprotocol {SUBPROTOCOL}, by HTTP/1.1")
