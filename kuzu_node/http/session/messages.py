"""The messages of sessions, read and written. Pure; docs/sessions.md is the contract.

An id is kept as the JSON text that it came as, more or less: nothing is done with it but to send it back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

import attrs
import msgspec

from kuzu_node.errors import Fault, InvalidBody, NodeError, RequestRefused
from kuzu_node.http.errors import members
from kuzu_node.http.models import above_zero
from kuzu_node.http.structure import Bodies

SUBPROTOCOL: Final = "kuzu.v1"
NO_ID: Final = b"null"
LONGEST_ID: Final = 1024
INT64: Final = range(-(2**63), 2**63)

_DECODER: Final = msgspec.json.Decoder()
_ENCODER: Final = msgspec.json.Encoder()
_NOT_JSON: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

Format = Literal["json", "arrow"]


@attrs.frozen(kw_only=True)
class QueryOrder:
    """One text to run. `timeout` is seconds, at most the node's own limit."""

    cypher: str
    parameters: Mapping[str, Any] = attrs.field(factory=dict)
    timeout: float | None = attrs.field(default=None, validator=above_zero)
    read_only: bool = False
    format: Format = "json"


@attrs.frozen(kw_only=True)
class BeginOrder:
    read_only: bool = False


@attrs.frozen
class CommitOrder:
    """Makes the transaction's writes durable."""


@attrs.frozen
class RollbackOrder:
    """Ends the transaction without a trace."""


@attrs.frozen
class Cancel:
    """`target` is the id of an order."""

    target: bytes


@attrs.frozen
class Ping:
    """Answered by a pong."""


@attrs.frozen
class Faulty:
    """What could not be read. It is answered in its turn."""

    error: NodeError


Said = QueryOrder | BeginOrder | CommitOrder | RollbackOrder | Cancel | Ping | Faulty

_MODELS: Final[dict[str, type[Any]]] = {
    "query": QueryOrder,
    "begin": BeginOrder,
    "commit": CommitOrder,
    "rollback": RollbackOrder,
    "ping": Ping,
}
_TYPES: Final = ", ".join([*_MODELS, "cancel"])
Decode = Callable[[str], Any]


def read_message(text: str, bodies: Bodies, decode: Decode = _DECODER.decode) -> tuple[bytes, Said]:
    """The id, NO_ID where it is of no use, and what is said. `decode` raises as msgspec's does, or RequestRefused."""
    try:
        document = decode(text)
    except _NOT_JSON as error:
        return NO_ID, Faulty(_not_json(error))
    except RequestRefused as error:
        return NO_ID, Faulty(error)
    if type(document) is not dict:
        return NO_ID, Faulty(RequestRefused("a message is a JSON object"))
    order_id = id_text(document.pop("id", None))
    if order_id is None:
        detail = f"a message needs an id: a string of at most {LONGEST_ID} characters or a 64-bit integer"
        return NO_ID, Faulty(RequestRefused(detail))
    try:
        return order_id, _read(document, bodies)
    except NodeError as error:
        return order_id, Faulty(error)


def id_text(value: object) -> bytes | None:
    """The id as JSON; None for what cannot be one."""
    if type(value) is int:
        return b"%d" % value if value in INT64 else None
    if type(value) is str and len(value) <= LONGEST_ID:
        return _ENCODER.encode(value)
    return None


def _read(document: dict[str, Any], bodies: Bodies) -> Said:
    kind = document.pop("type", None)
    if kind == "cancel":
        return _read_cancel(document)
    model = _MODELS.get(kind) if type(kind) is str else None
    if model is None:
        missing = "is required" if kind is None else f"must be one of {_TYPES}"
        raise _invalid(Fault("type", missing))
    said: Said = bodies.read(document, model)
    return said


def _read_cancel(document: dict[str, Any]) -> Cancel:
    given = document.pop("target", None)
    target = id_text(given)
    faults = [Fault(name, "is not a known field") for name in sorted(document)[:10] if document[name] is not None]
    if target is None:
        faults.append(Fault("target", "is required" if given is None else "must be an id: a string or an integer"))
    if faults:
        raise _invalid(*faults)
    assert target is not None
    return Cancel(target)


def _invalid(*faults: Fault) -> InvalidBody:
    return InvalidBody("; ".join(f"{fault.path} {fault.message}" for fault in faults), faults=faults)


def _not_json(error: Exception) -> RequestRefused:
    if isinstance(error, RecursionError):
        return RequestRefused("the message is nested too deeply")
    return RequestRefused(f"the message is not JSON: {error}")


def result(order_id: bytes, columns: tuple[str, ...], rows: bytes, row_count: int, milliseconds: float) -> bytes:
    """`rows` is the inside of their array."""
    named = _ENCODER.encode(columns)
    text = b'{"type":"result","id":%b,"columns":%b,"rows":[%b],"row_count":%d,"execution_time_ms":%.3f}'
    return text % (order_id, named, rows, row_count, milliseconds)


def columns(order_id: bytes, names: tuple[str, ...]) -> bytes:
    return b'{"type":"columns","id":%b,"columns":%b}' % (order_id, _ENCODER.encode(names))


def rows(order_id: bytes, inside: bytes | memoryview) -> bytes:
    """`inside` is that of their array."""
    return b"".join((b'{"type":"rows","id":%b,"rows":[' % order_id, inside, b"]}"))


def announced(order_id: bytes, row_count: int) -> bytes:
    """What comes before a binary message."""
    return b'{"type":"rows","id":%b,"binary":true,"row_count":%d}' % (order_id, row_count)


def done(order_id: bytes, milliseconds: float) -> bytes:
    return b'{"type":"done","id":%b,"execution_time_ms":%.3f}' % (order_id, milliseconds)


def done_query(order_id: bytes, row_count: int, milliseconds: float) -> bytes:
    return b'{"type":"done","id":%b,"row_count":%d,"execution_time_ms":%.3f}' % (order_id, row_count, milliseconds)


def pong(order_id: bytes) -> bytes:
    return b'{"type":"pong","id":%b}' % order_id


def error(order_id: bytes, failure: NodeError, *, committed: bool | None) -> bytes:
    document = {"type": "error", "id": msgspec.Raw(order_id), **members(failure), "committed": committed}
    return _ENCODER.encode(document)
