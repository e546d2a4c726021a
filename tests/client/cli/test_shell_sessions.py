"""The shell on a node that has sessions: transactions, and what becomes of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client.cli.programs import TerminalProgram, client, on_terminal
from tests.client.cli.session_node import SessionNode, session_node


@pytest.fixture
def node() -> Iterator[tuple[str, SessionNode]]:
    with session_node() as (server, node):
        yield server.url, node


@pytest.fixture
def shell(node: tuple[str, SessionNode], tmp_path: Path) -> Iterator[TerminalProgram]:
    url, _ = node
    with on_terminal(url, "shell", "g", XDG_STATE_HOME=str(tmp_path)) as shell:
        shell.until("g> ")
        yield shell


def test_a_transaction_is_begun_and_committed(node: tuple[str, SessionNode], shell: TerminalProgram) -> None:
    shell.type(":begin\n")
    shell.until("g*> ")
    shell.type("ONE;\n")
    shell.until("1 row")
    shell.type(":begin\n")
    shell.until("a transaction is open already")
    shell.type(":commit\n")
    shell.until("committed")
    shell.until("g> ")
    shell.type(":commit\n")
    shell.until("no transaction is open")
    shell.type(":begin read-only\n")
    shell.until("g*> ")
    shell.type(":rollback\n")
    shell.until("rolled back")
    shell.type(":quit\n")
    assert shell.end() == 0
    assert node[1].acts == ["begin", "ONE", "commit", "begin", "rollback"]
    assert node[1].heard[3]["read_only"] is True
    assert node[1].sockets == 1


def test_an_error_ends_the_transaction_until_it_is_rolled_back(
    node: tuple[str, SessionNode], shell: TerminalProgram
) -> None:
    shell.type(":begin\nFAIL;\n")
    shell.until("kuzu-client: binder: said binder")
    shell.until("g!> ")
    shell.type("TWO;\n")
    shell.until("because of the error before: :rollback")
    shell.type(":commit\n")
    assert "committed" not in shell.until("kuzu-client: binder: said binder")
    shell.until("g> ")
    shell.type("THREE;\n")
    shell.until("1 row")
    # The commit is not sent, since there is nothing that it could commit.
    assert node[1].acts == ["begin", "FAIL", "rollback", "THREE"]


def test_ctrl_c_cancels_the_statement_and_keeps_the_session(
    node: tuple[str, SessionNode], shell: TerminalProgram
) -> None:
    shell.type("STALL;\n")
    assert node[1].stalled.wait(20)
    shell.interrupt()
    shell.until("stopped")
    shell.until("g> ")
    shell.type("AFTER;\n")
    shell.until("1 row")
    assert node[1].acts == ["STALL", "cancel", "AFTER"]
    assert node[1].sockets == 1


def test_ctrl_c_within_a_transaction_leaves_it_to_be_rolled_back(
    node: tuple[str, SessionNode], shell: TerminalProgram
) -> None:
    shell.type(":begin\nSTALL;\n")
    assert node[1].stalled.wait(20)
    shell.interrupt()
    shell.until("the transaction is of no use any more: :rollback")
    shell.until("g!> ")
    shell.type(":rollback\n")
    shell.until("rolled back")
    shell.until("g> ")
    shell.type(":quit\n")
    assert shell.end() == 0
    assert node[1].acts == ["begin", "STALL", "cancel", "rollback"]


def test_a_lost_session_is_told_and_opened_anew(node: tuple[str, SessionNode], shell: TerminalProgram) -> None:
    shell.type("LOSE;\n")
    shell.until("the connection of the session broke")
    shell.until("whether it took effect is not known")
    shell.type("AFTER;\n")
    shell.until("projected graphs are gone")
    shell.until("1 row")
    shell.type(":begin\nLOSE;\n")
    shell.until("the connection of the session broke")
    shell.until("g!> ")
    shell.type(":rollback\n")
    shell.until("g> ")
    shell.type("AGAIN;\n")
    shell.until("1 row")
    assert node[1].acts == ["LOSE", "AFTER", "begin", "LOSE", "AGAIN"]
    assert node[1].sockets == 3


def test_leaving_rolls_an_open_transaction_back(node: tuple[str, SessionNode], shell: TerminalProgram) -> None:
    shell.type(":begin\n")
    shell.until("g*> ")
    shell.type("ONE;\n")
    shell.until("g*> ")
    shell.type("\x04")
    shell.until("the open transaction is rolled back")
    assert shell.end() == 0
    assert node[1].ended.wait(20)
    assert node[1].acts == ["begin", "ONE", "rollback"]


def test_a_pipe_may_hold_a_transaction(node: tuple[str, SessionNode]) -> None:
    url, heard = node
    done = client(url, "shell", "g", text=":begin\nONE;\nTWO;\n:commit\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert heard.acts == ["begin", "ONE", "TWO", "commit"]
    done = client(url, "shell", "g", text=":begin\nONE;\n")
    assert (done.returncode, done.stderr) == (1, "the open transaction is rolled back\n")
    assert client(url, "shell", "g", text=":begin\nFAIL;\n:commit\n").returncode == 1
    assert heard.acts[-3:] == ["begin", "FAIL", "rollback"]


def test_without_sessions_each_statement_commits_by_itself(tmp_path: Path) -> None:
    with (
        session_node(features=["streaming"]) as (server, node),
        on_terminal(server.url, "shell", "g", XDG_STATE_HOME=str(tmp_path)) as shell,
    ):
        shell.until("each statement commits by itself: this node has no sessions")
        for command in (":begin", ":commit", ":rollback"):
            shell.type(f"{command}\n")
            shell.until("there are no transactions here")
        shell.type("ONE;\n")
        shell.until("1 row")
        shell.type("STALL;\n")
        assert node.stalled.wait(20)
        shell.interrupt()
        shell.until("stopped")
        shell.until("g> ")
        shell.type(":quit\n")
        assert shell.end() == 0
    assert node.sockets == 0
