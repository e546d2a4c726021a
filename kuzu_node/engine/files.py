"""The files of a database, and the pair that is set aside while they change. Blocking: called in threads.

A folder holds `graph.kuzu`, its log `graph.kuzu.wal`, `meta.json`, `aside/` and `staging/`. The pair in `aside/` with a
marker always wins over the live files; without a marker it is never used.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
from pathlib import Path

import attrs

_FICLONE = 0x40049409
_COPY_CHUNK = 16 * 1024 * 1024
_MARKER = "marker.json"


@attrs.frozen
class Folder:
    """Paths of one database."""

    root: Path

    @property
    def file(self) -> Path:
        return self.root / "graph.kuzu"

    @property
    def log(self) -> Path:
        return self.root / "graph.kuzu.wal"

    @property
    def shadow(self) -> Path:
        return self.root / "graph.kuzu.shadow"

    @property
    def spill(self) -> Path:
        return self.root / "graph.kuzu.tmp"

    @property
    def owner(self) -> Path:
        """Locked by the process that has the database open, for as long as it lives."""
        return self.root / "owner.lock"

    @property
    def meta(self) -> Path:
        return self.root / "meta.json"

    @property
    def aside(self) -> Path:
        return self.root / "aside"

    @property
    def marker(self) -> Path:
        return self.aside / _MARKER

    @property
    def replacement(self) -> Path:
        return self.aside / "replacement"

    @property
    def staging(self) -> Path:
        return self.root / "staging"

    def size_bytes(self) -> int:
        """File and log."""
        return size(self.file) + size(self.log)


def size(path: Path) -> int:
    """Bytes; 0 for a file that is not there."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def wait_without_owner(folder: Folder) -> None:
    """Returns when no worker has the files any more.

    After a node was killed, its worker finishes the checkpoint it is in, and touches files by their names.
    """
    try:
        with open(folder.owner, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
    except FileNotFoundError:
        # Never opened by anybody, or deleted: a file made here would outlive the folder's removal.
        return


def replace_file(folder: Folder) -> None:
    """Puts a copy in the place of the main file: a worker that has the file open keeps the old one to itself.

    Its locks go with it, the engine's on the file and its own on `owner.lock`: it must neither write nor checkpoint any
    more. Nobody else may checkpoint meanwhile. Raises OSError; the file is then good as well.
    """
    _refuse_marked(folder)
    try:
        copy(folder.file, folder.replacement)
        # The same database as before, so it has not been modified either.
        shutil.copystat(folder.file, folder.replacement)
        os.replace(folder.replacement, folder.file)
    except OSError:
        folder.replacement.unlink(missing_ok=True)
        raise
    folder.owner.unlink(missing_ok=True)
    # What is acknowledged from now on is in the new file, which must not lose its name.
    sync_folder(folder.root)


def _refuse_marked(folder: Folder) -> None:
    if folder.marker.exists():
        raise FileExistsError(errno.EEXIST, "a marked pair waits to be put back", str(folder.marker))


def set_file_aside(folder: Folder) -> bool:
    """Copies the main file; nobody may checkpoint meanwhile. Whether blocks are shared with the original (reflink).

    Raises FileExistsError while a marked pair waits to be put back: it is the only good state then.
    """
    folder.aside.mkdir(exist_ok=True)
    _refuse_marked(folder)
    return copy(folder.file, folder.aside / folder.file.name)


def set_log_aside(folder: Folder) -> None:
    """Copies the log, makes the pair durable and marks it. Nobody may write meanwhile.

    Raises OSError with no marker left behind, unless the disk refuses that too.
    """
    target = folder.aside / folder.log.name
    has_log = folder.log.exists()
    try:
        if has_log:
            copy(folder.log, target)
        else:
            target.unlink(missing_ok=True)
        sync_folder(folder.aside)
        write_durably(folder.marker, json.dumps({"log": has_log}).encode())
    except OSError:
        unmark(folder)
        raise


def unmark(folder: Folder) -> None:
    """The live files are good again. The marker goes first: a pair without one is never used."""
    folder.marker.unlink(missing_ok=True)
    sync_folder(folder.aside)
    drop_unmarked(folder)


def drop_unmarked(folder: Folder) -> None:
    """Frees the room of copies that nobody needs. A marked pair stays."""
    if folder.marker.exists():
        return
    for name in (folder.file.name, folder.log.name, _MARKER + ".new", folder.replacement.name):
        (folder.aside / name).unlink(missing_ok=True)


def restore_marked_pair(folder: Folder) -> bool:
    """Puts a marked pair back in the place of the live files. May be repeated after a crash at any point.

    Whether there was one. Each file moves by a rename, so one that is no longer in `aside/` is back already.
    """
    try:
        marker = json.loads(folder.marker.read_bytes())
    except FileNotFoundError:
        drop_unmarked(folder)
        return False
    folder.shadow.unlink(missing_ok=True)
    folder.spill.unlink(missing_ok=True)
    if not marker["log"]:
        folder.log.unlink(missing_ok=True)
    for live in (folder.file, folder.log):
        with contextlib.suppress(FileNotFoundError):
            os.replace(folder.aside / live.name, live)
    sync_folder(folder.root)
    unmark(folder)
    return True


def copy(source: Path, target: Path) -> bool:
    """A durable copy; whether it is a reflink. Raises OSError (ENOSPC among them) and leaves no half copy then."""
    try:
        with open(source, "rb") as reading, open(target, "wb") as writing:
            cloned = _clone(reading.fileno(), writing.fileno())
            if not cloned:
                shutil.copyfileobj(reading, writing, _COPY_CHUNK)
                writing.flush()
            os.fsync(writing.fileno())
    except OSError:
        target.unlink(missing_ok=True)
        raise
    return cloned


def _clone(source: int, target: int) -> bool:
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as error:
        if error.errno in {errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL, errno.ENOSYS}:
            return False
        raise
    return True


def can_reflink(directory: Path) -> bool:
    """Whether the file system shares blocks between copies."""
    source, target = directory / ".reflink-source", directory / ".reflink-target"
    try:
        source.write_bytes(b"\0" * 4096)
        with open(source, "rb") as reading, open(target, "wb") as writing:
            return _clone(reading.fileno(), writing.fileno())
    finally:
        source.unlink(missing_ok=True)
        target.unlink(missing_ok=True)


def write_durably(path: Path, content: bytes) -> None:
    """Replaces the file in one step that survives a power failure."""
    temporary = path.with_name(path.name + ".new")
    with open(temporary, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_tree(path: Path) -> None:
    """A file or a folder with all that is in it; what is gone already does not matter."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def modified(path: Path) -> float:
    """Seconds since the epoch; 0 for a file that is not there."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
