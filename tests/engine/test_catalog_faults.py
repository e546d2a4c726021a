"""A disk that refuses one step of a creation or a deletion: nothing is half there, and the next try works."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from structlog.testing import capture_logs

from kuzu_node.errors import Internal, NodeError, OutOfSpace
from tests.engine.nodes import PERSON, ask, create, opened

pytestmark = pytest.mark.trio

# The steps of a creation, as calls of the system: which one, and how the path ends.
STEPS = [
    ("mkdir", "/g"),
    ("open", "/g/.creating"),
    ("mkdir", "/g/aside"),
    ("mkdir", "/g/staging"),
    ("open", "/g"),
    ("replace", "/g/meta.json.new"),
    ("unlink", "/g/.creating"),
]


class Refusing:
    """Stands in for one function of `os`: refuses a path so many times, and lets everything else through."""

    def __init__(self, real: Callable[..., Any], ending: str, times: int, number: int = errno.ENOSPC) -> None:
        self._real = real
        self._ending = ending
        self._number = number
        self.left = times

    def __call__(self, path: Any, *arguments: Any, **options: Any) -> Any:
        if self.left and str(path).endswith(self._ending):
            self.left -= 1
            raise OSError(self._number, os.strerror(self._number), str(path))
        return self._real(path, *arguments, **options)


def refuse(monkeypatch: pytest.MonkeyPatch, name: str, ending: str, times: int = 1, **options: int) -> Refusing:
    refusing = Refusing(getattr(os, name), ending, times, **options)
    monkeypatch.setattr(os, name, refusing)
    return refusing


@pytest.mark.parametrize(("name", "ending"), STEPS)
async def test_a_creation_that_the_disk_refuses_leaves_nothing_and_can_be_repeated(
    name: str, ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path) as node:
        with monkeypatch.context() as broken:
            refusing = refuse(broken, name, ending)
            with pytest.raises(OutOfSpace) as caught:
                await create(node)
            assert refusing.left == 0
        assert caught.value.code == "disk_full"
        assert "No space left on device" in caught.value.detail
        assert not (tmp_path / "g").exists()
        assert node.databases.names() == ()
        assert await ask(await create(node), "RETURN 1 AS one") == [{"one": 1}]
    async with opened(tmp_path) as node:
        assert node.databases.names() == ("g",)


async def test_a_creation_that_is_not_allowed_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(tmp_path) as node:
        refuse(monkeypatch, "mkdir", "/g", number=errno.EACCES)
        with pytest.raises(Internal) as caught:
            await create(node)
        assert caught.value.detail == "the database's folder could not be made: Permission denied"


@pytest.mark.parametrize("again", ["at once", "by another node"])
@pytest.mark.parametrize(("name", "ending"), [("rmdir", "/g"), ("unlink", "/g/.creating"), ("unlink", "/g/graph.kuzu")])
async def test_what_the_disk_does_not_let_go_is_in_the_way_of_nobody(
    name: str, ending: str, again: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path) as node:
        with monkeypatch.context() as broken, capture_logs() as logs:
            refuse(broken, name, ending, times=99)
            with pytest.raises(NodeError):
                await create(node, ddl=f"{PERSON}; {PERSON}")
        assert [line["folder"] for line in logs if line["event"] == "creation_not_removed"] == ["g"]
        assert (tmp_path / "g").exists()
        if again == "at once":
            assert await ask(await create(node), "RETURN 1 AS one") == [{"one": 1}]
    if again == "by another node":
        async with opened(tmp_path) as node:
            assert node.databases.names() == ()
            assert await ask(await create(node), "RETURN 1 AS one") == [{"one": 1}]


async def test_a_database_that_cannot_be_moved_away_is_there_as_before(tmp_path: Path) -> None:
    trash = tmp_path / ".node" / "trash"
    async with opened(tmp_path) as node:
        await ask(await create(node), "CREATE (:P {id: 1})")
        trash.write_text("no folder")
        for _ in range(2):
            with pytest.raises(Internal, match=r"^the database is not deleted: .*File exists"):
                await node.databases.delete("g")
            assert node.databases.names() == ("g",)
            assert await ask(node.databases.get("g"), "MATCH (p:P) RETURN p.id AS id") == [{"id": 1}]
        trash.unlink()
        await node.databases.delete("g")
        assert node.databases.names() == ()
        assert await ask(await create(node), "MATCH (p:P) RETURN count(*) AS n") == [{"n": 0}]


async def test_a_deletion_whose_move_cannot_be_synced_is_one_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path) as node:
        await create(node)
        with monkeypatch.context() as broken, capture_logs() as logs:
            refusing = refuse(broken, "open", f"/{tmp_path.name}", number=errno.EIO)
            await node.databases.delete("g")
            assert refusing.left == 0
        assert "trash_not_synced" in [line["event"] for line in logs]
        assert await ask(await create(node), "RETURN 1 AS one") == [{"one": 1}]


async def test_a_deletion_that_fails_is_not_cut_short_by_who_asked_for_it(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        await create(node)
        (tmp_path / ".node" / "trash").write_text("no folder")
        with trio.CancelScope() as scope:
            scope.cancel()
            with pytest.raises(Internal):
                await node.databases.delete("g")
        assert await ask(node.databases.get("g"), "RETURN 1 AS one") == [{"one": 1}]
