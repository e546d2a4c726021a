"""Archives, on a server that says what a script says."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pytest

from kuzu_client._async.client import AsyncKuzuClient
from kuzu_client.errors import KuzuAPIError, KuzuClientError, KuzuTransientError
from tests.client.calls import QUICK
from tests.client.scripted import Received, answer, answers, breaks_off, chunked, head, problem, says, scripted

pytestmark = pytest.mark.anyio

ZIP = {"Content-Type": "application/zip"}
ARCHIVE = os.urandom(3_000_000)
WHOLE = head(200, {**ZIP, "Transfer-Encoding": "chunked"}) + chunked([ARCHIVE[:2_000_000], ARCHIVE[2_000_000:]])
STARTED = {"task_id": "t1", "status": "initiated", "monitor_url": "/tasks/t1/monitor"}


def form_of(request: Received) -> dict[str, bytes]:
    """The fields of a form, by their names."""
    boundary = request.headers["content-type"].partition("boundary=")[2].encode()
    parts = request.body.split(b"--" + boundary)[1:-1]
    found = {}
    for part in parts:
        described, _, content = part.partition(b"\r\n\r\n")
        found[described.partition(b'name="')[2].partition(b'"')[0].decode()] = content.removesuffix(b"\r\n")
    return found


async def test_an_archive_is_bytes_or_a_file(tmp_path: Path) -> None:
    target = tmp_path / "g.zip"
    whole = WHOLE + b"0\r\n\r\n"
    with scripted(says(whole), says(whole), says(answer(200, ARCHIVE, ZIP))) as server:
        async with AsyncKuzuClient(server.url, **QUICK) as client:
            assert await client.export_database("g") == ARCHIVE
            assert await client.export_database("g", str(target)) == target
            assert target.read_bytes() == ARCHIVE
            await client.export_database("g", target)
    assert target.read_bytes() == ARCHIVE
    assert list(tmp_path.iterdir()) == [target]
    assert {request.target for request in server.received} == {"/databases/g/backup"}


async def test_a_file_is_left_alone_by_an_archive_that_breaks_off(tmp_path: Path) -> None:
    target = tmp_path / "g.zip"
    target.write_bytes(b"the one before")
    with scripted(breaks_off(WHOLE)) as server:
        async with AsyncKuzuClient(server.url, **QUICK, max_retries=0) as client:
            with pytest.raises(KuzuTransientError):
                await client.export_database("g", target)
    assert target.read_bytes() == b"the one before"
    assert list(tmp_path.iterdir()) == [target]


async def test_an_export_that_is_refused_leaves_no_file(tmp_path: Path) -> None:
    with scripted(problem(404, "unknown_database")) as server:
        async with AsyncKuzuClient(server.url, **QUICK) as client:
            with pytest.raises(KuzuClientError):
                await client.export_database("g", tmp_path / "g.zip")
            with pytest.raises(IsADirectoryError):
                await client.export_database("g", tmp_path)
    assert list(tmp_path.iterdir()) == []


async def test_a_restore_sends_a_form_from_bytes_a_path_or_a_file(tmp_path: Path) -> None:
    path = tmp_path / "g.zip"
    path.write_bytes(ARCHIVE)
    with path.open("rb") as opened, scripted(otherwise=answers(STARTED, 202)) as server:
        async with AsyncKuzuClient(server.url, **QUICK) as client:
            for data in (ARCHIVE, path, str(path), opened, io.BytesIO(ARCHIVE)):
                assert (await client.restore_backup("g", data)).task_id == "t1"
            await client.restore_backup("g", b"x", create_system_backup=False, force_overwrite=True)
    *first, last = server.received
    expected = {"create_system_backup": b"true", "force_overwrite": b"false", "backup_data": ARCHIVE}
    assert [form_of(request) for request in first] == [expected] * 5
    assert form_of(last) == {"create_system_backup": b"false", "force_overwrite": b"true", "backup_data": b"x"}
    assert all(request.target == "/databases/g/restore" for request in server.received)


async def test_a_restore_over_a_database_is_refused_by_code() -> None:
    with scripted(problem(409, "exists")) as server:
        async with AsyncKuzuClient(server.url, **QUICK) as client:
            with pytest.raises(KuzuAPIError) as caught:
                await client.restore_backup("g", b"x")
    assert (type(caught.value), caught.value.status_code, caught.value.code) == (KuzuAPIError, 409, "exists")


async def test_backups_are_made_listed_and_fetched() -> None:
    with scripted(
        answers(STARTED, 202), answers([{"backup_id": "b1"}]), answers({"backup_data": "UEs=", "size_bytes": 2})
    ) as server:
        async with AsyncKuzuClient(server.url, **QUICK) as client:
            assert (await client.create_backup("g", "portable", encryption=True)).task_id == "t1"
            assert [backup.backup_id for backup in await client.list_backups("g")] == ["b1"]
            assert (await client.download_backup("g")).backup_data == "UEs="
    assert server.received[0].json() == {"backup_format": "portable", "compression": True, "encryption": True}
    assert [request.target for request in server.received] == [
        "/databases/g/backup",
        "/databases/g/backups",
        "/databases/g/backup-download",
    ]


@pytest.mark.parametrize("kind", ["backup", "restore"])
async def test_backups_and_restores_that_are_waited_for_tell_how_they_went(kind: str) -> None:
    done: dict[str, Any] = {"task_id": "t1", "status": "completed", "result": {"size_bytes": 5}, "error": None}
    with scripted(answers(STARTED, 202), problem(404, "unknown_route"), answers(done)) as server:
        async with AsyncKuzuClient(server.url, **QUICK) as client:
            if kind == "backup":
                outcome = await client.backup_with_sse("g")
            else:
                outcome = await client.restore_with_sse("g", b"x", force_overwrite=True)
    assert (outcome.status, outcome.task_id, outcome.result) == ("completed", "t1", {"size_bytes": 5})
    assert server.received[1].target == "/tasks/t1/monitor"
