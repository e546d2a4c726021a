"""The shell on a terminal and in a pipe, against a real node."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from kuzu_client import KuzuClient
from tests.client.cli.programs import ENDLESS, client, on_terminal, wait_connections


@pytest.fixture
def state(tmp_path: Path) -> str:
    return str(tmp_path / "state")


def test_statements_run_when_their_semicolon_comes(url: str, graph: str, state: str) -> None:
    with on_terminal(url, "shell", graph, XDG_STATE_HOME=state) as shell:
        shell.until(f"{graph}> ")
        shell.type("MATCH (p:P)\n")
        shell.until(" > ")
        shell.type("RETURN p.name\nORDER BY p.id;\n")
        assert "Ada" in shell.until("2 rows")
        shell.until(f"{graph}> ")
        shell.type("MATCH (p:Nobody) RETURN p;\n")
        shell.until("kuzu-client: binder: ")
        shell.type("CREATE (:P {id: 3});\n")
        shell.until("done, ")
        shell.until(f"{graph}> ")
        shell.type("MATCH (:P)-[k:kno\t]->() RET\t k;\n")
        shell.until("0 rows")
        shell.until(f"{graph}> ")
        shell.type(":sch\t KNOWS\n")
        assert "Big" not in shell.until("since DATE")
        shell.type(":nonsense\n")
        shell.until(":nonsense is no command")
        shell.type(":help\n")
        shell.until(":rollback")
        shell.type(":quit\n")
        assert shell.end() == 0


def test_ctrl_c_stops_the_statement_and_leads_back_to_the_prompt(url: str, graph: str, state: str) -> None:
    with on_terminal(url, "shell", graph, XDG_STATE_HOME=state) as shell:
        shell.until(f"{graph}> ")
        shell.type(f"{ENDLESS};\n")
        wait_connections(url, graph, 1)
        shell.interrupt()
        shell.until("stopped")
        shell.until(f"{graph}> ")
        wait_connections(url, graph, 0)
        shell.type("RETURN 'half a")
        shell.until("half a")
        shell.interrupt()
        shell.until(f"{graph}> ")
        shell.type("RETURN 1 + 1 AS two;\n")
        shell.until("1 row")
        shell.until(f"{graph}> ")
        shell.type("\x04")
        assert shell.end() == 0


def test_the_history_is_kept_for_the_same_person_only(url: str, graph: str, state: str) -> None:
    with on_terminal(url, "shell", graph, XDG_STATE_HOME=state) as shell:
        shell.until(f"{graph}> ")
        shell.type("RETURN 41\n + 1 AS n;\n")
        shell.until("1 row")
        shell.type(" RETURN 'hidden';\n")
        shell.until("1 row")
        shell.type(":quit\n")
        assert shell.end() == 0
    path = Path(state) / "kuzu-client" / "history"
    assert path.read_text().splitlines() == ["RETURN 41  + 1 AS n;", ":quit"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    with on_terminal(url, "shell", graph, XDG_STATE_HOME=state) as shell:
        shell.until(f"{graph}> ")
        shell.type("\x1b[A\x1b[A\n")
        assert "42" in shell.until("1 row")


def test_a_pipe_runs_to_its_first_error(url: str, graph: str) -> None:
    done = client(url, "shell", graph, text="CREATE (:P {id: 5});\nMATCH (p:P) RETURN count(*) AS n")
    assert (done.returncode, done.stdout.split()) == (0, ["n", "─", "3"])
    done = client(url, "shell", graph, text="CREATE (:P {id: 6});\nMATCH (p:Nobody) RETURN p;\nCREATE (:P {id: 7});\n")
    assert done.returncode == 1
    assert done.stderr.startswith("kuzu-client: binder: ")
    with KuzuClient(url, graph_id=graph) as asking:
        assert asking.execute_single("MATCH (p:P) RETURN max(p.id) AS n") == {"n": 6}
    assert client(url, "shell", "nobody", text="RETURN 1;").returncode == 4


def test_a_transaction_of_the_shell_is_all_or_nothing(url: str, graph: str, state: str) -> None:
    with on_terminal(url, "shell", graph, XDG_STATE_HOME=state) as shell:
        shell.until(f"{graph}> ")
        shell.type(":begin\n")
        shell.until(f"{graph}*> ")
        shell.type("CREATE (:P {id: 50});\nCREATE (:P {id: 50});\n")
        shell.until("kuzu-client: constraint: ")
        shell.until(f"{graph}!> ")
        shell.type(":rollback\n")
        shell.until(f"{graph}> ")
        shell.type(":begin\nCREATE (:P {id: 51});\n:commit\n")
        shell.until("committed")
        shell.type(f":begin\n{ENDLESS};\n")
        wait_connections(url, graph, 1)
        shell.interrupt()
        shell.until("of no use any more")
        shell.type(":rollback\nMATCH (p:P) WHERE p.id >= 50 RETURN p.id;\n")
        assert "51" in shell.until("1 row")
