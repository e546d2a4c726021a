"""What calls return: mappings whose keys also read as attributes, as `task["task_id"]` and `task.task_id`.

The annotations name the keys that the contract promises; a node may send more. Keys that are methods of a mapping, such
as `items`, are reached by subscription only. Objects within an answer read alike; rows are plain dictionaries, since
there may be millions of them.
"""

from __future__ import annotations

from typing import Any

ROWS = "data"


class Answer(dict[str, Any]):
    """One JSON object. An attribute that is not among its keys is an AttributeError."""

    def __getattr__(self, name: str) -> Any:
        try:
            value = self[name]
        except KeyError:
            raise AttributeError(f"the answer has no {name!r}; it has {', '.join(sorted(self))}") from None
        if type(value) is dict:
            value = self[name] = Answer(value)
        elif type(value) is list and value and type(value[0]) is dict and name != ROWS:
            value[:] = [Answer(entry) if type(entry) is dict else entry for entry in value]
        return value


class QueryResult(Answer):
    """`data` has one mapping a row, by column."""

    columns: list[str]
    data: list[dict[str, Any]]
    row_count: int
    execution_time_ms: float
    database: str


class Chunk(Answer):
    """A part of a result. `columns` are named in the first one; the last one has also what a QueryResult has."""

    chunk_index: int
    data: list[dict[str, Any]]
    columns: list[str]
    is_last_chunk: bool
    row_count: int
    total_rows_sent: int


class TransactionResult(Answer):
    """`results` has one entry a statement: columns, data, row_count."""

    results: list[Answer]
    execution_time_ms: float
    database: str


class Health(Answer):
    """`status`: healthy, degraded or draining."""

    status: str
    uptime_seconds: float
    database_count: int


class NodeInfo(Answer):
    """`features` lists what this node serves."""

    node_id: str
    node_type: str
    databases: list[str]
    features: list[str]


class DatabaseInfo(Answer):
    """Sizes in bytes, with the log; `last_accessed` is None when it never was."""

    graph_id: str
    database_path: str
    created_at: str
    size_bytes: int
    read_only: bool
    is_healthy: bool
    last_accessed: str | None


class DatabaseList(Answer):
    """`databases` has what `get_database` answers, one after the other."""

    databases: list[Answer]
    total_databases: int
    total_size_bytes: int
    node_capacity: Answer


class DatabaseMetrics(Answer):
    """Sizes and counts."""

    graph_id: str
    size_bytes: int
    node_count: int
    relationship_count: int


class Table(Answer):
    """`type`: NODE, with a primary key among its properties, or REL, with `connections`."""

    id: int
    name: str
    type: str
    properties: list[Answer]
    connections: list[Answer]


class SchemaChange(Answer):
    """What was added to a schema."""

    success: bool
    message: str
    statements_executed: int


class Created(Answer):
    """A database that now exists."""

    status: str
    graph_id: str
    database_path: str
    schema_applied: bool
    execution_time_ms: float


class LoadResult(Answer):
    """What became of the rows of a file."""

    status: str
    rows_processed: int
    rows_inserted: int
    rows_skipped: int
    files_processed: int
    execution_time_ms: float
    skipped: list[Answer]


class TaskStarted(Answer):
    """A task of the node that goes on by itself."""

    task_id: str
    status: str
    message: str


class TaskStatus(Answer):
    """`status`: pending, running, completed, failed or cancelled."""

    task_id: str
    task_type: str
    status: str
    progress_percent: float
    records_processed: int
    error: str | None
    result: Answer


class TaskEvent(Answer):
    """`event`: connected, progress, heartbeat, error, and at the end completed or failed."""

    event: str
    task_id: str
    status: str
    progress_percent: float


class TaskOutcome(Answer):
    """How a load, backup or restore that was waited for has ended: completed, or failed with an `error`.

    Failed is also one that was cancelled, and one whose end was not heard of in time: `error` says so.
    """

    status: str
    task_id: str
    records_loaded: int
    duration_seconds: float
    result: Answer
    error: str


class Backup(Answer):
    """A backup that the node keeps."""

    backup_id: str
    created_at: str
    size_bytes: int
    format: str
    location: str
    verified_at: str | None
