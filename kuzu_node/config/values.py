"""The configuration as frozen values; built by `load`, read by everybody."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import attrs

NodeType = Literal["writer", "shared_master", "shared_replica"]
Tier = Literal["standard", "enterprise", "premium", "shared"]
Environment = Literal["dev", "staging", "prod"]
SandboxMode = Literal["auto", "required", "off"]
LogFormat = Literal["json", "text"]

# Share of a worker's memory that the engine's buffer pool gets; the rest is for results, encoders and the code itself.
POOL_PERCENT = 60


class ConfigurationError(Exception):
    """A setting that stops the start: the message names it and says what to do."""


@attrs.frozen(kw_only=True)
class Identity:
    base_path: Path
    node_type: NodeType
    tier: Tier
    instance_id: str
    environment: Environment


@attrs.frozen(kw_only=True)
class HttpConfig:
    """`api_keys` are all keys known at start, those of `api_key_file` included; sizes are bytes."""

    host: str
    port: int
    api_keys: tuple[bytes, ...] = attrs.field(repr=False)
    api_key_file: Path | None
    public_metrics: bool
    max_request_size: int
    max_header_size: int
    max_path_length: int
    body_idle_seconds: float
    cors_origins: tuple[str, ...]
    drain_seconds: float
    stall_timeout: float
    admission_memory_percent: float
    admission_cpu_percent: float | None


@attrs.frozen(kw_only=True)
class EngineConfig:
    """Times are seconds. `max_databases` is None where a node takes as many as its disk holds."""

    max_databases: int | None
    max_memory_mb: int
    memory_per_db_mb: int
    max_db_size_gb: int
    slots: int
    queue_timeout: float
    queue_length: int
    query_timeout: float
    kill_grace: float
    stall_timeout: float
    chunk_size: int
    sandbox: SandboxMode
    spare_worker: bool
    idle_evict_seconds: float
    checkpoint_wal_mb: int
    quarantine_seconds: float
    undelivered_mb: int
    max_sessions: int
    transaction_idle: float
    transaction_longest: float

    @property
    def max_open(self) -> int:
        """How many databases may be open at once, so that together they keep to the node's memory."""
        return max(1, self.max_memory_mb // self.memory_per_db_mb)

    @property
    def buffer_pool_mb(self) -> int:
        return pool_mb(self.memory_per_db_mb)


def pool_mb(memory_per_db_mb: int) -> int:
    """The engine's buffer pool in a worker of that size."""
    return memory_per_db_mb * POOL_PERCENT // 100


@attrs.frozen(kw_only=True)
class ScreenConfig:
    max_query_length: int
    max_nesting: int
    max_case_depth: int
    max_tokens: int
    max_parameter_bytes: int


@attrs.frozen(kw_only=True)
class LogConfig:
    level: str
    format: LogFormat
    slow_query_ms: float


@attrs.frozen(kw_only=True)
class NodeConfig:
    """`notes` are what `load` found worth saying at start; `warnings` hands them out."""

    identity: Identity
    http: HttpConfig
    engine: EngineConfig
    screen: ScreenConfig
    log: LogConfig
    notes: tuple[str, ...] = ()
