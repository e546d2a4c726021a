"""The client that commands use: `KuzuClient`, and what only a terminal wants of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final

from kuzu_client._core import multipart, requests, sources
from kuzu_client._core.files import PartFile
from kuzu_client._core.observers import Observer
from kuzu_client._core.results import as_answer
from kuzu_client._core.sources import Progress
from kuzu_client._sync.backups import ARCHIVE_TIMES
from kuzu_client._sync.client import KuzuClient
from kuzu_client._sync.streams import Stream
from kuzu_client.answers import TaskStarted
from kuzu_client.cli.settings import Settings

CSV: Final = "text/csv"
MEDIA_TYPES: Final[Mapping[str, str]] = {"csv": CSV, "arrow": requests.ARROW}


class CommandClient(KuzuClient):
    @classmethod
    def from_settings(cls, settings: Settings, *, observers: Sequence[Observer] = ()) -> CommandClient:
        """Raises ValueError for settings that make no sense."""
        overrides: dict[str, Any] = {} if settings.timeout is None else {"timeout": settings.timeout}
        return cls(settings.url, settings.api_key, observers=observers, **overrides)

    def open_result(
        self,
        graph_id: str,
        cypher: str,
        parameters: Mapping[str, Any],
        form: str,
        *,
        timeout: float | None = None,
        read_only: bool = False,
    ) -> AbstractContextManager[Stream]:
        """The bytes of a result as the node writes it, in one of MEDIA_TYPES."""
        accept = MEDIA_TYPES[form]
        call = requests.query(cypher, graph_id, parameters, timeout=timeout, read_only=read_only, accept=accept)
        return self._caller.open_stream(call)

    def save_archive(self, graph_id: str, path: Path, progress: Progress, timeout: float | None = None) -> int:
        """As `export_database`. The size."""
        call = requests.archive(graph_id, timeout=self.long(timeout))
        size = 0
        file = PartFile.create(path)
        try:
            with self._caller.open_stream(call) as stream:
                whole = _length(stream.headers)
                for piece in stream.pieces():
                    if file.hold(piece):
                        file.write()
                    size += len(piece)
                    progress(size, whole)
            file.keep()
        except BaseException:
            file.discard()
            raise
        return size

    def send_archive(
        self,
        graph_id: str,
        path: str | os.PathLike[str],
        progress: Callable[[int, int | None], None],
        *,
        create_system_backup: bool,
        force_overwrite: bool,
        timeout: float | None = None,
    ) -> TaskStarted:
        """As `restore_backup`."""
        fields = {
            "create_system_backup": "true" if create_system_backup else "false",
            "force_overwrite": "true" if force_overwrite else "false",
        }
        source = sources.watched(sources.of_path(Path(path)), progress)
        body = multipart.form(fields, "backup_data", "backup.zip", source)
        call = requests.restore(graph_id, body, timeout=self.long(timeout))
        return as_answer(TaskStarted, self._caller.call(call))

    def long(self, timeout: float | None) -> float:
        """Of what moves a whole database."""
        return ARCHIVE_TIMES * self._caller.config.timeout if timeout is None else timeout


def _length(headers: Mapping[str, str]) -> int | None:
    told = headers.get("content-length", "")
    return int(told) if told.isascii() and told.isdigit() else None
