"""What the frames between node and worker carry, as msgpack. Shared by both sides, so it imports neither.

Field names travel as array positions: both sides are always of one version, and a small answer stays small.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from kuzu_node.core.frames import FrameError

T = TypeVar("T")
KeyTypes = dict[str, tuple[str, str]]


class RunQuery(msgspec.Struct, tag=True, array_like=True):
    """Statements that each commit by themselves; the last one's result is the answer.

    `writes[i]` says that statement i may change the graph. `ddl`: report the key types afterwards. `held`: within the
    transaction that `Begin` has opened, which a failure ends. `kept`: the lane keeps its Connection from now on.
    """

    texts: list[str]
    writes: list[bool]
    parameters: dict[str, Any]
    form: str
    chunk_size: int
    database: str
    timeout_ms: int
    ddl: bool = False
    held: bool = False
    kept: bool = False


class RunSeveral(msgspec.Struct, tag=True, array_like=True):
    """Reads that each stand for themselves, in their order, up to the first that fails or answers with much.

    None is begun `budget_ms` after the first. The answers come in groups for `read_done`: the bodies of DATA frames, or
    that of the one RESULT.
    """

    queries: list[RunQuery]
    budget_ms: float


class RunTransaction(msgspec.Struct, tag=True, array_like=True):
    """Statements in one transaction, each a list of runs `(text, parameters)`; the last run's result stands for it.

    The answer is the JSON array of the results.
    """

    statements: list[list[tuple[str, dict[str, Any]]]]
    read_only: bool
    database: str
    timeout_ms: int
    ddl: bool = False


class RunBulk(msgspec.Struct, tag=True, array_like=True):
    """A bulk statement. With `begin` it stays open until `Commit` or `Rollback` on the control lane."""

    text: str
    parameters: dict[str, Any]
    begin: bool
    form: str
    chunk_size: int
    database: str
    timeout_ms: int


class RunLoad(msgspec.Struct, tag=True, array_like=True):
    """Rows of a staged file into one table, left open for `Commit` (`logged`: as one ordinary transaction)."""

    table: str
    path: str
    format: str
    ignore_errors: bool
    match: str
    header: bool
    delimiter: str
    logged: bool


class RunSchema(msgspec.Struct, tag=True, array_like=True):
    """Tables, columns and connections, or with `counts` only the numbers of rows."""

    counts: bool


class Begin(msgspec.Struct, tag=True, array_like=True):
    """Opens a transaction in the lane, for `RunQuery` with `held`, until `End`."""

    read_only: bool


class End(msgspec.Struct, tag=True, array_like=True):
    """Ends the lane's transaction. `ddl`: report the key types afterwards."""

    commit: bool
    ddl: bool = False


class Renew(msgspec.Struct, tag=True, array_like=True):
    """Gives the lane a fresh Connection, without what the engine has kept for the one before."""


Run = RunQuery | RunSeveral | RunTransaction | RunBulk | RunLoad | RunSchema | Begin | End | Renew


class Executed(msgspec.Struct, array_like=True):
    """A statement has run. For a RESULT frame `encode_ms` is known and the body follows the message."""

    columns: list[str]
    row_count: int
    execute_ms: float
    encode_ms: float = 0.0
    key_types: KeyTypes | None = None
    value: Any = None


class Done(msgspec.Struct, array_like=True):
    """One of several reads. `size` of its body, in bytes."""

    columns: list[str]
    row_count: int
    execute_ms: float
    size: int


class Ended(msgspec.Struct, array_like=True):
    encode_ms: float


class Failed(msgspec.Struct, array_like=True):
    """`code` as in the HTTP contract, or `interrupted`. `statement` is the index of the one that failed."""

    code: str
    detail: str
    committed: bool | None
    statement: int | None = None
    line: int | None = None
    column: int | None = None


class Assign(msgspec.Struct, tag=True, array_like=True):
    """Turns a spare into the worker of one database. Sizes in bytes; answered by `Assigned`."""

    directory: str
    file: str
    owner: str
    pool_size: int
    max_db_size: int
    max_threads: int
    threads: int
    sandbox: str
    read_only: bool = False


class AddLane(msgspec.Struct, tag=True, array_like=True):
    """Comes with one descriptor, the lane's socket."""

    lane: int


class Checkpoint(msgspec.Struct, tag=True, array_like=True):
    """Only ever sent under the exclusive gate with the files set aside."""


class Commit(msgspec.Struct, tag=True, array_like=True):
    """COMMIT of the lane's open bulk statement, then CHECKPOINT; both under the exclusive gate."""

    lane: int


class Rollback(msgspec.Struct, tag=True, array_like=True):
    lane: int


class Memory(msgspec.Struct, tag=True, array_like=True):
    """Answered by the bytes of the buffer pool that are in use."""


class Close(msgspec.Struct, tag=True, array_like=True):
    """Exit without touching the files."""


Call = Assign | AddLane | Checkpoint | Commit | Rollback | Memory | Close


class Hello(msgspec.Struct, array_like=True):
    """A spare is ready to be assigned."""

    engine_version: str
    storage_version: int
    landlock_abi: int
    seccomp: bool


class Assigned(msgspec.Struct, array_like=True):
    """`indexes` are (table, kind) of full-text and vector indexes, kind as the engine calls it."""

    key_types: KeyTypes
    confined: bool
    indexes: list[tuple[str, str]]


class Committed(msgspec.Struct, array_like=True):
    """COMMIT and CHECKPOINT have both succeeded; the key types as they are now."""

    key_types: KeyTypes


_encoder = msgspec.msgpack.Encoder()
encode = _encoder.encode


def packed(value: object) -> msgspec.Raw:
    """The value as it travels in a message, for a field of any type: what is long is encoded where it was made."""
    return msgspec.Raw(encode(value))


decode_run = msgspec.msgpack.Decoder(Run).decode
decode_call = msgspec.msgpack.Decoder(Call).decode


def _decoder(kind: type[T]) -> Callable[[bytes], T]:
    """For what a worker says: its memory may be damaged, so whatever cannot be read is a FrameError."""
    decode = msgspec.msgpack.Decoder(kind).decode

    def read(payload: bytes) -> T:
        try:
            return decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise FrameError(f"no {kind.__name__}: {error}") from error

    return read


decode_executed = _decoder(Executed)
decode_ended = _decoder(Ended)
decode_failed = _decoder(Failed)
decode_hello = _decoder(Hello)
decode_assigned = _decoder(Assigned)
decode_committed = _decoder(Committed)
decode_number = _decoder(float)
decode_nothing = _decoder(type(None))

_decode_done = _decoder(list[Done])


def read_done(payload: bytes) -> list[tuple[Done, bytes]]:
    """A group of answers and their bodies: the length of the message, the message, the bodies. Raises FrameError."""
    start = 4 + int.from_bytes(payload[:4], "little")
    found = []
    for done in _decode_done(payload[4:start]):
        end = start + done.size
        found.append((done, payload[start:end]))
        start = end
    if start != len(payload):
        raise FrameError(f"{start} bytes of answers in a frame of {len(payload)}")
    return found
