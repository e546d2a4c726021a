"""Each message is the engine's own: a new release of it that says things differently fails here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import kuzu
import pytest

from kuzu_node.worker.failures import INTERRUPTED, NO_TRANSACTION, Failure, classify, is_of_files

SCHEMA = (
    "CREATE NODE TABLE P(id INT64, n INT8, PRIMARY KEY(id))",
    "CREATE REL TABLE K(FROM P TO P)",
    "CREATE REL TABLE One(FROM P TO P, ONE_ONE)",
    "CREATE (a:P {id: 1})-[:K]->(b:P {id: 2}), (a)-[:One]->(b)",
)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[kuzu.Database]:
    path = tmp_path_factory.mktemp("failures") / "graph.kuzu"
    database = kuzu.Database(str(path), buffer_pool_size=32 << 20, max_db_size=1 << 30, auto_checkpoint=False)
    connection = kuzu.Connection(database)
    for text in SCHEMA:
        connection.execute(text)
    connection.close()
    yield database
    database.close()


@pytest.fixture
def connection(database: kuzu.Database) -> Iterator[kuzu.Connection]:
    connection = kuzu.Connection(database)
    yield connection
    connection.close()


def failure(connection: kuzu.Connection, text: str, parameters: dict[str, object] | None = None) -> Failure:
    with pytest.raises(RuntimeError) as caught:
        connection.execute(text, parameters)
    return classify(str(caught.value))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("RETURN 1 +", "syntax"),
        ("MATCH (p:P RETURN p", "syntax"),
        ("'", "syntax"),
        ("MATCH (p:Nobody) RETURN p", "binder"),
        ("MATCH (p:P) RETURN p.nothing", "binder"),
        ("RETURN nobody(1)", "catalog"),
        ("RETURN 1 / 0", "runtime"),
        ("RETURN cast('x' AS INT64)", "runtime"),
        ("RETURN cast(300 AS INT8)", "runtime"),
        ("MATCH (p:P {id: 1}) SET p.n = 1000", "runtime"),
        ("CREATE (:P {id: 1})", "constraint"),
        ("CREATE (:P {n: 1})", "binder"),
        ("CREATE (:P {id: NULL})", "constraint"),
        ("MATCH (p:P {id: 1}) DELETE p", "constraint"),
        ("MATCH (a:P {id: 1}), (b:P {id: 2}) CREATE (a)-[:One]->(b)", "constraint"),
        ("COPY P FROM (UNWIND [1] AS i RETURN i, cast(1 AS INT8))", "constraint"),
        ("COPY K FROM (UNWIND [77] AS a RETURN a, a + 1 AS b)", "constraint"),
        ("COMMIT", NO_TRANSACTION),
        ("ROLLBACK", NO_TRANSACTION),
    ],
)
def test_statements_fail_by_their_kind(connection: kuzu.Connection, text: str, code: str) -> None:
    assert failure(connection, text).code == code


@pytest.mark.parametrize(
    ("text", "parameters"), [("RETURN $a", {"b": 1}), ("RETURN 1", {"b": 1}), ("RETURN $a + 1", {"a": "x"})]
)
def test_parameters_fail_as_such(connection: kuzu.Connection, text: str, parameters: dict[str, object]) -> None:
    assert failure(connection, text, parameters).code in {"parameter", "binder", "runtime"}


def test_a_second_writer_is_a_conflict(database: kuzu.Database, connection: kuzu.Connection) -> None:
    other = kuzu.Connection(database)
    other.execute("BEGIN TRANSACTION")
    other.execute("CREATE (:P {id: 100})")
    found = failure(connection, "CREATE (:P {id: 101})")
    other.execute("ROLLBACK")
    other.close()
    assert found.code == "conflict"


def test_writing_in_a_transaction_that_only_reads(connection: kuzu.Connection) -> None:
    connection.execute("BEGIN TRANSACTION READ ONLY")
    assert failure(connection, "CREATE (:P {id: 102})").code == "read_only"


def test_writing_to_a_database_that_only_reads(tmp_path: Path) -> None:
    path = str(tmp_path / "graph.kuzu")
    kuzu.Database(path, max_db_size=1 << 30, buffer_pool_size=32 << 20).close()
    database = kuzu.Database(path, max_db_size=1 << 30, buffer_pool_size=32 << 20, read_only=True)
    connection = kuzu.Connection(database)
    assert failure(connection, "CREATE NODE TABLE Q(id INT64, PRIMARY KEY(id))").code == "read_only"
    connection.close()
    database.close()


def test_a_full_pool(connection: kuzu.Connection) -> None:
    assert failure(connection, "UNWIND range(1, 1000000) AS i RETURN i, count(*)").code == "memory_exceeded"


def test_a_timeout_is_an_interrupt(connection: kuzu.Connection) -> None:
    connection.set_query_timeout(50)
    found = failure(connection, "UNWIND range(1, 10000) AS a UNWIND range(1, 100000) AS b RETURN sum(a * b % 7)")
    connection.set_query_timeout(0)
    assert found == Failure(INTERRUPTED, None, None)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("std::bad_alloc", "memory_exceeded"),
        ("MemoryError", "memory_exceeded"),
        ("IO exception: Cannot write to file. No space left on device", "disk_full"),
        ("something that nobody has seen before", "runtime"),
    ],
)
def test_what_a_test_cannot_bring_about(message: str, code: str) -> None:
    assert classify(message).code == code


def test_places_count_from_one(connection: kuzu.Connection) -> None:
    found = failure(connection, "RETURN 1;\nRETURN )")
    assert (found.code, found.line, found.column) == ("syntax", 2, 8)


def test_words_of_the_caller_do_not_decide(connection: kuzu.Connection) -> None:
    assert failure(connection, "MATCH (p:`No space left on device`) RETURN p").code == "binder"
    assert failure(connection, "RETURN cast('read-only transaction' AS INT64)").code == "runtime"
    assert failure(connection, "RETURN cast('has connected edges' AS INT64)").code == "runtime"
    assert failure(connection, "RETURN cast('out of memory' AS INT64)").code == "runtime"


@pytest.mark.parametrize(
    ("message", "own"),
    [
        ("IO exception: Cannot write to file. path: /x/graph.kuzu.wal fileDescriptor: 9", True),
        ("IO exception: Failed to sync file /x/graph.kuzu.wal.", True),
        ("IO exception: Cannot open file /x/graph.kuzu.wal: Too many open files", True),
        ("IO exception: Cannot open file /etc/shadow: Permission denied", False),
        ("IO exception: No file found that matches the pattern: /nowhere/*.", False),
        ("Runtime exception: Divide by zero.", False),
    ],
)
def test_a_file_that_a_statement_names_is_not_the_databases_own(message: str, own: bool) -> None:
    assert is_of_files(message) is own
