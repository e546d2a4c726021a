"""The messages of a session and what each does to the order it belongs to: pure. docs/sessions.md is the contract.

`session` sends what is made here, hands in what comes, and wakes those who wait.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, Final, Generic, Literal, TypeVar

import attrs
import msgspec

from kuzu_client._core.encoding import json_body, parameters
from kuzu_client._core.failures import from_answer
from kuzu_client.errors import KuzuAPIError

SUBPROTOCOL: Final = "kuzu.v1"
# Of one from the node; a single long row may need it.
MAX_MESSAGE_BYTES: Final = 64 * 2**20
Format = Literal["json", "arrow"]
Batch = list[dict[str, Any]] | bytes
_PROBLEM: Final = {"content-type": "application/problem+json"}


class ProtocolViolation(Exception):
    """The other side has said what the contract does not allow: from here on nothing it says can be trusted."""


class Phase(enum.Enum):
    """Of an order. A session that ends takes every order to its end."""

    WAITING = "waiting"
    SENT = "sent"
    ANSWERING = "answering"
    ENDED = "ended"


class Kind(enum.Enum):
    QUERY = "query"
    BEGIN = "begin"
    COMMIT = "commit"
    ROLLBACK = "rollback"
    CANCEL = "cancel"
    PING = "ping"


class Effect(enum.Enum):
    """What an order may leave in the database if its answer never comes."""

    NONE = "none"
    UNKNOWN = "unknown"


@attrs.define(eq=False)
class Order:
    """One message to the node, and what has come back for it.

    An `abandoned` one is waited for by nobody: its rows are dropped. Those that `holds_slot` count against the limit of
    orders under way.
    """

    id: int
    kind: Kind
    text: str
    effect: Effect = Effect.NONE
    phase: Phase = Phase.WAITING
    abandoned: bool = False
    holds_slot: bool = False
    columns: list[str] = attrs.field(factory=list)
    rows_seen: int = 0
    execution_time_ms: float = 0.0
    failure: KuzuAPIError | None = None

    @property
    def committed_if_lost(self) -> bool | None:
        """False where it is certain that nothing of it stays."""
        return None if self.phase is not Phase.WAITING and self.effect is Effect.UNKNOWN else False


class Message(msgspec.Struct):
    """What of a message is needed for its place; unknown members are ignored."""

    type: str
    id: str | int | None = None
    columns: list[str] = []
    rows: list[dict[str, Any]] = []
    binary: bool = False
    row_count: int | None = None
    execution_time_ms: float = 0.0


class Problem(msgspec.Struct):
    """The part of an `error` that chooses the exception."""

    status: int
    code: str


# Where a message takes an order from where it is; what is not here must not come.
_NEXT: Final[dict[tuple[Phase, str], Phase]] = {
    (Phase.SENT, "columns"): Phase.ANSWERING,
    (Phase.SENT, "result"): Phase.ENDED,
    (Phase.SENT, "done"): Phase.ENDED,
    (Phase.SENT, "error"): Phase.ENDED,
    (Phase.SENT, "pong"): Phase.ENDED,
    (Phase.ANSWERING, "rows"): Phase.ANSWERING,
    (Phase.ANSWERING, "done"): Phase.ENDED,
    (Phase.ANSWERING, "error"): Phase.ENDED,
}
_TYPES: Final = frozenset(said for _, said in _NEXT)
_OF_QUERIES: Final = frozenset({"columns", "rows", "result"})

OrderT = TypeVar("OrderT", bound=Order)


@attrs.define(eq=False)
class Conversation(Generic[OrderT]):
    """The orders under way, by id. Messages from the node change them, or raise ProtocolViolation."""

    under_way: dict[int, OrderT] = attrs.field(factory=dict)
    _announced: tuple[OrderT, int] | None = None
    _decoder: msgspec.json.Decoder[Message] = attrs.field(factory=lambda: msgspec.json.Decoder(Message))
    _problems: msgspec.json.Decoder[Problem] = attrs.field(factory=lambda: msgspec.json.Decoder(Problem))

    def receive(self, message: str | bytes) -> tuple[OrderT, Batch | None] | None:
        """The order that it is for, and rows if it brings some. None for a message of a type that is not known."""
        if isinstance(message, bytes):
            return self._binary(message)
        if self._announced is not None:
            raise ProtocolViolation("rows were announced, and text came instead")
        try:
            said = self._decoder.decode(message)
        except msgspec.MsgspecError as error:
            raise ProtocolViolation(f"a message cannot be read: {error}") from None
        if said.type not in _TYPES:
            return None
        if said.id is None and said.type == "error":
            failure = self._failure(message)
            raise ProtocolViolation(f"the node could not read a message: {failure}") from failure
        order = self.under_way.get(said.id) if isinstance(said.id, int) else None
        if order is None:
            raise ProtocolViolation(f"{said.type} came for {said.id!r}, which is not under way")
        return order, self._advance(order, said, message)

    def sent(self, order: OrderT) -> None:
        order.phase = Phase.SENT
        order.text = ""

    def end(self, order: OrderT) -> None:
        order.phase = Phase.ENDED
        self.under_way.pop(order.id, None)

    def _advance(self, order: OrderT, said: Message, message: str) -> Batch | None:
        after = _NEXT.get((order.phase, said.type))
        if after is None or (said.type in _OF_QUERIES and order.kind is not Kind.QUERY):
            raise ProtocolViolation(f"{said.type} came for a {order.kind.value} that is {order.phase.value}")
        batch: Batch | None = None
        if said.type == "rows":
            batch = self._rows(order, said)
        elif said.type in ("columns", "result"):
            order.columns = said.columns
            if said.type == "result":
                batch = said.rows
                order.rows_seen = len(said.rows)
        elif said.type == "error":
            order.failure = self._failure(message)
        if after is Phase.ENDED:
            order.execution_time_ms = said.execution_time_ms
            if order.failure is None and said.row_count not in (None, order.rows_seen):
                raise ProtocolViolation(f"{order.rows_seen} rows have come of {said.row_count}")
            self.end(order)
        else:
            order.phase = after
        return batch

    def _rows(self, order: OrderT, said: Message) -> Batch | None:
        if said.binary:
            self._announced = order, said.row_count or 0
            return None
        order.rows_seen += len(said.rows)
        return said.rows

    def _binary(self, message: bytes) -> tuple[OrderT, Batch | None]:
        if self._announced is None:
            raise ProtocolViolation("a binary message came that nothing had announced")
        (order, count), self._announced = self._announced, None
        order.rows_seen += count
        return order, message

    def _failure(self, message: str) -> KuzuAPIError:
        body = message.encode()
        try:
            problem = self._problems.decode(body)
        except msgspec.MsgspecError as error:
            raise ProtocolViolation(f"an error cannot be read: {error}") from None
        return from_answer(problem.status, _PROBLEM, body)


def query_text(
    order_id: int,
    cypher: str,
    given: Mapping[str, Any] | None,
    *,
    timeout: float | None = None,
    read_only: bool = False,
    answer: Format = "json",
) -> str:
    """Raises ValueError and TypeError for parameters that JSON cannot carry."""
    return _text(
        type="query",
        id=order_id,
        cypher=cypher,
        parameters=parameters(given) or None,
        timeout=timeout,
        read_only=read_only or None,
        format=None if answer == "json" else answer,
    )


def order_text(order_id: int, kind: Kind, *, read_only: bool = False, target: int | None = None) -> str:
    """Of all kinds but queries."""
    return _text(type=kind.value, id=order_id, read_only=read_only or None, target=target)


def _text(**fields: Any) -> str:
    return json_body(**fields).content.decode()
