"""One database: its locks and limiters, its supervised worker, and every way to use it."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import trio

from kuzu_node.core import messages
from kuzu_node.core.frames import Frame
from kuzu_node.core.loading import as_logged
from kuzu_node.core.messages import RunLoad, RunSchema
from kuzu_node.core.screen import Kind
from kuzu_node.engine import catalog_answers, files
from kuzu_node.engine.answer import Answer, split_result
from kuzu_node.engine.checkpoints import Checkpoints
from kuzu_node.engine.execution import Execution, Floor
from kuzu_node.engine.meta import Meta, iso_time
from kuzu_node.engine.statements import RunningQuery, Statements
from kuzu_node.engine.supervisor import Supervisor
from kuzu_node.engine.values import (
    DatabaseInfo,
    GraphSize,
    LoadRequest,
    LoadResult,
    Query,
    State,
    Table,
    Transaction,
)
from kuzu_node.errors import NodeError

_CATALOG = "catalog"
_LOAD = "load"
_BULK_NEEDED = "bulk_needed"


@attrs.define(eq=False)
class Database:
    """Obtained from the catalog. Every method waits for the database to be open, within the queue's time."""

    graph_id: str
    meta: Meta
    folder: files.Folder
    floor: Floor
    checkpoints: Checkpoints
    supervisor: Supervisor
    statements: Statements
    _staged: itertools.count[int] = attrs.field(factory=itertools.count)

    def query(self, query: Query) -> RunningQuery:
        """`async with database.query(q) as answer`: runs it; the block may read the rows. Raises NodeError.

        Cancelling interrupts the engine; `query.committed` then says what became of a write.
        """
        return RunningQuery(self.statements, query)

    async def transaction(self, transaction: Transaction) -> Answer:
        """All statements or none. `body` is the JSON array of their results. Raises NodeError."""
        return await self.statements.transaction(transaction)

    async def apply_ddl(self, ddl: str, *, allow_drop: bool = False) -> int:
        """Runs the statements of a schema in one transaction; how many there were. Nothing else than DDL is let in."""
        found = self.statements.split_ddl(ddl, allow_drop=allow_drop)
        if len(found) == 1 and found[0].kind is Kind.DROP_COLUMN:
            async with self.query(Query(cypher=ddl)):
                return 1
        await self.statements.apply_ddl(found)
        return len(found)

    async def schema(self) -> tuple[Table, ...]:
        return catalog_answers.tables(await self._catalog(counts=False))

    async def size(self) -> GraphSize:
        counted = await self._catalog(counts=True)
        return GraphSize(
            size_bytes=self.folder.size_bytes(),
            node_count=counted["nodes"],
            relationship_count=counted["relationships"],
            last_modified=iso_time(max(files.modified(self.folder.file), files.modified(self.folder.log))),
        )

    async def _catalog(self, *, counts: bool) -> Any:
        frame = await self._perform(Query(cypher=""), _CATALOG, RunSchema(counts), write=False)
        return messages.decode_executed(split_result(frame.payload)[0]).value

    async def _perform(self, request: Query, fingerprint: str, order: RunSchema | RunLoad, *, write: bool) -> Frame:
        execution = Execution(self.floor, request, fingerprint, write=write)
        try:
            await execution.seat()
            return await execution.perform(order)
        finally:
            await execution.finish()

    @asynccontextmanager
    async def staging(self) -> AsyncIterator[Path]:
        """A fresh folder that the worker can read, gone with the block.

        The database is opened first: one that does not open refuses the rows before they are sent.
        """
        execution = Execution(self.floor, Query(cypher=""), _LOAD, write=False)
        await execution.opened()
        # While the rows come it may close for another one.
        self.floor.presence.unused()
        folder = self.folder.staging / f"rows-{next(self._staged)}"
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(files.remove_tree, folder, limiter=self.checkpoints.disk)

    async def load(self, request: LoadRequest) -> LoadResult:
        """Appends a staged file: small ones in one logged transaction, others by COPY with its checkpoint.

        Raises NodeError; then nothing of the file is there.
        """
        started = trio.current_time()
        logged = not request.ignore_errors and as_logged(
            files.size(Path(request.path)), self.folder.size_bytes(), reflink=self.checkpoints.reflink
        )
        order = RunLoad(
            request.table,
            request.path,
            request.format,
            request.ignore_errors,
            request.match,
            request.header,
            request.delimiter,
            logged,
        )
        frame = await self._load(order)
        self.checkpoints.wrote()
        outcome = messages.decode_executed(split_result(frame.payload)[0]).value
        return catalog_answers.load_result(outcome, (trio.current_time() - started) * 1000)

    async def _load(self, order: RunLoad) -> Frame:
        """The worker may find that a small file has too many rows for the logged way."""
        progress, fingerprint = Query(cypher=""), f"{_LOAD} {order.table} {order.format}"
        if order.logged:
            try:
                return await self._perform(progress, fingerprint, order, write=True)
            except NodeError as error:
                if error.code != _BULK_NEEDED:
                    raise
            order.logged = False
        return await self.statements.bulk.run(progress, fingerprint, order)

    def info(self) -> DatabaseInfo:
        presence, usage = self.floor.presence, self.statements.usage
        return DatabaseInfo(
            graph_id=self.graph_id,
            database_path=str(self.folder.root),
            created_at=self.meta.created_at,
            size_bytes=self.folder.size_bytes(),
            read_only=presence.state is State.DEGRADED,
            is_healthy=presence.state not in {State.FAILED, State.DEGRADED},
            last_accessed=usage.last_accessed,
            state=presence.state,
            restarts=presence.restarts,
            last_error=presence.last_error,
            schema_type=self.meta.schema_type,
            is_subgraph=self.meta.is_subgraph,
            query_count=usage.queries,
        )

    async def reopen(self) -> None:
        """Tries a failed or degraded database again now. Raises Unavailable when it does not open."""
        self.supervisor.ask_to_reopen()
        await Execution(self.floor, Query(cypher=""), _CATALOG, write=False).opened()
        self.floor.presence.unused()

    async def close(self, reason: NodeError, *, patience: float, discard: bool = False) -> None:
        """New users are refused with the reason, running ones have `patience` seconds. Nothing opens it again.

        Returns when the worker is gone: closed after a checkpoint where that is worth it, or killed.
        """
        self.floor.presence.refuse(reason)
        self.supervisor.discard = discard
        self.supervisor.closing.set()
        with trio.move_on_after(patience):
            await self.supervisor.closed.wait()
        if not self.supervisor.closed.is_set():
            await self.supervisor.end_now()
            await self.supervisor.closed.wait()
