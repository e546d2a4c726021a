"""Ctrl-C and readers that leave: the statement ends on the node as well."""

from __future__ import annotations

import signal
import subprocess

import pytest

from tests.client.cli.programs import ENDLESS, SECONDS, begun, on_terminal, wait_connections

PIPES = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
# More than pipes and sockets hold.
MANY = "UNWIND range(1, 2000000) AS i RETURN i, 'some text to fill the pipe' AS t"


@pytest.mark.parametrize("form", ["table", "ndjson", "csv"])
def test_sigint_ends_the_statement_on_the_node(url: str, graph: str, form: str) -> None:
    with begun(url, "query", graph, ENDLESS, "-f", form, **PIPES) as program:
        wait_connections(url, graph, 1)
        program.send_signal(signal.SIGINT)
        said, complained = program.communicate(timeout=SECONDS)
    assert program.returncode == 130
    assert (said, complained) == (b"", b"kuzu-client: interrupted\n")
    wait_connections(url, graph, 0)


@pytest.mark.parametrize("options", [["--stream"], ["-f", "ndjson"], ["-f", "json"], ["-f", "csv"], ["-f", "arrow"]])
def test_a_reader_that_leaves_ends_it_quietly(url: str, graph: str, options: list[str]) -> None:
    with begun(url, "query", graph, MANY, *options, **PIPES) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        program.stdout.readline()
        program.stdout.close()
        assert program.stderr.read() == b""
        assert program.wait(SECONDS) == 141
    wait_connections(url, graph, 0)


def test_ctrl_c_on_a_terminal_interrupts(url: str, graph: str) -> None:
    with on_terminal(url, "query", graph, ENDLESS) as program:
        wait_connections(url, graph, 1)
        program.interrupt()
        program.until("kuzu-client: interrupted")
        assert program.end() == 130
    wait_connections(url, graph, 0)
