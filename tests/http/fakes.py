"""A node without an engine, whose databases answer what a test tells them to."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import trio

from kuzu_node.config import (
    EngineConfig,
    HttpConfig,
    Identity,
    LogConfig,
    NodeConfig,
    ScreenConfig,
)
from kuzu_node.core.seats import Seats
from kuzu_node.engine.values import (
    DatabaseInfo,
    DatabaseSpec,
    GraphSize,
    LoadRequest,
    LoadResult,
    Piece,
    Query,
    State,
    Table,
    Timing,
    Transaction,
)
from kuzu_node.errors import Conflict, NodeError, NotFound
from kuzu_node.http.ports import Answer, Session
from kuzu_node.observe.system import DiskUse, MemoryUse, SystemSample

KEY = b"a-secret-key"


def node_config(*, chunk_size: int = 1000, **http: Any) -> NodeConfig:
    """A configuration with one key; `http` changes single settings of the HTTP edge."""
    defaults = HttpConfig(
        host="127.0.0.1",
        port=8001,
        api_keys=(KEY,),
        api_key_file=None,
        public_metrics=False,
        max_request_size=4096,
        max_header_size=2048,
        max_path_length=512,
        body_idle_seconds=30,
        cors_origins=(),
        drain_seconds=25,
        stall_timeout=10,
        admission_memory_percent=85,
        admission_cpu_percent=None,
    )
    return NodeConfig(
        identity=Identity(
            base_path=Path("graphs"), node_type="writer", tier="standard", instance_id="node-1", environment="dev"
        ),
        http=attrs.evolve(defaults, **http),
        engine=EngineConfig(
            max_databases=10,
            max_memory_mb=8192,
            memory_per_db_mb=2048,
            max_db_size_gb=1024,
            slots=3,
            queue_timeout=5,
            queue_length=100,
            query_timeout=30,
            kill_grace=2,
            stall_timeout=10,
            chunk_size=chunk_size,
            sandbox="off",
            spare_worker=True,
            idle_evict_seconds=900,
            checkpoint_wal_mb=16,
            quarantine_seconds=60,
            undelivered_mb=256,
            max_sessions=100,
            transaction_idle=30,
            transaction_longest=300,
        ),
        screen=ScreenConfig(
            max_query_length=10_000, max_nesting=64, max_case_depth=10, max_tokens=20_000, max_parameter_bytes=1 << 20
        ),
        log=LogConfig(level="INFO", format="json", slow_query_ms=1000),
    )


@attrs.frozen(kw_only=True)
class FakeStatistics:
    database_names: tuple[str, ...] = ("g1",)
    failed_databases: int = 0
    open_databases: int = 1
    active_queries: int = 0
    queue_depth: int = 0
    sessions: int = 3
    tasks: int = 0
    memory_rss: int = 50 << 20
    memory_vms: int = 500 << 20
    memory_percent: float = 10.0
    cpu_percent: float = 5.0
    total_queries: int = 7
    queries_by_database: Mapping[str, int] = attrs.field(factory=lambda: {"g1": 7})
    connections_by_database: Mapping[str, int] = attrs.field(factory=lambda: {"g1": 2})
    sessions_by_database: Mapping[str, int] = attrs.field(factory=lambda: {"g1": 3})
    transactions_by_database: Mapping[str, int] = attrs.field(factory=lambda: {"g1": 1})
    latency_p50_ms: float = 1.0
    latency_p95_ms: float = 2.0
    latency_p99_ms: float = 3.0
    reset_time: str = "2025-01-01T00:00:00+00:00"
    system: SystemSample = attrs.field(
        factory=lambda: SystemSample(
            cpu_percent=5.0,
            cpu_count=2,
            memory=MemoryUse(total_bytes=8 << 30, available_bytes=6 << 30),
            disk=DiskUse(total_bytes=100 << 30, used_bytes=25 << 30, free_bytes=75 << 30, mount_point="/data"),
            rss_bytes=50 << 20,
            vms_bytes=500 << 20,
        )
    )


@attrs.define(eq=False)
class FakeAnswer:
    """An answer in one body, or in pieces that `produce` yields through a delivery of the real kind."""

    columns: tuple[str, ...] = ("x",)
    row_count: int = 1
    timing: Timing = attrs.field(factory=lambda: Timing(queue_ms=0.25, execute_ms=1.5, encode_ms=0.125))
    body: bytes | None = b'{"columns":["x"],"data":[{"x":1}],"row_count":1,"execution_time_ms":1.5,"database":"g1"}'
    produce: Callable[[trio.MemorySendChannel[Piece]], Awaitable[None]] | None = None
    failure: Exception | None = None
    delivery_ended: bool = False

    @asynccontextmanager
    async def delivery(self) -> AsyncIterator[AsyncIterator[Piece]]:
        send, receive = trio.open_memory_channel[Piece](1)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._produce, send)
                yield FakePieces(receive, self.failure)
                nursery.cancel_scope.cancel()
        finally:
            self.delivery_ended = True

    async def _produce(self, send: trio.MemorySendChannel[Piece]) -> None:
        async with send:
            if self.produce is not None:
                await self.produce(send)


@attrs.define(eq=False)
class FakePieces:
    channel: trio.MemoryReceiveChannel[Piece]
    failure: Exception | None

    def __aiter__(self) -> FakePieces:
        return self

    async def __anext__(self) -> Piece:
        try:
            return await self.channel.receive()
        except trio.EndOfChannel:
            if self.failure is not None:
                raise self.failure from None
            raise StopAsyncIteration from None


def pieces(*parts: Piece) -> Callable[[trio.MemorySendChannel[Piece]], Awaitable[None]]:
    async def produce(send: trio.MemorySendChannel[Piece]) -> None:
        for part in parts:
            await send.send(part)

    return produce


@attrs.define(eq=False)
class FakeDatabase:
    """Answers every query with `answer` after `run`, which may raise, wait, or change what is committed."""

    graph_id: str = "g1"
    answer: FakeAnswer = attrs.field(factory=FakeAnswer)
    run: Callable[[Query | Transaction], Awaitable[None]] | None = None
    queries: list[Query] = attrs.field(factory=list)
    transactions: list[Transaction] = attrs.field(factory=list)
    ddl: list[tuple[str, bool]] = attrs.field(factory=list)
    ddl_failure: Exception | None = None
    loads: list[tuple[LoadRequest, bytes]] = attrs.field(factory=list)
    load_result: LoadResult = attrs.field(
        factory=lambda: LoadResult(rows_processed=3, rows_inserted=3, rows_skipped=0, skipped=(), execution_time_ms=2.0)
    )
    run_load: Callable[[], Awaitable[None]] | None = None
    tables: tuple[Table, ...] = ()
    run_schema: Callable[[], Awaitable[None]] | None = None
    state: State = State.READY
    query_exits: int = 0
    staged: list[Path] = attrs.field(factory=list)

    def info(self) -> DatabaseInfo:
        return DatabaseInfo(
            graph_id=self.graph_id,
            database_path=f"graphs/{self.graph_id}/graph.kuzu",
            created_at="2025-01-01T00:00:00+00:00",
            size_bytes=4096,
            read_only=False,
            is_healthy=self.state is not State.FAILED,
            last_accessed=None,
            state=self.state,
            restarts=0,
            last_error="the file is damaged" if self.state is State.FAILED else None,
            schema_type="custom",
            is_subgraph=False,
            query_count=len(self.queries),
        )

    def query(self, query: Query) -> AbstractAsyncContextManager[Answer]:
        return self._query(query)

    @asynccontextmanager
    async def _query(self, query: Query) -> AsyncIterator[Answer]:
        self.queries.append(query)
        try:
            if self.run is not None:
                await self.run(query)
            yield self.answer
        finally:
            self.query_exits += 1

    async def transaction(self, tx: Transaction) -> Answer:
        self.transactions.append(tx)
        if self.run is not None:
            await self.run(tx)
        return FakeAnswer(body=b'[{"columns":["x"],"data":[{"x":1}],"row_count":1}]')

    def session(self) -> AbstractAsyncContextManager[Session]:
        raise AssertionError("sessions are tested with a real database")

    async def wait_refused(self) -> NodeError:
        await trio.sleep_forever()
        raise AssertionError

    async def apply_ddl(self, ddl: str, *, allow_drop: bool = False) -> int:
        self.ddl.append((ddl, allow_drop))
        await trio.lowlevel.checkpoint()
        if self.ddl_failure is not None:
            raise self.ddl_failure
        return len([part for part in ddl.split(";") if part.strip()])

    async def schema(self) -> tuple[Table, ...]:
        await (self.run_schema or trio.lowlevel.checkpoint)()
        return self.tables

    async def size(self) -> GraphSize:
        await trio.lowlevel.checkpoint()
        return GraphSize(
            size_bytes=3 << 20, node_count=5, relationship_count=4, last_modified="2025-01-02T00:00:00+00:00"
        )

    @asynccontextmanager
    async def _staging(self) -> AsyncIterator[Path]:
        with tempfile.TemporaryDirectory() as folder:
            self.staged.append(Path(folder))
            yield Path(folder)

    def staging(self) -> AbstractAsyncContextManager[Path]:
        return self._staging()

    async def load(self, request: LoadRequest) -> LoadResult:
        if self.run_load is not None:
            await self.run_load()
        self.loads.append((request, Path(request.path).read_bytes()))
        return self.load_result

    async def reopen(self) -> None:
        await trio.lowlevel.checkpoint()
        self.state = State.READY


@attrs.define(eq=False)
class FakeCatalog:
    databases: dict[str, FakeDatabase] = attrs.field(factory=lambda: {"g1": FakeDatabase()})
    specs: list[DatabaseSpec] = attrs.field(factory=list)

    def names(self) -> tuple[str, ...]:
        return tuple(self.databases)

    def get(self, graph_id: str) -> FakeDatabase:
        if graph_id not in self.databases:
            raise NotFound(f"there is no database {graph_id}")
        return self.databases[graph_id]

    async def create(self, spec: DatabaseSpec) -> FakeDatabase:
        await trio.lowlevel.checkpoint()
        if spec.graph_id in self.databases:
            raise Conflict(f"database {spec.graph_id} exists", code="exists")
        self.specs.append(spec)
        self.databases[spec.graph_id] = FakeDatabase(graph_id=spec.graph_id)
        return self.databases[spec.graph_id]

    async def delete(self, graph_id: str) -> None:
        await trio.lowlevel.checkpoint()
        self.get(graph_id)
        del self.databases[graph_id]


@attrs.define(eq=False)
class FakeNode:
    config: NodeConfig = attrs.field(factory=node_config)
    databases: FakeCatalog = attrs.field(factory=FakeCatalog)
    current: FakeStatistics = attrs.field(factory=FakeStatistics)
    started_at: float = 0.0
    draining: bool = False
    sessions: Seats = attrs.field(factory=lambda: Seats(100))

    @property
    def g1(self) -> FakeDatabase:
        return self.databases.get("g1")

    def drain(self) -> None:
        self.draining = True

    def undrain(self) -> None:
        self.draining = False

    async def wait_draining(self) -> float:
        await trio.sleep_forever()
        raise AssertionError

    def statistics(self) -> FakeStatistics:
        return self.current
