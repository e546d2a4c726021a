"""The node itself: health, status, capacity, draining, and its own description. Reads snapshots only."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import trio
from msgspec import UNSET, UnsetType

from kuzu_node.engine.values import DatabaseInfo
from kuzu_node.errors import NotFound
from kuzu_node.http.answers import DatabaseAnswer, Reopened
from kuzu_node.http.node_answers import (
    AdmissionControlAnswer,
    ConfigurationAnswer,
    ConnectionsAnswer,
    DatabaseState,
    DatabaseStates,
    DrainAnswer,
    HealthAnswer,
    InFlightWork,
    InfoAnswer,
    MemoryLimitsAnswer,
    QueryLimitsAnswer,
    SessionsUsage,
    StatusAnswer,
)
from kuzu_node.http.policy import ADMISSION_SECONDS
from kuzu_node.http.ports import Node, Statistics
from kuzu_node.http.request import Request
from kuzu_node.http.response import Response, json_response
from kuzu_node.http.version import VERSION

FEATURES: Final = ("streaming", "transactions", "rows", "arrow", "csv", "sessions")
MB: Final = 1024 * 1024
INFOS_IN_A_STEP: Final = 200
HTML_HEADERS: Final = (
    (
        b"content-security-policy",
        b"; ".join(
            (
                b"default-src 'none'",
                b"style-src 'unsafe-inline'",
                b"script-src 'unsafe-inline'",
                b"connect-src 'self'",
                b"base-uri 'none'",
                b"form-action 'none'",
                b"frame-ancestors 'none'",
            )
        ),
    ),
    (b"x-content-type-options", b"nosniff"),
)


async def health(node: Node, _: Request) -> Response:
    """503 while draining, so that load balancers turn away; degraded nodes still serve."""
    statistics = node.statistics()
    status = node_status(node, statistics)
    rss = megabytes(statistics.memory_rss)
    answer = HealthAnswer(
        status=status,
        uptime_seconds=uptime(node),
        database_count=len(statistics.database_names),
        databases=statistics.database_names,
        memory_usage_mb=rss,
        memory_rss_mb=rss,
        memory_vms_mb=megabytes(statistics.memory_vms),
        memory_percent=statistics.memory_percent,
    )
    if status == "draining":
        return json_response(answer, 503, ((b"retry-after", b"5"),))
    return json_response(answer)


async def status(node: Node, _: Request) -> Response:
    statistics = node.statistics()
    identity = node.config.identity
    answer = StatusAnswer(
        status=node_status(node, statistics),
        node_type=identity.node_type,
        tier=identity.tier,
        databases=len(statistics.database_names),
        max_databases=max_databases(node),
        memory_usage_mb=megabytes(statistics.memory_rss),
        uptime_seconds=uptime(node),
    )
    return json_response(answer)


async def database_states(node: Node, _: Request) -> Response:
    infos = await all_infos(node)
    healthy = sum(info.is_healthy for info in infos)
    states = tuple(_state(info) for info in infos)
    return json_response(
        DatabaseStates(healthy_databases=healthy, unhealthy_databases=len(infos) - healthy, databases=states)
    )


async def info(node: Node, _: Request) -> Response:
    statistics = node.statistics()
    identity = node.config.identity
    limit = max_databases(node)
    answer = InfoAnswer(
        node_id=identity.instance_id,
        instance_id=identity.instance_id,
        node_type=identity.node_type,
        cluster_tier=identity.tier,
        cluster_version=VERSION,
        base_path=str(identity.base_path),
        max_databases=limit,
        databases=statistics.database_names,
        available_capacity=UNSET if limit is UNSET else max(0, limit - len(statistics.database_names)),
        active_connections=sum(statistics.connections_by_database.values()),
        queue_depth=statistics.queue_depth,
        uptime_seconds=uptime(node),
        read_only=is_read_only(node),
        features=FEATURES,
        configuration=_configuration(node),
    )
    return json_response(answer)


async def drain(node: Node, _: Request) -> Response:
    node.drain()
    return _drain_answer(node)


async def undrain(node: Node, _: Request) -> Response:
    node.undrain()
    return _drain_answer(node)


async def connections(node: Node, _: Request) -> Response:
    statistics = node.statistics()
    by_database = statistics.connections_by_database
    answer = ConnectionsAnswer(
        active_connections=sum(by_database.values()), by_database=by_database, sessions=sessions_usage(statistics)
    )
    return json_response(answer)


async def reopen(node: Node, request: Request) -> Response:
    database = node.databases.get(request.graph_id)
    await database.reopen()
    return json_response(Reopened(status="success", graph_id=database.graph_id, state=database.info().state.value))


async def openapi(_: Node, request: Request) -> Response:
    return Response(200, request.context.openapi)


async def docs(_: Node, request: Request) -> Response:
    return Response(200, request.context.docs, b"text/html; charset=utf-8", HTML_HEADERS)


async def all_infos(node: Node) -> list[DatabaseInfo]:
    """Of every database. Each looks at its files, so that thousands are asked with a pause now and then."""
    infos: list[DatabaseInfo] = []
    for count, name in enumerate(node.databases.names(), 1):
        # One may have been deleted in a pause.
        with suppress(NotFound):
            infos.append(node.databases.get(name).info())
        if count % INFOS_IN_A_STEP == 0:
            await trio.lowlevel.checkpoint()
    return infos


def sessions_usage(statistics: Statistics) -> SessionsUsage:
    return SessionsUsage(
        open=statistics.sessions,
        by_database=statistics.sessions_by_database,
        transactions_by_database=statistics.transactions_by_database,
    )


def node_status(node: Node, statistics: Statistics) -> str:
    if node.draining:
        return "draining"
    threshold = node.config.http.admission_memory_percent
    if statistics.failed_databases or statistics.memory_percent > threshold:
        return "degraded"
    return "healthy"


def max_databases(node: Node) -> int | UnsetType:
    """None in the configuration means that only the disk bounds them; then the key is left out."""
    limit = node.config.engine.max_databases
    return UNSET if limit is None else limit


def is_read_only(node: Node) -> bool:
    return node.config.identity.node_type == "shared_replica"


def uptime(node: Node) -> float:
    return round(trio.current_time() - node.started_at, 3)


def megabytes(size: int) -> float:
    return round(size / MB, 2)


def database_answer(info: DatabaseInfo) -> DatabaseAnswer:
    return DatabaseAnswer(
        graph_id=info.graph_id,
        database_path=info.database_path,
        created_at=info.created_at,
        size_bytes=info.size_bytes,
        read_only=info.read_only,
        is_healthy=info.is_healthy,
        last_accessed=info.last_accessed,
    )


def _state(info: DatabaseInfo) -> DatabaseState:
    return DatabaseState(
        graph_id=info.graph_id,
        database_path=info.database_path,
        created_at=info.created_at,
        size_bytes=info.size_bytes,
        read_only=info.read_only,
        is_healthy=info.is_healthy,
        last_accessed=info.last_accessed,
        state=info.state.value,
        restarts=info.restarts,
        last_error=UNSET if info.last_error is None else info.last_error,
    )


def _drain_answer(node: Node) -> Response:
    statistics = node.statistics()
    in_flight = InFlightWork(queries=statistics.active_queries, tasks=statistics.tasks, sessions=statistics.sessions)
    return json_response(DrainAnswer(status=node_status(node, statistics), in_flight=in_flight))


def _configuration(node: Node) -> ConfigurationAnswer:
    engine, http = node.config.engine, node.config.http
    return ConfigurationAnswer(
        base_path=str(node.config.identity.base_path),
        read_only=is_read_only(node),
        max_databases=max_databases(node),
        memory_limits=MemoryLimitsAnswer(
            instance_max_mb=engine.max_memory_mb,
            per_database_max_mb=engine.memory_per_db_mb,
            admission_threshold_percent=http.admission_memory_percent,
        ),
        query_limits=QueryLimitsAnswer(
            timeout_seconds=engine.query_timeout,
            max_connections_per_db=engine.slots,
            connection_ttl_minutes=engine.idle_evict_seconds / 60,
            health_check_interval_minutes=engine.idle_evict_seconds / 60,
        ),
        admission_control=AdmissionControlAnswer(
            memory_threshold=http.admission_memory_percent,
            cpu_threshold=UNSET if http.admission_cpu_percent is None else http.admission_cpu_percent,
            queue_threshold=engine.queue_length,
            check_interval=ADMISSION_SECONDS,
        ),
    )
