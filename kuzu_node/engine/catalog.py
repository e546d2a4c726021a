"""The databases of a node: found at start, created, deleted; each with its supervisor's task."""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import attrs
import structlog
import trio

from kuzu_node.config import EngineConfig
from kuzu_node.core.messages import Assign
from kuzu_node.core.screen import Screen
from kuzu_node.engine import files
from kuzu_node.engine.bulk import BulkStatements
from kuzu_node.engine.checkpoints import Checkpoints
from kuzu_node.engine.database import Database
from kuzu_node.engine.deliveries import Deliveries
from kuzu_node.engine.execution import Floor
from kuzu_node.engine.files import Folder
from kuzu_node.engine.lanes import LANES_PER_SLOT
from kuzu_node.engine.meta import BadMeta, Meta, iso_time, read_meta, write_meta
from kuzu_node.engine.openings import Openings
from kuzu_node.engine.presence import Presence
from kuzu_node.engine.quarantine import Quarantine
from kuzu_node.engine.spares import Spares
from kuzu_node.engine.statements import Statements
from kuzu_node.engine.supervisor import Supervisor
from kuzu_node.engine.translate import disk_error
from kuzu_node.engine.turn import Locks
from kuzu_node.engine.usage import Latencies, Usage
from kuzu_node.engine.values import DatabaseSpec
from kuzu_node.errors import Conflict, NotFound, OutOfSpace, Unavailable

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CREATING = ".creating"
_MB = 1024 * 1024
DELETE_PATIENCE = 10.0
CLOSE_PATIENCE = 30.0

T = TypeVar("T")

log = structlog.get_logger()


@attrs.define(eq=False)
class Catalog:
    """`engine_version` and `storage_version` are the spare's, for `meta.json`."""

    base_path: Path
    config: EngineConfig
    screen: Screen
    spares: Spares
    openings: Openings
    latencies: Latencies
    reflink: bool
    nursery: trio.Nursery
    _databases: dict[str, Database] = attrs.field(factory=dict)
    _creating: set[str] = attrs.field(factory=set)
    _disk: trio.CapacityLimiter = attrs.field(factory=lambda: trio.CapacityLimiter(4))

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._databases))

    def get(self, graph_id: str) -> Database:
        """Raises NotFound."""
        try:
            return self._databases[graph_id]
        except KeyError:
            raise NotFound(f"there is no database {graph_id!r} here", code="unknown_database") from None

    def __iter__(self) -> Iterator[Database]:
        return iter(self._databases.values())

    async def create(self, spec: DatabaseSpec) -> Database:
        """All or nothing. Raises Conflict, OutOfSpace, and what the schema's statements raise."""
        self._refuse_creation(spec)
        folder = Folder(self.base_path / spec.graph_id)
        self._creating.add(spec.graph_id)
        try:
            meta = Meta(
                graph_id=spec.graph_id,
                created_at=iso_time(time.time()),
                schema_type=spec.schema_type,
                engine_version=self.spares.hello.engine_version,
                storage_version=self.spares.hello.storage_version,
                repository_name=spec.repository_name,
                is_subgraph=spec.is_subgraph,
                tenant_tier=spec.tenant_tier,
            )
            try:
                await self._on_disk(_make_folder, folder)
            except OSError as error:
                raise disk_error("the database's folder could not be made", error) from error
            database: Database | None = None
            try:
                database = await self._add(folder, meta)
                await self._apply(spec, database)
                try:
                    await self._on_disk(_finish_folder, folder, meta)
                except OSError as error:
                    raise disk_error("the database could not be completed", error) from error
            except BaseException:
                with trio.CancelScope(shield=True):
                    if database is not None:
                        await database.close(_deleted(spec.graph_id), patience=DELETE_PATIENCE, discard=True)
                    await self._on_disk(_unmake_folder, folder)
                raise
            self._databases[spec.graph_id] = database
        finally:
            self._creating.discard(spec.graph_id)
        log.info("database_created", database=spec.graph_id, schema_type=spec.schema_type)
        return database

    def _refuse_creation(self, spec: DatabaseSpec) -> None:
        if not NAME.fullmatch(spec.graph_id):
            raise AssertionError("the HTTP edge lets no other names in")
        if spec.graph_id in self._databases or spec.graph_id in self._creating:
            raise Conflict(f"the database {spec.graph_id!r} exists already", code="exists")
        limit = self.config.max_databases
        if limit is not None and not spec.is_subgraph and self.counted() >= limit:
            detail = f"this node takes {limit} databases and has them: delete one or raise KUZU_MAX_DATABASES_PER_NODE"
            raise OutOfSpace(detail, code="node_full")

    def counted(self) -> int:
        """Databases that count against the capacity: subgraphs do not."""
        return sum(not database.meta.is_subgraph for database in self) + len(self._creating)

    async def _apply(self, spec: DatabaseSpec, database: Database) -> None:
        ddl = ";\n".join(text.strip().rstrip(";") for text in spec.ddl if text.strip())
        if ddl:
            await database.apply_ddl(ddl)
        else:
            await database.schema()

    async def delete(self, graph_id: str) -> None:
        """The name is free again when it returns. Running queries have a while to end.

        Where the folder cannot be moved away the database is there as before, and this raises NodeError.
        """
        database = self.get(graph_id)
        del self._databases[graph_id]
        with trio.CancelScope(shield=True):
            await database.close(_deleted(graph_id), patience=DELETE_PATIENCE, discard=True)
            doomed = self.base_path / ".node" / "trash" / f"{graph_id}-{secrets.token_hex(4)}"
            try:
                await self._on_disk(_move, database.folder.root, doomed)
            except OSError as error:
                if database.folder.root.exists():
                    self._databases[graph_id] = await self._add(database.folder, database.meta)
                    raise disk_error("the database is not deleted: its folder could not be moved", error) from error
                # It is in the trash, only not for certain after a power failure.
                log.error("trash_not_synced", database=graph_id, error=str(error))
            await self._on_disk(files.remove_tree, doomed)
        log.info("database_deleted", database=graph_id)

    async def load(self) -> None:
        """Adds what the base folder holds. A folder that is no database is left alone and said."""
        for folder in await self._on_disk(_existing, self.base_path):
            try:
                meta = await self._on_disk(read_meta, folder.meta)
            except (BadMeta, OSError) as error:
                log.error("database_skipped", folder=folder.root.name, error=str(error))
                continue
            if meta.graph_id != folder.root.name:
                # A folder that somebody has copied: it must not be served in the place of the original.
                log.error("database_skipped", folder=folder.root.name, error=f"its meta.json is {meta.graph_id}'s")
                continue
            await self._on_disk(files.remove_tree, folder.staging)
            self._databases[meta.graph_id] = await self._add(folder, meta)

    async def _add(self, folder: Folder, meta: Meta) -> Database:
        database = self._build(folder, meta)
        await self.nursery.start(database.supervisor.run, name=f"database {meta.graph_id}")
        return database

    def _build(self, folder: Folder, meta: Meta) -> Database:
        config = self.config
        pool_bytes = config.buffer_pool_mb * _MB
        locks = Locks(trio.CapacityLimiter(config.slots), config.queue_timeout, config.queue_length)
        floor = Floor(
            presence=Presence(meta.graph_id),
            locks=locks,
            deliveries=Deliveries(
                config.slots * (LANES_PER_SLOT - 1), config.undelivered_mb * _MB, waiting=max(1, config.slots - 1)
            ),
            openings=self.openings,
            quarantine=Quarantine(config.quarantine_seconds),
            stall_timeout=config.stall_timeout,
            query_timeout=config.query_timeout,
            transaction_idle=config.transaction_idle,
            transaction_longest=config.transaction_longest,
        )
        checkpoints = Checkpoints(folder, locks, config.checkpoint_wal_mb, pool_bytes, self.reflink, self._disk)
        supervisor = Supervisor(
            floor=floor,
            checkpoints=checkpoints,
            spares=self.spares,
            openings=self.openings,
            assign=_assign(folder, config, pool_bytes),
            kill_grace=config.kill_grace,
            slots=config.slots,
            idle_seconds=config.idle_evict_seconds,
        )
        usage = Usage(self.latencies)
        bulk = BulkStatements(floor, checkpoints)
        statements = Statements(meta.graph_id, self.screen, floor, checkpoints, bulk, usage)
        return Database(meta.graph_id, meta, folder, floor, checkpoints, supervisor, statements)

    async def close(self) -> None:
        """Ends every worker in order, all at once."""
        reason = Unavailable("the node is shutting down", code="draining", retry_after=5)
        async with trio.open_nursery() as nursery:
            for database in self:
                nursery.start_soon(_close, database, reason)

    async def _on_disk(self, function: Callable[..., T], *arguments: object) -> T:
        return await trio.to_thread.run_sync(function, *arguments, limiter=self._disk)


@asynccontextmanager
async def open_catalog(
    base_path: Path, config: EngineConfig, *, screen: Screen, spares: Spares, reflink: bool
) -> AsyncIterator[Catalog]:
    """Leaving the block closes every database: requests still under way are refused, logs stay or are checkpointed."""
    async with trio.open_nursery() as nursery:
        catalog = Catalog(
            base_path=base_path,
            config=config,
            screen=screen,
            spares=spares,
            openings=Openings(config.max_open),
            latencies=Latencies(),
            reflink=reflink,
            nursery=nursery,
        )
        await catalog.load()
        try:
            yield catalog
        finally:
            with trio.CancelScope(shield=True):
                await catalog.close()
        nursery.cancel_scope.cancel()


async def _close(database: Database, reason: Unavailable) -> None:
    await database.close(reason, patience=CLOSE_PATIENCE)


def _assign(folder: Folder, config: EngineConfig, pool_bytes: int) -> Assign:
    cpus = os.cpu_count() or 1
    size = config.max_db_size_gb << 30
    return Assign(
        directory=str(folder.root),
        file=str(folder.file),
        owner=str(folder.owner),
        pool_size=pool_bytes,
        max_db_size=1 << (size - 1).bit_length(),
        max_threads=cpus,
        threads=min(2, cpus),
        sandbox=config.sandbox,
    )


def _deleted(graph_id: str) -> NotFound:
    return NotFound(f"there is no database {graph_id!r} here", code="unknown_database")


def _make_folder(folder: Folder) -> None:
    """The mark inside says that it is not complete: until it goes, the folder may be removed. Or nothing is left."""
    if (folder.root / _CREATING).exists():
        # Of a creation that failed, and whose folder could not be removed then.
        _unmake_folder(folder)
    # An empty folder may be what a crash has left of a creation.
    if folder.root.exists() and (not folder.root.is_dir() or any(folder.root.iterdir())):
        raise Conflict(f"the folder {folder.root.name!r} exists in the base folder and is no database", code="exists")
    folder.root.mkdir(exist_ok=True)
    try:
        (folder.root / _CREATING).touch()
        folder.aside.mkdir()
        folder.staging.mkdir()
        files.sync_folder(folder.root)
    except OSError:
        _unmake_folder(folder)
        raise


def _unmake_folder(folder: Folder) -> None:
    """The mark goes last: what is left when this fails, or the node is killed, may still be removed later."""
    mark = folder.root / _CREATING
    try:
        mark.touch()
        for entry in folder.root.iterdir():
            if entry != mark:
                files.remove_tree(entry)
        mark.unlink()
        folder.root.rmdir()
    except OSError as error:
        log.error("creation_not_removed", folder=folder.root.name, error=str(error))


def _finish_folder(folder: Folder, meta: Meta) -> None:
    write_meta(folder.meta, meta)
    (folder.root / _CREATING).unlink()
    files.sync_folder(folder.root)
    files.sync_folder(folder.root.parent)


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(source, target)
    files.sync_folder(source.parent)


def _existing(base_path: Path) -> list[Folder]:
    """Complete databases. What a crash left of a creation is removed."""
    found = []
    for root in sorted(base_path.iterdir()):
        if not root.is_dir() or root.is_symlink() or not NAME.fullmatch(root.name):
            continue
        if (root / _CREATING).exists():
            _unmake_folder(Folder(root))
        elif (root / "meta.json").exists():
            found.append(Folder(root))
    files.remove_tree(base_path / ".node" / "trash")
    return found
