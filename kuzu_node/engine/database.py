"""One database: its locks and limiters, its supervised worker, and every way to use it."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import trio

from kuzu_node.core.loading import as_logged
from kuzu_node.core.messages import RunLoad, RunSchema
from kuzu_node.core.screen import Kind
from kuzu_node.engine import catalog_answers, files
from kuzu_node.engine.answer import Answer, Outcome
from kuzu_node.engine.checkpoints import Checkpoints
from kuzu_node.engine.execution import Execution, Floor
from kuzu_node.engine.meta import Meta, iso_time
from kuzu_node.engine.sessions import Session, open_session
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
_SAMPLE = 64 * 1024


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

    def session(self) -> AbstractAsyncContextManager[Session]:
        """For orders one after the other, with transactions; leaving the block rolls back what is open."""
        return open_session(
            self.statements, idle_seconds=self.floor.transaction_idle, longest_seconds=self.floor.transaction_longest
        )

    async def wait_refused(self) -> NodeError:
        """Until the database is being deleted, or the node ends: what every request gets from then on."""
        return await self.floor.presence.wait_refused()

    async def apply_ddl(self, ddl: str, *, allow_drop: bool = False) -> int:
        """Runs the statements of a schema in one transaction; how many there were. Nothing else than DDL is let in."""
        found = await self.statements.split_ddl(ddl, allow_drop=allow_drop)
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
        execution = Execution(self.floor, Query(cypher=""), _CATALOG, write=False)
        try:
            await execution.seat()
            return (await execution.perform(RunSchema(counts))).executed.value
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
        execution = Execution(self.floor, Query(cypher=""), await self._fingerprint(order), write=True)
        try:
            outcome = await self._load(execution, order)
        finally:
            await execution.finish()
        self.checkpoints.wrote()
        return catalog_answers.load_result(outcome.executed.value, (trio.current_time() - started) * 1000)

    async def _load(self, execution: Execution, order: RunLoad) -> Outcome:
        """The worker may find that a small file has too many rows for the logged way."""
        if order.logged:
            try:
                await execution.seat()
                return await execution.perform(order)
            except NodeError as error:
                if error.code != _BULK_NEEDED:
                    raise
            await execution.finish()
            order.logged = False
        return await self.statements.bulk.run(execution, order)

    async def _fingerprint(self, order: RunLoad) -> str:
        """Of the file too: one that kills its worker must not shut others out of the table."""
        look = await trio.to_thread.run_sync(_sample, Path(order.path), limiter=self.checkpoints.disk)
        as_it_is_read = (order.table, order.format, order.ignore_errors, order.match, order.header, order.delimiter)
        return f"{_LOAD} {as_it_is_read} {look}"

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


def _sample(path: Path) -> str:
    """Tells one staged file from another: by its size, its beginning and its end. Blocking."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            look = hashlib.blake2b(file.read(_SAMPLE), digest_size=16)
            file.seek(max(0, size - _SAMPLE))
            look.update(file.read(_SAMPLE))
    except OSError:
        # The worker says what is wrong with it.
        return "-"
    return f"{size} {look.hexdigest()}"
