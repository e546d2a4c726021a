"""The composition root: builds the node's parts bottom-up and takes them down in the reverse order."""

from __future__ import annotations

import fcntl
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import attrs
import psutil
import trio

from kuzu_node.config import NodeConfig
from kuzu_node.core.screen import Limits, Screen
from kuzu_node.core.seats import Seats
from kuzu_node.engine.catalog import Catalog, open_catalog
from kuzu_node.engine.files import can_reflink
from kuzu_node.engine.meta import iso_time
from kuzu_node.engine.spares import open_spares
from kuzu_node.engine.values import State
from kuzu_node.observe.system import System, SystemSample, open_system

_WORKERS_EVERY = 2.0


class BasePathInUse(Exception):
    """Another node has the base folder; two owners would damage its databases."""


@attrs.frozen(kw_only=True)
class NodeStatistics:
    """One moment of the node. Memory in bytes, the node's process and its workers together."""

    system: SystemSample
    database_names: tuple[str, ...]
    failed_databases: int
    open_databases: int
    active_queries: int
    queue_depth: int
    sessions: int
    tasks: int
    memory_rss: int
    memory_vms: int
    memory_percent: float
    cpu_percent: float
    total_queries: int
    queries_by_database: Mapping[str, int]
    connections_by_database: Mapping[str, int]
    sessions_by_database: Mapping[str, int]
    transactions_by_database: Mapping[str, int]
    latency_p50_ms: float
    latency_p95_ms: float
    latency_p99_ms: float
    reset_time: str


@attrs.frozen
class WorkersMemory:
    """Resident and reserved bytes; the engine reserves the largest size of a graph as address space."""

    rss: int = 0
    vms: int = 0


@attrs.define(eq=False)
class Node:
    """Obtained from `open_node`. `started_at` is trio's clock."""

    config: NodeConfig
    databases: Catalog
    system: System
    started_at: float
    started_time: str
    sessions: Seats
    _draining_since: float | None = None
    _drain_begins: trio.Event = attrs.field(factory=trio.Event)
    _workers: WorkersMemory = attrs.field(factory=WorkersMemory)

    @property
    def draining(self) -> bool:
        return self._draining_since is not None

    def drain(self) -> None:
        """New work is refused until `undrain`; what runs goes on."""
        if self._draining_since is None:
            self._draining_since = trio.current_time()
            self._drain_begins.set()

    def undrain(self) -> None:
        self._draining_since = None
        self._drain_begins = trio.Event()

    async def wait_draining(self) -> float:
        """Until the node drains; since when it does, by trio's clock."""
        while self._draining_since is None:
            await self._drain_begins.wait()
        return self._draining_since

    def statistics(self) -> NodeStatistics:
        sample = self.system.statistics()
        databases = list(self.databases)
        latencies = self.databases.latencies.percentiles(0.5, 0.95, 0.99)
        queries = {database.graph_id: database.statements.usage.queries for database in databases}
        return NodeStatistics(
            system=sample,
            database_names=self.databases.names(),
            failed_databases=sum(one.floor.presence.state in {State.FAILED, State.DEGRADED} for one in databases),
            open_databases=self.databases.openings.open_count,
            active_queries=sum(one.floor.presence.users for one in databases),
            queue_depth=sum(one.floor.locks.waiting + one.floor.presence.waiting for one in databases),
            sessions=self.sessions.total,
            tasks=0,
            memory_rss=sample.rss_bytes + self._workers.rss,
            memory_vms=sample.vms_bytes + self._workers.vms,
            memory_percent=sample.memory.percent,
            cpu_percent=sample.cpu_percent,
            total_queries=sum(queries.values()),
            queries_by_database=queries,
            connections_by_database={one.graph_id: one.floor.presence.users for one in databases},
            sessions_by_database={one.graph_id: self.sessions.count(one.graph_id) for one in databases},
            transactions_by_database={one.graph_id: one.floor.locks.transactions for one in databases},
            latency_p50_ms=latencies[0],
            latency_p95_ms=latencies[1],
            latency_p99_ms=latencies[2],
            reset_time=self.started_time,
        )

    async def run_sampling_workers(self) -> None:
        """Their memory, every few seconds."""
        while True:
            workers = [worker for one in self.databases for worker in one.floor.presence.workers()]
            self._workers = _memory_of([worker.process.pid for worker in workers])
            await trio.sleep(_WORKERS_EVERY)


def _memory_of(pids: list[int]) -> WorkersMemory:
    """All of them together; one that has just ended, or cannot be looked at for want of descriptors, counts nothing."""
    rss = vms = 0
    for pid in pids:
        with suppress(psutil.Error, OSError):
            memory = psutil.Process(pid).memory_info()
            rss, vms = rss + memory.rss, vms + memory.vms
    return WorkersMemory(rss, vms)


@asynccontextmanager
async def open_node(config: NodeConfig) -> AsyncIterator[Node]:
    """A node on its base folder. Raises BasePathInUse, and WorkerDied when no worker starts."""
    base_path = config.identity.base_path
    await trio.Path(base_path / ".node").mkdir(parents=True, exist_ok=True)
    with _sole_owner(base_path):
        reflink = await trio.to_thread.run_sync(can_reflink, base_path / ".node")
        screen = Screen(_limits(config))
        async with (
            open_system(base_path) as system,
            open_spares(config.engine.sandbox, base_path.resolve(), keep=config.engine.spare_worker) as spares,
            open_catalog(base_path, config.engine, screen=screen, spares=spares, reflink=reflink) as catalog,
            trio.open_nursery() as nursery,
        ):
            node = Node(
                config, catalog, system, trio.current_time(), iso_time(time.time()), Seats(config.engine.max_sessions)
            )
            nursery.start_soon(node.run_sampling_workers, name="worker memory")
            yield node
            nursery.cancel_scope.cancel()


def _limits(config: NodeConfig) -> Limits:
    return Limits(
        max_length=config.screen.max_query_length,
        max_nesting=config.screen.max_nesting,
        max_case_depth=config.screen.max_case_depth,
        max_tokens=config.screen.max_tokens,
        max_parameter_bytes=config.screen.max_parameter_bytes,
    )


@contextmanager
def _sole_owner(base_path: Path) -> Iterator[None]:
    with open(base_path / ".node" / "lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BasePathInUse(f"another node runs on {base_path}: stop it or choose another --base-path") from None
        yield
