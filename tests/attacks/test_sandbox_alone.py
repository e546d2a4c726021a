"""What leaves a database, with no screen in front of the engine: the sandbox alone stands between tenants.

Each test runs the engine in a child confined as a worker is, and gives it the statement as a tenant would.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import kuzu
import pytest

from kuzu_node.worker import sandbox
from tests.worker.sandbox.confined import run_confined

pytestmark = pytest.mark.skipif(not sandbox.probe().complete, reason="this kernel cannot confine a worker")

ATTACK = """
c = connect()
c.execute("CREATE NODE TABLE Mine(id INT64 PRIMARY KEY, s STRING)")
def run(text):
    result = c.execute(text)
    return repr(result.get_all()) or "done"
statements = {statements!r}
for statement in statements:
    attempt(statement, lambda: run(statement))
attempt("still alive", lambda: str(c.execute("RETURN 'alive'").get_next()[0]))
"""

EVIL = """
#include <stdio.h>
__attribute__((constructor)) void run(void) { fclose(fopen("ran", "w")); }
"""


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A folder of databases in which a neighbour keeps a secret, as a database and as files."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "rows.csv").write_text("1,secret\n")
    database = kuzu.Database(str(other / "graph.kuzu"), buffer_pool_size=64 << 20, max_db_size=1 << 30)
    connection = kuzu.Connection(database)
    connection.execute("CREATE NODE TABLE Other(id INT64 PRIMARY KEY, s STRING)")
    connection.execute("CREATE (:Other {id: 1, s: 'secret'})")
    connection.execute(f"COPY (MATCH (o:Other) RETURN o.id, o.s) TO '{other}/rows.parquet'")
    connection.execute(f"EXPORT DATABASE '{other}/exported'")
    connection.close()
    database.close()
    return tmp_path


def attack(base: Path, *statements: str) -> dict[str, str]:
    """What came of each statement; the child must have lived through all of them."""
    outcomes = run_confined(base, ATTACK.format(statements=statements))
    assert outcomes.pop("still alive") == "alive"
    assert list(outcomes) == list(statements)
    return outcomes


def assert_refused(outcomes: dict[str, str]) -> None:
    for statement, outcome in outcomes.items():
        assert outcome.startswith("RuntimeError"), (statement, outcome)
        assert "secret" not in outcome.replace(statement, ""), (statement, outcome)


def test_files_of_a_neighbour_are_not_read(base: Path) -> None:
    other = base / "other"
    outcomes = attack(
        base,
        f"LOAD FROM '{other}/rows.csv' RETURN *",
        f"LOAD FROM '{other}/rows.parquet' RETURN *",
        f"LOAD FROM '{other}/*.csv' RETURN *",
        f"LOAD FROM '{base}/*/rows.csv' RETURN *",
        "LOAD FROM '../other/rows.csv' RETURN *",
        f"RETURN 1 AS a, '' AS b UNION ALL LOAD FROM '{other}/rows.csv' RETURN CAST(column0 AS INT64), column1",
        f"COPY Mine FROM '{other}/rows.csv'",
        f"COPY Mine FROM (LOAD FROM '{other}/rows.csv' RETURN *)",
        f"CREATE NODE TABLE Stolen AS LOAD FROM '{other}/rows.parquet' RETURN *",
        f"IMPORT DATABASE '{other}/exported'",
        f"EXPLAIN LOAD FROM '{other}/rows.csv' RETURN *",
    )
    assert_refused(outcomes)


def test_database_of_a_neighbour_is_not_attached(base: Path) -> None:
    assert_refused(attack(base, f"ATTACH '{base}/other/graph.kuzu' AS o (dbtype kuzu)"))


def test_files_of_the_machine_are_not_read(base: Path) -> None:
    outcomes = attack(
        base,
        "LOAD FROM '/etc/passwd' (file_format='csv') RETURN *",
        "LOAD FROM '/proc/self/environ' (file_format='csv') RETURN *",
        "LOAD FROM '/proc/1/environ' (file_format='csv') RETURN *",
        "LOAD FROM '~/.ssh/known_hosts' (file_format='csv') RETURN *",
    )
    assert_refused(outcomes)


def test_nothing_is_written_outside_the_own_folder(base: Path) -> None:
    before = sorted(path.name for path in (base / "other").iterdir())
    outcomes = attack(
        base,
        f"COPY (RETURN 'mine') TO '{base}/other/new.csv'",
        f"COPY (RETURN 'mine') TO '{base}/other/rows.csv'",
        f"COPY (RETURN 'mine') TO '{base}/new.parquet'",
        "COPY (RETURN 'mine') TO '/tmp/left-by-a-tenant.json'",
        f"EXPORT DATABASE '{base}/other/export'",
        f"EXPORT DATABASE '{base}/third'",
    )
    assert_refused(outcomes)
    assert sorted(path.name for path in (base / "other").iterdir()) == before
    assert (base / "other" / "rows.csv").read_text() == "1,secret\n"
    assert sorted(path.name for path in base.iterdir()) == ["mine", "other"]


@pytest.fixture
def calls_home() -> Iterator[tuple[int, list[str]]]:
    """A port that writes down who connects."""
    seen: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen() -> None:
            while True:
                connection, address = server.accept()
                connection.close()
                if seen and seen[-1] == "end":
                    return
                seen.append(str(address))

        listener = threading.Thread(target=listen)
        listener.start()
        port: int = server.getsockname()[1]
        yield port, seen
        seen.append("end")
        socket.create_connection(("127.0.0.1", port)).close()
        listener.join()


def test_no_host_is_called(base: Path, calls_home: tuple[int, list[str]]) -> None:
    port, seen = calls_home
    outcomes = attack(
        base,
        f"INSTALL httpfs FROM 'http://127.0.0.1:{port}/'",
        f"FORCE INSTALL httpfs FROM 'http://127.0.0.1:{port}/'",
        "INSTALL httpfs",
        "UPDATE httpfs",
        f"LOAD FROM 'http://127.0.0.1:{port}/rows.csv' RETURN *",
        f"LOAD FROM 's3://127.0.0.1:{port}/rows.csv' RETURN *",
    )
    assert_refused(outcomes)
    assert seen == []


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler to make a library with")
def test_library_that_a_tenant_brought_is_not_run(base: Path) -> None:
    own = base / "mine"
    own.mkdir()
    source = base / "evil.c"
    source.write_text(EVIL)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", own / "evil.kuzu_extension", source], check=True)
    outcomes = attack(
        base, f"LOAD EXTENSION '{own}/evil.kuzu_extension'", f"LOAD '{own}/evil.kuzu_extension'", "LOAD EXTENSION evil"
    )
    assert_refused(outcomes)
    assert not (own / "ran").exists()


def test_library_would_run_without_the_sandbox(base: Path) -> None:
    """Guards the test above: the library that it offers is one that the engine does load."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler to make a library with")
    own = base / "mine"
    own.mkdir()
    source = base / "evil.c"
    source.write_text(EVIL)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", own / "evil.kuzu_extension", source], check=True)
    body = f"attempt('load', lambda: connect().execute(\"LOAD EXTENSION '{own}/evil.kuzu_extension'\") and None)"
    run_confined(base, body, first=False, second=False, filtered=False)
    assert (own / "ran").exists()
