"""Archives of a database: made, fetched, put back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO, overload

from kuzu_client._async.concurrency import in_thread, shielded
from kuzu_client._async.tasks import AsyncTasks
from kuzu_client._core import multipart, requests, sources
from kuzu_client._core.calls import Call, Replay
from kuzu_client._core.files import PartFile
from kuzu_client._core.results import as_answer, as_answers
from kuzu_client.answers import Answer, Backup, TaskOutcome, TaskStarted

# Archives take longer than queries: so many times the client's timeout.
ARCHIVE_TIMES = 30
Archive = bytes | bytearray | str | os.PathLike[str] | BinaryIO


class AsyncBackups(AsyncTasks):
    """A backup is a task of the node; `export_database` brings one here instead."""

    async def create_backup(
        self, graph_id: str, backup_format: str = "full_dump", compression: bool = True, encryption: bool = False
    ) -> TaskStarted:
        """`backup_format`: full_dump or portable."""
        call = requests.start(
            "create_backup",
            graph_id,
            "backup",
            backup_format=backup_format,
            compression=compression,
            encryption=encryption,
        )
        return as_answer(TaskStarted, await self._caller.call(call))

    async def backup_with_sse(
        self,
        graph_id: str,
        backup_format: str = "full_dump",
        compression: bool = True,
        encryption: bool = False,
        timeout: float = 3600,
    ) -> TaskOutcome:
        """`create_backup`, waited for. Raises only when it cannot be started."""
        started = await self.create_backup(graph_id, backup_format, compression, encryption)
        return await self._outcome(started, timeout)

    async def list_backups(self, graph_id: str) -> list[Backup]:
        """Those that the node keeps."""
        return as_answers(Backup, await self._caller.call(requests.database("list_backups", graph_id, "/backups")))

    async def download_backup(self, graph_id: str) -> Answer:
        """A fresh archive in memory: `backup_data` is the base64 text of a ZIP. `export_database` needs no memory."""
        call = requests.download_backup(graph_id, timeout=self._archive_seconds())
        return as_answer(Answer, await self._caller.call(call))

    @overload
    async def export_database(self, graph_id: str, path: None = None) -> bytes: ...

    @overload
    async def export_database(self, graph_id: str, path: str | os.PathLike[str]) -> Path: ...

    async def export_database(self, graph_id: str, path: str | os.PathLike[str] | None = None) -> bytes | Path:
        """A fresh archive: its bytes, or the path to which it was streamed.

        The file appears when it is whole: it is written beside its name, and renamed.
        """
        call = requests.archive(graph_id, timeout=self._archive_seconds())
        if path is None:
            return await self._caller.call_bytes(call)
        await self._save(call, Path(path))
        return Path(path)

    async def restore_backup(
        self,
        graph_id: str,
        backup_data: Archive,
        create_system_backup: bool = True,
        force_overwrite: bool = False,
    ) -> TaskStarted:
        """`backup_data`: bytes, a path, or a binary file from where it stands; it is sent in pieces, read in a thread.

        Raises KuzuAPIError with code exists where there is such a database, unless `force_overwrite`.
        """
        fields = {
            "create_system_backup": "true" if create_system_backup else "false",
            "force_overwrite": "true" if force_overwrite else "false",
        }
        source = sources.of_archive(backup_data)
        body = multipart.form(fields, "backup_data", "backup.zip", source)
        replay = Replay.ONCE if source.once else Replay.NEVER
        call = requests.restore(graph_id, body, timeout=self._archive_seconds(), replay=replay)
        return as_answer(TaskStarted, await self._caller.call(call))

    async def restore_with_sse(
        self,
        graph_id: str,
        backup_data: Archive,
        create_system_backup: bool = True,
        force_overwrite: bool = False,
        timeout: float = 3600,
    ) -> TaskOutcome:
        """`restore_backup`, waited for. Raises only when it cannot be started."""
        started = await self.restore_backup(graph_id, backup_data, create_system_backup, force_overwrite)
        return await self._outcome(started, timeout)

    async def _save(self, call: Call, path: Path) -> None:
        file = await in_thread(PartFile.create, path)
        try:
            async with self._caller.open_stream(call) as stream:
                async for piece in stream.pieces():
                    if file.hold(piece):
                        await in_thread(file.write)
            await in_thread(file.keep)
        except BaseException:
            async with shielded():
                await in_thread(file.discard)
            raise

    def _archive_seconds(self) -> float:
        return ARCHIVE_TIMES * self._caller.config.timeout
