"""The node's numbers as JSON, rendered from snapshots."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from msgspec import UNSET

from kuzu_node.http.handlers.node import all_infos, sessions_usage, uptime
from kuzu_node.http.node_answers import (
    AdmissionUsage,
    ClusterMember,
    CpuUsage,
    DatabasesUsage,
    DatabaseUsage,
    DiskUsage,
    IngestionUsage,
    LatencyAnswer,
    MemoryUsage,
    MetricsAnswer,
    QueryCounts,
    SystemUsage,
    VolumeUsage,
)
from kuzu_node.http.ports import Node, Statistics
from kuzu_node.http.request import Request
from kuzu_node.http.response import Response, json_response
from kuzu_node.observe.system import SystemSample

GB: Final = 1024**3


async def metrics(node: Node, _: Request) -> Response:
    statistics = node.statistics()
    now = datetime.now(UTC).isoformat()
    identity = node.config.identity
    answer = MetricsAnswer(
        timestamp=now,
        system=_system(statistics.system, now),
        databases=await _databases(node),
        queries=QueryCounts(
            total_queries=statistics.total_queries,
            queries_by_database=statistics.queries_by_database,
            reset_time=statistics.reset_time,
            latency_ms=LatencyAnswer(
                p50=statistics.latency_p50_ms, p95=statistics.latency_p95_ms, p99=statistics.latency_p99_ms
            ),
        ),
        ingestion=IngestionUsage(queue_depth=0, active_tasks=statistics.tasks, processing_rate=0.0),
        sessions=sessions_usage(statistics),
        admission_control=_admission(node, statistics),
        cluster=ClusterMember(node_id=identity.instance_id, node_type=identity.node_type, uptime_seconds=uptime(node)),
    )
    return json_response(answer)


def gigabytes(size: int) -> float:
    return round(size / GB, 6)


def _system(sample: SystemSample, now: str) -> SystemUsage:
    memory, disk = sample.memory, sample.disk
    return SystemUsage(
        timestamp=now,
        cpu=CpuUsage(usage_percent=sample.cpu_percent, count=sample.cpu_count),
        memory=MemoryUsage(
            total_gb=gigabytes(memory.total_bytes),
            used_gb=gigabytes(memory.used_bytes),
            available_gb=gigabytes(memory.available_bytes),
            usage_percent=memory.percent,
        ),
        disk=DiskUsage(
            total_gb=gigabytes(disk.total_bytes),
            used_gb=gigabytes(disk.used_bytes),
            free_gb=gigabytes(disk.free_bytes),
            usage_percent=disk.percent,
            mount_point=disk.mount_point,
        ),
        volumes={
            "data_volume": VolumeUsage(
                volume_size_gb=gigabytes(disk.total_bytes),
                used_gb=gigabytes(disk.used_bytes),
                free_gb=gigabytes(disk.free_bytes),
                usage_percent=disk.percent / 100,
                mount_point=disk.mount_point,
            )
        },
    )


async def _databases(node: Node) -> DatabasesUsage:
    infos = await all_infos(node)
    usage = {
        info.graph_id: DatabaseUsage(
            size_bytes=info.size_bytes, size_gb=gigabytes(info.size_bytes), query_count=info.query_count
        )
        for info in infos
    }
    return DatabasesUsage(
        count=len(infos), total_size_gb=gigabytes(sum(info.size_bytes for info in infos)), databases=usage
    )


def _admission(node: Node, statistics: Statistics) -> AdmissionUsage:
    http = node.config.http
    return AdmissionUsage(
        memory_percent=statistics.memory_percent,
        cpu_percent=statistics.cpu_percent,
        memory_threshold=http.admission_memory_percent,
        cpu_threshold=UNSET if http.admission_cpu_percent is None else http.admission_cpu_percent,
        connections_per_db=statistics.connections_by_database,
        total_connections=sum(statistics.connections_by_database.values()),
    )
