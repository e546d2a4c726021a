"""From a request for a session to its end: refusals before the handshake, those after it, and the log line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs
import structlog
import trio

from kuzu_node.core.routing import Mismatch, Router
from kuzu_node.errors import Forbidden, NodeError, NotFound, RequestRefused, Unauthorized, Unavailable
from kuzu_node.http.auth import check_key
from kuzu_node.http.errors import problem
from kuzu_node.http.policy import Gatekeeper
from kuzu_node.http.ports import Database, Node
from kuzu_node.http.request import GRAPH_ID, Context, collect_headers, request_id
from kuzu_node.http.response import Receive, Send, start_message
from kuzu_node.http.session.conversation import Conversation
from kuzu_node.http.session.inbox import Inbox
from kuzu_node.http.session.messages import SUBPROTOCOL
from kuzu_node.http.session.orders import Orders
from kuzu_node.http.session.outbox import Ending, open_outbox

TEMPLATE: Final = "/databases/{graph_id}/session"


@attrs.frozen(kw_only=True)
class Opening:
    """A request for a session that may be accepted. `refusal`: only to be closed again."""

    graph_id: str
    request_id: str
    database: Database | None = None
    refusal: Ending | None = None


def _router() -> Router[None]:
    return Router([("GET", TEMPLATE, None)])


@attrs.define(eq=False)
class Upgrades:
    """Serves every WebSocket of one app."""

    node: Node
    context: Context
    gatekeeper: Gatekeeper
    _router: Router[None] = attrs.field(init=False, factory=_router)
    _log: Any = attrs.field(init=False, factory=lambda: structlog.get_logger().bind())

    async def serve(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Returns when the socket is closed. A fault of the node is raised; the server then closes with 1011."""
        headers = collect_headers(scope["headers"])
        name = request_id(headers)
        if (await receive())["type"] != "websocket.connect":
            return
        try:
            opening = self._admit(scope, headers, name.decode())
        except NodeError as error:
            await _refuse(send, error, name)
            return
        accept = {"type": "websocket.accept", "subprotocol": SUBPROTOCOL, "headers": [(b"x-request-id", name)]}
        if opening.database is None:
            assert opening.refusal is not None
            await send(accept)
            await send({"type": "websocket.close", "code": opening.refusal.code, "reason": opening.refusal.reason})
            return
        began = trio.current_time()
        with self.node.sessions.taken(opening.graph_id):
            await send(accept)
            answered, ending = await self._converse(opening, opening.database, scope, receive, send)
        self._log.info(
            "session",
            database=opening.graph_id,
            request_id=opening.request_id,
            close_code=1006 if ending is None else ending.code,
            orders=answered,
            duration_ms=round((trio.current_time() - began) * 1000, 3),
        )

    def _admit(self, scope: Mapping[str, Any], headers: Mapping[bytes, bytes], name: str) -> Opening:
        """Raises what the upgrade is refused with; what a script in a browser has to see comes after the accept."""
        self.gatekeeper.check_sizes(scope)
        found = self._router.match("GET", scope["raw_path"])
        if isinstance(found, Mismatch):
            raise NotFound("this node serves no WebSocket here", code="unknown_route")
        self._check_origin(headers)
        if SUBPROTOCOL not in scope["subprotocols"]:
            raise RequestRefused(f"a session speaks the subprotocol {SUBPROTOCOL}: offer it")
        if self.node.draining:
            raise Unavailable("the node is draining and takes no new work", code="draining", retry_after=5)
        graph_id = found.params["graph_id"]
        try:
            check_key(headers, self.context.config.http.api_keys)
            if GRAPH_ID.fullmatch(graph_id) is None:
                raise NotFound("a database name has 1 to 64 letters, digits, _ and -")
            database = self.node.databases.get(graph_id)
        except (Unauthorized, NotFound) as error:
            code = 4404 if isinstance(error, NotFound) else 4401
            return Opening(graph_id=graph_id, request_id=name, refusal=Ending(code=code, reason=error.code))
        if self.node.sessions.full(graph_id):
            most = self.node.sessions.most
            raise Unavailable(f"{most} sessions are open on this database", code="pool_exhausted", retry_after=1)
        return Opening(graph_id=graph_id, request_id=name, database=database)

    def _check_origin(self, headers: Mapping[bytes, bytes]) -> None:
        """Browsers ask nobody before they let a page open a WebSocket, and an open server has no key to stop it."""
        origin = headers.get(b"origin")
        origins = self.context.config.http.cors_origins
        if origin is None or "*" in origins or origin.decode("latin-1") in origins:
            return
        if origin.partition(b"://")[2] != headers.get(b"host"):
            raise Forbidden("pages of this origin may not open sessions: see KUZU_CORS_ORIGINS")

    async def _converse(
        self, opening: Opening, database: Database, scope: Mapping[str, Any], receive: Receive, send: Send
    ) -> tuple[int, Ending | None]:
        """How many orders were answered and how the socket was closed; None when the client was gone."""
        config = self.context.config
        names = {"database": opening.graph_id, "request_id": opening.request_id, "route": TEMPLATE}
        inbox = Inbox(config.http.max_request_size)
        ending: Ending | None = None
        answered = 0
        with trio.CancelScope() as gone:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_watch_peer, scope, gone, name="session peer")
                async with open_outbox(send) as outbox:
                    async with database.session() as session:
                        orders = Orders(config, session, inbox, outbox, self.gatekeeper, opening.request_id, names)
                        conversation = Conversation(
                            self.node, self.context, database, session, receive, outbox, inbox, orders, gone
                        )
                        try:
                            farewell = await conversation.run()
                        finally:
                            answered = conversation.inbox.done
                    await outbox.close(farewell)
                ending = farewell
                nursery.cancel_scope.cancel()
        return answered, ending


async def _watch_peer(scope: Mapping[str, Any], gone: trio.CancelScope) -> None:
    """The reader learns only at its next message that there is nobody any more, and it may not be reading."""
    await scope["extensions"]["websocket.gone"]()
    gone.cancel()


async def _refuse(send: Send, error: NodeError, name: bytes) -> None:
    response = problem(error, name.decode())
    start = start_message(response, [(b"x-request-id", name)])
    await send({**start, "type": "websocket.http.response.start"})
    await send({"type": "websocket.http.response.body", "body": response.body, "more_body": False})
