"""The pair that is set aside: whatever stops it half-way, the live files or the pair are taken, never a mixture."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from kuzu_node.engine import files
from kuzu_node.engine.files import Folder


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    root = tmp_path / "g"
    root.mkdir()
    found = Folder(root)
    found.aside.mkdir()
    found.file.write_bytes(b"file before")
    found.log.write_bytes(b"log before")
    return found


def set_aside(folder: Folder) -> None:
    files.set_file_aside(folder)
    files.set_log_aside(folder)


def change(folder: Folder) -> None:
    """What a checkpoint that dies half-way leaves."""
    folder.file.write_bytes(b"half of a checkpoint")
    folder.log.unlink()
    folder.shadow.write_bytes(b"shadow")


def live(folder: Folder) -> tuple[bytes, bytes | None]:
    return folder.file.read_bytes(), folder.log.read_bytes() if folder.log.exists() else None


BEFORE = (b"file before", b"log before")


def test_marked_pair_wins_over_live_files(folder: Folder) -> None:
    set_aside(folder)
    change(folder)
    assert files.restore_marked_pair(folder)
    assert live(folder) == BEFORE
    assert not folder.shadow.exists()
    assert list(folder.aside.iterdir()) == []


def test_pair_without_a_marker_is_never_used(folder: Folder) -> None:
    files.set_file_aside(folder)
    change(folder)
    assert not files.restore_marked_pair(folder)
    assert live(folder) == (b"half of a checkpoint", None)
    assert list(folder.aside.iterdir()) == []


def test_unmarked_pair_is_gone_and_its_room_free(folder: Folder) -> None:
    set_aside(folder)
    files.unmark(folder)
    change(folder)
    assert not files.restore_marked_pair(folder)
    assert live(folder)[0] == b"half of a checkpoint"


def test_pair_that_had_no_log_takes_the_later_log_away(folder: Folder) -> None:
    folder.log.unlink()
    set_aside(folder)
    folder.log.write_bytes(b"a log of the statement that died")
    assert files.restore_marked_pair(folder)
    assert live(folder) == (b"file before", None)


class Crash(BaseException):
    """The process ends here: nothing behind it runs."""


def crashing_replace(after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    real, done = os.replace, 0

    def replace(source: Path, target: Path) -> None:
        nonlocal done
        if done == after:
            raise Crash
        real(source, target)
        done += 1

    monkeypatch.setattr(os, "replace", replace)


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_restoring_goes_on_where_a_crash_has_stopped_it(
    folder: Folder, renames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_aside(folder)
    change(folder)
    with monkeypatch.context() as patch:
        crashing_replace(renames, patch)
        if renames < 2:
            with pytest.raises(Crash):
                files.restore_marked_pair(folder)
            assert folder.marker.exists()
        else:
            files.restore_marked_pair(folder)
    files.restore_marked_pair(folder)
    assert live(folder) == BEFORE
    assert list(folder.aside.iterdir()) == []


def test_copy_is_refused_while_a_marked_pair_is_the_only_good_state(folder: Folder) -> None:
    set_aside(folder)
    change(folder)
    with pytest.raises(FileExistsError):
        files.set_file_aside(folder)
    files.restore_marked_pair(folder)
    assert live(folder) == BEFORE


def test_marking_that_fails_leaves_no_marker(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    files.set_file_aside(folder)
    real = files.sync_folder
    calls = 0

    def sync_folder(path: Path) -> None:
        # The second is the one behind the marker's rename.
        nonlocal calls
        calls += 1
        if calls == 2:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(path)

    monkeypatch.setattr(files, "sync_folder", sync_folder)
    with pytest.raises(OSError, match="Input/output error"):
        files.set_log_aside(folder)
    assert list(folder.aside.iterdir()) == []
    folder.file.write_bytes(b"acknowledged later")
    assert not files.restore_marked_pair(folder)
    assert live(folder)[0] == b"acknowledged later"


def test_copy_that_finds_no_room_leaves_nothing(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    def copyfileobj(source: object, target: object, length: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files, "_clone", lambda source, target: False)
    monkeypatch.setattr(shutil, "copyfileobj", copyfileobj)
    with pytest.raises(OSError, match="No space left"):
        files.set_file_aside(folder)
    assert list(folder.aside.iterdir()) == []


def test_dropping_copies_spares_a_marked_pair(folder: Folder) -> None:
    set_aside(folder)
    files.drop_unmarked(folder)
    change(folder)
    assert files.restore_marked_pair(folder)
    assert live(folder) == BEFORE


def test_a_replaced_file_stays_with_who_has_it_open(folder: Folder) -> None:
    folder.owner.touch()
    os.utime(folder.file, (1, 1))
    with open(folder.file, "r+b") as held:
        files.replace_file(folder)
        held.write(b"FILE")
        assert live(folder) == BEFORE
        assert os.fstat(held.fileno()).st_ino != folder.file.stat().st_ino
    assert files.modified(folder.file) == 1
    # Whoever comes next does not wait for the one that keeps the old file.
    assert not folder.owner.exists()
    assert list(folder.aside.iterdir()) == []


def test_no_file_is_replaced_while_a_marked_pair_waits(folder: Folder) -> None:
    set_aside(folder)
    with pytest.raises(FileExistsError):
        files.replace_file(folder)
    change(folder)
    assert files.restore_marked_pair(folder)
    assert live(folder) == BEFORE


def test_a_replacement_that_was_not_finished_goes_with_the_next_opening(folder: Folder) -> None:
    folder.replacement.write_bytes(b"half")
    assert not files.restore_marked_pair(folder)
    assert live(folder) == BEFORE
    assert list(folder.aside.iterdir()) == []
