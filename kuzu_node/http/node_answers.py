"""The JSON answers about the node itself, without slots as in `answers`. `openapi` describes them."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
from msgspec import UNSET, UnsetType

from kuzu_node.http.answers import DatabaseAnswer


@attrs.frozen(kw_only=True, slots=False)
class HealthAnswer:
    status: str
    uptime_seconds: float
    database_count: int
    databases: tuple[str, ...]
    memory_usage_mb: float
    memory_rss_mb: float
    memory_vms_mb: float
    memory_percent: float


@attrs.frozen(kw_only=True, slots=False)
class StatusAnswer:
    status: str
    node_type: str
    tier: str
    databases: int
    max_databases: int | UnsetType
    memory_usage_mb: float
    uptime_seconds: float


@attrs.frozen(kw_only=True, slots=False)
class DatabaseState(DatabaseAnswer):
    state: str
    restarts: int
    last_error: str | UnsetType = UNSET


@attrs.frozen(kw_only=True, slots=False)
class DatabaseStates:
    healthy_databases: int
    unhealthy_databases: int
    databases: tuple[DatabaseState, ...]


@attrs.frozen(kw_only=True, slots=False)
class InFlightWork:
    queries: int
    tasks: int
    sessions: int


@attrs.frozen(kw_only=True, slots=False)
class DrainAnswer:
    status: str
    in_flight: InFlightWork


@attrs.frozen(kw_only=True, slots=False)
class SessionsUsage:
    """Sessions that are `open` in the node and on each database, and their open transactions."""

    open: int
    by_database: Mapping[str, int]
    transactions_by_database: Mapping[str, int]


@attrs.frozen(kw_only=True, slots=False)
class ConnectionsAnswer:
    active_connections: int
    by_database: Mapping[str, int]
    sessions: SessionsUsage


@attrs.frozen(kw_only=True, slots=False)
class MemoryLimitsAnswer:
    instance_max_mb: int
    per_database_max_mb: int
    admission_threshold_percent: float


@attrs.frozen(kw_only=True, slots=False)
class QueryLimitsAnswer:
    timeout_seconds: float
    max_connections_per_db: int
    connection_ttl_minutes: float
    health_check_interval_minutes: float


@attrs.frozen(kw_only=True, slots=False)
class AdmissionControlAnswer:
    memory_threshold: float
    cpu_threshold: float | UnsetType
    queue_threshold: int
    check_interval: float


@attrs.frozen(kw_only=True, slots=False)
class ConfigurationAnswer:
    base_path: str
    read_only: bool
    max_databases: int | UnsetType
    memory_limits: MemoryLimitsAnswer
    query_limits: QueryLimitsAnswer
    admission_control: AdmissionControlAnswer


@attrs.frozen(kw_only=True, slots=False)
class InfoAnswer:
    node_id: str
    instance_id: str
    node_type: str
    cluster_tier: str
    cluster_version: str
    base_path: str
    max_databases: int | UnsetType
    databases: tuple[str, ...]
    available_capacity: int | UnsetType
    active_connections: int
    queue_depth: int
    uptime_seconds: float
    read_only: bool
    features: tuple[str, ...]
    configuration: ConfigurationAnswer


@attrs.frozen(kw_only=True, slots=False)
class CpuUsage:
    usage_percent: float
    count: int


@attrs.frozen(kw_only=True, slots=False)
class MemoryUsage:
    total_gb: float
    used_gb: float
    available_gb: float
    usage_percent: float


@attrs.frozen(kw_only=True, slots=False)
class DiskUsage:
    total_gb: float
    used_gb: float
    free_gb: float
    usage_percent: float
    mount_point: str


@attrs.frozen(kw_only=True, slots=False)
class VolumeUsage:
    """`usage_percent` is a fraction between 0 and 1 here, as existing dashboards read it."""

    volume_size_gb: float
    used_gb: float
    free_gb: float
    usage_percent: float
    mount_point: str


@attrs.frozen(kw_only=True, slots=False)
class SystemUsage:
    timestamp: str
    cpu: CpuUsage
    memory: MemoryUsage
    disk: DiskUsage
    volumes: Mapping[str, VolumeUsage]


@attrs.frozen(kw_only=True, slots=False)
class DatabaseUsage:
    size_bytes: int
    size_gb: float
    query_count: int


@attrs.frozen(kw_only=True, slots=False)
class DatabasesUsage:
    count: int
    total_size_gb: float
    databases: Mapping[str, DatabaseUsage]


@attrs.frozen(kw_only=True, slots=False)
class LatencyAnswer:
    p50: float
    p95: float
    p99: float


@attrs.frozen(kw_only=True, slots=False)
class QueryCounts:
    total_queries: int
    queries_by_database: Mapping[str, int]
    reset_time: str
    latency_ms: LatencyAnswer


@attrs.frozen(kw_only=True, slots=False)
class IngestionUsage:
    queue_depth: int
    active_tasks: int
    processing_rate: float


@attrs.frozen(kw_only=True, slots=False)
class AdmissionUsage:
    memory_percent: float
    cpu_percent: float
    memory_threshold: float
    cpu_threshold: float | UnsetType
    connections_per_db: Mapping[str, int]
    total_connections: int


@attrs.frozen(kw_only=True, slots=False)
class ClusterMember:
    node_id: str
    node_type: str
    uptime_seconds: float


@attrs.frozen(kw_only=True, slots=False)
class MetricsAnswer:
    timestamp: str
    system: SystemUsage
    databases: DatabasesUsage
    queries: QueryCounts
    ingestion: IngestionUsage
    sessions: SessionsUsage
    admission_control: AdmissionUsage
    cluster: ClusterMember
