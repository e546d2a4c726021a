"""What calls return: mappings whose keys also read as attributes, as `task["task_id"]` and `task.task_id`.

The annotations name the keys that the contract promises; a node may send more. Keys that are methods of a mapping, such
as `items`, are reached by subscription only.
"""

from __future__ import annotations

from typing import Any


class Answer(dict[str, Any]):
    """One JSON object. An attribute that is not among its keys is an AttributeError; nested objects read alike."""

    def __getattr__(self, name: str) -> Any:
        try:
            value = self[name]
        except KeyError:
            raise AttributeError(f"the answer has no {name!r}; it has {', '.join(sorted(self))}") from None
        return Answer(value) if type(value) is dict else value


class QueryResult(Answer):
    """`data` has one mapping a row, by column."""

    columns: list[str]
    data: list[dict[str, Any]]
    row_count: int
    execution_time_ms: float
    database: str


class TransactionResult(Answer):
    """`results` has one entry a statement: columns, data, row_count."""

    results: list[dict[str, Any]]
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
    skipped: list[dict[str, Any]]


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
    result: dict[str, Any]


class TaskOutcome(Answer):
    """How a load, backup or restore that was waited for has ended; a failed one has `error`."""

    status: str
    task_id: str
    duration_seconds: float
