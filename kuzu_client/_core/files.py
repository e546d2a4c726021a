"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import BinaryIO, Self

import attrs

WRITE_SIZE = 1 << 20


@attrs.define(eq=False)
class PartFile:
    """Written beside `path`, whose place it takes in the end. All but `hold` blocks."""

    path: Path
    part: Path
    _file: BinaryIO
    _held: list[bytes] = attrs.field(factory=list, init=False)
    _size: int = attrs.field(default=0, init=False)

    @classmethod
    def create(cls, path: Path) -> Self:
        """Raises OSError, also where a folder stands in the way."""
        if path.is_dir():
            raise IsADirectoryError(f"{path} is a folder")
        part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        return cls(path, part, part.open("xb"))

    def hold(self, piece: bytes) -> bool:
        """Whether enough is held to be worth a `write`."""
        self._held.append(piece)
        self._size += len(piece)
        return self._size >= WRITE_SIZE

    def write(self) -> None:
        held, self._held, self._size = self._held, [], 0
        self._file.write(b"".join(held))

    def keep(self) -> None:
        """Durable before it has its name."""
        self.write()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self.part.replace(self.path)

    def discard(self) -> None:
        try:
            self._file.close()
        finally:
            self.part.unlink(missing_ok=True)
