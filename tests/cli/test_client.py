"""`kuzu-node cli` becomes the client: its output, its exit code, its signals."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tests.client.cli.programs import REPOSITORY, SECONDS, environment
from tests.client.scripted import refusing, scripted, stalls


def started(url: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "kuzu_node", "cli", *arguments],
        cwd=REPOSITORY,
        env=environment(url),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.parametrize("arguments", [["--help"], ["query", "--help"], ["--", "--help"]])
def test_its_help_is_that_of_the_client(arguments: list[str]) -> None:
    with started("http://nowhere.invalid", *arguments) as client:
        assert b"kuzu-client" in b"".join(client.communicate(timeout=SECONDS))


def test_exit_codes_and_signals_are_those_of_the_client() -> None:
    with refusing() as nowhere, started(nowhere, "health") as client:
        client.communicate(timeout=SECONDS)
    assert client.returncode == 3
    with scripted(otherwise=stalls()) as server, started(server.url, "health") as client:
        assert server.stalled.wait(SECONDS)
        client.send_signal(signal.SIGINT)
        _, complained = client.communicate(timeout=SECONDS)
    assert (client.returncode, complained) == (130, b"kuzu-client: interrupted\n")
