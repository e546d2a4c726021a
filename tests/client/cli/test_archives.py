"""Archives and tasks, on a server that says what a script says."""

from __future__ import annotations

import json
import os
from pathlib import Path

from tests.client.cli.programs import client, on_terminal
from tests.client.scripted import answer, answers, breaks_off, chunked, head, problem, says, scripted, stalls

ZIP = {"Content-Type": "application/zip"}
ARCHIVE = os.urandom(600_000)
STARTED = {"task_id": "t1", "status": "initiated", "monitor_url": "/tasks/t1/monitor"}
STATUS = {
    "task_id": "t1",
    "task_type": "restore",
    "progress_percent": 100,
    "error": None,
    "result": {"records_loaded": 7},
}
EVENTS = head(200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"})


def event(name: str, **data: object) -> bytes:
    return f"event: {name}\ndata: {json.dumps({'task_id': 't1', **data})}\n\n".encode()


PROGRESS = event("progress", status="running", progress_percent=40, message="half way")
COMPLETED = says(EVENTS + chunked([PROGRESS, event("completed", status="completed")]) + b"0\r\n\r\n")
FAILED = says(EVENTS + chunked([event("failed", status="failed", error="no space")]) + b"0\r\n\r\n")


def test_an_archive_becomes_a_file(tmp_path: Path) -> None:
    target = tmp_path / "g.zip"
    with scripted(otherwise=says(answer(200, ARCHIVE, ZIP))) as server:
        done = client(server.url, "backup", "g", str(target))
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == f"{target}, 585.9 KiB\n"
        assert target.read_bytes() == ARCHIVE
        told = json.loads(client(server.url, "backup", "g", str(target), "--json").stdout)
        assert told == {"database": "g", "path": str(target), "size_bytes": 600_000}
    assert server.received[0].target == "/databases/g/backup"


def test_an_archive_that_breaks_off_leaves_no_file(tmp_path: Path) -> None:
    with scripted(otherwise=breaks_off(answer(200, ARCHIVE, ZIP)[:-1000])) as server:
        done = client(server.url, "backup", "g", str(tmp_path / "g.zip"))
    assert done.returncode == 3
    assert "cut short" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_leaves_no_part_of_a_file(tmp_path: Path) -> None:
    with (
        scripted(otherwise=stalls(answer(200, ARCHIVE, ZIP)[:-1000])) as server,
        on_terminal(server.url, "backup", "g", str(tmp_path / "g.zip")) as program,
    ):
        program.until("fetching g")
        assert server.stalled.wait(20)
        program.interrupt()
        program.until("interrupted")
        assert program.end() == 130
    assert list(tmp_path.iterdir()) == []


def test_an_archive_is_restored_and_its_task_waited_for(tmp_path: Path) -> None:
    (tmp_path / "g.zip").write_bytes(ARCHIVE)
    with scripted(answers(STARTED, 202), COMPLETED, answers({**STATUS, "status": "completed"})) as server:
        done = client(server.url, "restore", "g", str(tmp_path / "g.zip"), "--force")
    assert done.returncode == 0
    assert ["status", "completed"] in [line.split() for line in done.stdout.splitlines()]
    sent, watched, asked = server.received
    assert ARCHIVE in sent.body
    assert b'name="force_overwrite"\r\n\r\ntrue' in sent.body
    assert (watched.target, asked.target) == ("/tasks/t1/monitor", "/tasks/t1/status")


def test_a_restored_database_that_exists_is_refused(tmp_path: Path) -> None:
    (tmp_path / "g.zip").write_bytes(b"zip")
    with scripted(otherwise=problem(409, "exists")) as server:
        done = client(server.url, "restore", "g", str(tmp_path / "g.zip"))
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("kuzu-client: exists: ")
        assert client(server.url, "restore", "g", str(tmp_path / "none.zip")).returncode == 2
        assert len(server.received) == 1


def test_detached_it_tells_the_task(tmp_path: Path) -> None:
    (tmp_path / "g.zip").write_bytes(b"zip")
    with scripted(answers(STARTED, 202)) as server:
        assert client(server.url, "restore", "g", str(tmp_path / "g.zip"), "--detach").stdout == "t1\n"


def test_the_exit_code_tells_how_a_watched_task_ended() -> None:
    with scripted(FAILED, answers({**STATUS, "status": "failed", "error": "no space"})) as server:
        done = client(server.url, "task", "t1", "--watch")
    assert done.returncode == 1
    assert "no space" in done.stdout
    with scripted(answers({**STATUS, "status": "running"})) as server:
        done = client(server.url, "task", "t1", "--json")
    assert (done.returncode, json.loads(done.stdout)["status"]) == (0, "running")


def test_a_bar_shows_how_far_a_task_is_and_ctrl_c_leaves_it_alone() -> None:
    begun = stalls(EVENTS + chunked([event("progress", status="running", progress_percent=40, message="half way")]))
    with scripted(begun) as server, on_terminal(server.url, "task", "t1", "--watch") as program:
        program.until("40%")
        program.until("half way")
        program.interrupt()
        program.until("the task goes on")
        assert program.end() == 130
    assert len(server.received) == 1
