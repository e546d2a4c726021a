"""What the engine side hands to its callers: plain frozen values, no handles."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

import attrs


class State(enum.Enum):
    """Where a database stands; `Database` is the only one that moves it."""

    CLOSED = "closed"
    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    DEGRADED = "degraded"
    FAILED = "failed"


class Form(enum.Enum):
    """The representations a result can be asked for.

    Those of sessions are bare rows: JSON objects with commas between them, a complete piece for each message and every
    one but the first with its comma ahead; or Arrow streams of at most about 4 MiB, one a message.
    """

    JSON = "json"
    NDJSON = "ndjson"
    JSONL = "jsonl"
    ARROW = "arrow"
    CSV = "csv"
    SESSION = "session"
    SESSION_ARROW = "session_arrow"


@attrs.define(eq=False, kw_only=True)
class Query:
    """One text to run. `committed` is kept true to what is known, for whoever has to report a time-out."""

    cypher: str
    parameters: Mapping[str, Any] = attrs.field(factory=dict)
    form: Form = Form.JSON
    chunk_size: int = 1000
    read_only: bool = False
    request_id: str = "-"
    committed: bool | None = False


@attrs.frozen(kw_only=True)
class TransactionStatement:
    """`parameter_sets` runs the one text for each set; else it runs once with `parameters`."""

    cypher: str
    parameters: Mapping[str, Any] = attrs.field(factory=dict)
    parameter_sets: tuple[Mapping[str, Any], ...] | None = None


@attrs.define(eq=False, kw_only=True)
class Transaction:
    """Statements that commit together or not at all."""

    statements: tuple[TransactionStatement, ...]
    read_only: bool = False
    request_id: str = "-"
    committed: bool | None = False


@attrs.frozen(kw_only=True)
class Piece:
    """Bytes of a body, relayed as they came. `rows` end in it; `complete`: it ends at a line's end."""

    body: bytes
    rows: int
    complete: bool


@attrs.frozen(kw_only=True)
class Timing:
    """Milliseconds: waiting for locks and slots, in the engine, in the encoder (0 while unknown)."""

    queue_ms: float
    execute_ms: float
    encode_ms: float


@attrs.frozen(kw_only=True)
class DatabaseSpec:
    """What a database is created from. `ddl` are the statements of its schema, in order."""

    graph_id: str
    schema_type: str
    ddl: tuple[str, ...]
    repository_name: str | None = None
    is_subgraph: bool = False
    tenant_tier: str = "standard"


@attrs.frozen(kw_only=True)
class DatabaseInfo:
    """`size_bytes` counts the file and its log. Times are ISO 8601 in UTC."""

    graph_id: str
    database_path: str
    created_at: str
    size_bytes: int
    read_only: bool
    is_healthy: bool
    last_accessed: str | None
    state: State
    restarts: int
    last_error: str | None
    schema_type: str
    is_subgraph: bool
    query_count: int


@attrs.frozen(kw_only=True)
class Property:
    name: str
    type: str
    primary_key: bool


@attrs.frozen(kw_only=True)
class Table:
    """`connections` are the (from, to) pairs of a relationship table, empty for a node table."""

    id: int
    name: str
    type: str
    comment: str
    properties: tuple[Property, ...]
    connections: tuple[tuple[str, str], ...] = ()


@attrs.frozen(kw_only=True)
class GraphSize:
    """Counts are of rows in all node and all relationship tables; `last_modified` is the file's mtime, ISO 8601."""

    size_bytes: int
    node_count: int
    relationship_count: int
    last_modified: str


@attrs.frozen(kw_only=True)
class LoadRequest:
    """A file of rows in the database's staging folder, to be appended to one table."""

    table: str
    path: str
    format: str
    ignore_errors: bool = False
    match: str = "name"
    header: bool = True
    delimiter: str = ","


@attrs.frozen(kw_only=True)
class Skipped:
    reason: str
    count: int
    examples: tuple[str, ...]


@attrs.frozen(kw_only=True)
class LoadResult:
    rows_processed: int
    rows_inserted: int
    rows_skipped: int
    skipped: tuple[Skipped, ...]
    execution_time_ms: float
