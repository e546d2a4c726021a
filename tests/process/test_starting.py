"""Starts that succeed, and starts that do not: a sentence and an exit code, never a traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kuzu_node.demo.questions import QUESTIONS
from tests.process.client import connected
from tests.process.nodes import REPOSITORY, running, start

SECONDS = 60
KEY = "a-key-of-the-tests"


def refused(*arguments: str, **settings: str) -> tuple[int, str, str]:
    """Exit code, the last line of the log, and what it wrote on standard error."""
    process = start(*arguments, **settings)
    said, errors = process.communicate(timeout=SECONDS)
    return process.returncode, (said.splitlines() or [""])[-1], errors


def reason(line: str) -> str:
    event = json.loads(line)
    assert event["event"] == "not_started"
    assert "exception" not in event
    return str(event["reason"])


def test_an_open_server_on_an_outer_address_refuses_to_start(tmp_path: Path) -> None:
    code, _, errors = refused("--base-path", str(tmp_path), "--host", "0.0.0.0", "--port", "0")
    assert code == 2
    assert errors.startswith("kuzu-node: KUZU_HOST=0.0.0.0 without a key")
    assert errors.count("\n") == 1


def test_what_another_node_has_is_left_alone(tmp_path: Path) -> None:
    with running(tmp_path / "mine") as node:
        code, line, errors = refused("--base-path", str(tmp_path / "mine"), "--port", "0")
        assert (code, errors) == (1, "")
        assert reason(line).startswith(f"another node runs on {tmp_path / 'mine'}")
        code, line, errors = refused("--base-path", str(tmp_path / "other"), "--port", str(node.port))
        assert (code, errors) == (1, "")
        assert reason(line) == f"cannot listen on 127.0.0.1, port {node.port}: Address already in use"


def test_a_base_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, line, errors = refused("--base-path", str(tmp_path / "file" / "base"), "--port", "0")
    assert (code, errors) == (1, "")
    assert reason(line) == f"the base folder {tmp_path / 'file' / 'base'} cannot be used: Not a directory"


@pytest.mark.trio
async def test_a_key_opens_in_each_of_its_three_spellings_and_nothing_else_does(tmp_path: Path) -> None:
    with running(tmp_path, KUZU_API_KEY=f"another,{KEY}") as node:
        for name, prefix in (
            ("x-kuzu-api-key", ""),
            ("authorization", "Bearer "),
            ("authorization", "X-Kuzu-API-Key: "),
        ):
            for key, status, code in ((KEY, 200, None), ("another", 200, None), (KEY[:-1], 401, "invalid_key")):
                async with connected(node) as client:
                    reply = await client.call("GET", "/databases", **{name: prefix + key})
                    assert (reply.status, reply.json.get("code")) == (status, code)
        async with connected(node) as client:
            reply = await client.call("GET", "/databases")
            assert (reply.status, reply.json["code"]) == (401, "missing_key")
            assert (await client.call("GET", "/health")).status == 200


def test_check_finds_nothing_wrong_in_a_plain_environment(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "kuzu_node", "check", "--base-path", str(tmp_path / "new")]
    # What a service starts with: no home, no locale, no terminal.
    environment = {"PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=SECONDS)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Kuzu 0.11.3" in done.stdout


def test_the_demo_answers_its_five_questions() -> None:
    command = [sys.executable, "-m", "kuzu_node.demo"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    # A title is broken where its table is narrow.
    shown = " ".join(done.stdout.split())
    assert [question.title for question in QUESTIONS if question.title not in shown] == []
    assert len(QUESTIONS) == 5
    assert "336,776 rows, " in shown
