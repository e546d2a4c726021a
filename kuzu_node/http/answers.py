"""The JSON answers about databases, queries and rows; fields that are UNSET are left out. `openapi` describes them.

Without slots, because the encoder takes slots in alphabetical order and people read these answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
from msgspec import UNSET, UnsetType


@attrs.frozen(kw_only=True, slots=False)
class DatabaseAnswer:
    graph_id: str
    database_path: str
    created_at: str
    size_bytes: int
    read_only: bool
    is_healthy: bool
    last_accessed: str | None


@attrs.frozen(kw_only=True, slots=False)
class NodeCapacity:
    max_databases: int | UnsetType
    current_databases: int
    capacity_remaining: int | UnsetType
    utilization_percent: float | UnsetType


@attrs.frozen(kw_only=True, slots=False)
class DatabaseList:
    databases: tuple[DatabaseAnswer, ...]
    total_databases: int
    total_size_bytes: int
    node_capacity: NodeCapacity


@attrs.frozen(kw_only=True, slots=False)
class CreatedDatabase:
    status: str
    graph_id: str
    database_path: str
    schema_applied: bool
    execution_time_ms: float


@attrs.frozen(kw_only=True, slots=False)
class DeletedDatabase:
    status: str
    message: str


@attrs.frozen(kw_only=True, slots=False)
class DatabaseMetrics:
    graph_id: str
    database_name: str
    size_bytes: int
    size_mb: float
    node_count: int
    relationship_count: int
    last_modified: str
    instance_id: str
    node_type: str


@attrs.frozen(kw_only=True, slots=False)
class Reopened:
    status: str
    graph_id: str
    state: str


@attrs.frozen(kw_only=True, slots=False)
class ColumnAnswer:
    name: str
    type: str
    primary_key: bool


@attrs.frozen(kw_only=True, slots=False)
class TableAnswer:
    id: int
    name: str
    type: str
    comment: str
    properties: tuple[ColumnAnswer, ...]
    source: str | UnsetType = UNSET
    target: str | UnsetType = UNSET
    connections: tuple[Mapping[str, str], ...] | UnsetType = UNSET


@attrs.frozen(kw_only=True, slots=False)
class SchemaAnswer:
    database: str
    tables: tuple[TableAnswer, ...]
    node_tables: tuple[str, ...]
    rel_tables: tuple[str, ...]


@attrs.frozen(kw_only=True, slots=False)
class SchemaChange:
    success: bool
    message: str
    statements_executed: int


@attrs.frozen(kw_only=True, slots=False)
class QueryAnswer:
    columns: tuple[str, ...]
    data: tuple[Mapping[str, Any], ...]
    row_count: int
    execution_time_ms: float
    database: str


@attrs.frozen(kw_only=True, slots=False)
class StatementResult:
    columns: tuple[str, ...]
    data: tuple[Mapping[str, Any], ...]
    row_count: int


@attrs.frozen(kw_only=True, slots=False)
class TransactionAnswer:
    results: tuple[StatementResult, ...]
    execution_time_ms: float
    database: str


@attrs.frozen(kw_only=True, slots=False)
class SkippedRows:
    reason: str
    count: int
    examples: tuple[str, ...]


@attrs.frozen(kw_only=True, slots=False)
class RowsAnswer:
    status: str
    rows_processed: int
    rows_inserted: int
    rows_skipped: int
    files_processed: int
    execution_time_ms: float
    skipped: tuple[SkippedRows, ...]


@attrs.frozen(kw_only=True, slots=False)
class PathFault:
    path: str
    message: str


@attrs.frozen(kw_only=True, slots=False)
class Problem:
    """RFC 9457. `committed` stands in the errors of statements: are their effects durable? Null when nobody knows."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: tuple[PathFault, ...] | UnsetType = UNSET
    line: int | UnsetType = UNSET
    column: int | UnsetType = UNSET
    statement: int | UnsetType = UNSET
    retry_after: int | UnsetType = UNSET
    committed: bool | UnsetType | None = UNSET
