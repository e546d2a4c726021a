"""The commands as processes, against a real node: what they print, where, and the exit code."""

from __future__ import annotations

import io
import json
import secrets
import subprocess
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kuzu_client import KuzuClient
from tests.client.cli.programs import ENDLESS, SECONDS, begun, client, on_terminal
from tests.client.scripted import answers, refusing, scripted

PEOPLE = "MATCH (p:P) RETURN p.id AS id, p.name AS name ORDER BY id"


def test_health_and_info_are_for_people_and_for_programs(url: str) -> None:
    done = client(url, "health")
    assert done.returncode == 0
    assert done.stdout.split()[:2] == ["status", "healthy"]
    assert json.loads(client(url, "--json", "health").stdout)["status"] == "healthy"
    told = client(url, "info")
    assert "configuration.query_limits.timeout_seconds" in told.stdout
    assert json.loads(client(url, "info", "--json").stdout)["node_type"] == "writer"


def test_a_database_is_created_listed_and_described(url: str, tmp_path: Path) -> None:
    name = f"g{secrets.token_hex(4)}"
    ddl = "CREATE NODE TABLE A(id INT64, PRIMARY KEY(id)); CREATE REL TABLE B(FROM A TO A, since DATE)"
    (tmp_path / "ddl.cypher").write_text(ddl)
    done = client(url, "create", name, "--ddl", str(tmp_path / "ddl.cypher"))
    assert (done.returncode, done.stdout) == (0, f"{name} is there\n")
    assert client(url, "create", name).returncode == 1
    assert client(url, "create", name, "--if-not-exists").returncode == 0
    assert any(line.startswith(f"{name} ") for line in client(url, "databases").stdout.splitlines())
    shown = client(url, "schema", name).stdout
    assert "id INT64 key" in shown
    assert "A → A" in shown
    tables = json.loads(client(url, "schema", name, "--json").stdout)["tables"]
    assert {table["name"] for table in tables} == {"A", "B"}


def test_a_query_prints_a_table(url: str, graph: str) -> None:
    done = client(url, "query", graph, PEOPLE)
    assert done.stdout.splitlines() == ["id   name", "──────────", " 1   Ada", " 2   Grace"]
    assert done.stderr == ""


def test_formats_for_programs(url: str, graph: str) -> None:
    rows = [{"id": 1, "name": "Ada"}, {"id": 2, "name": "Grace"}]
    document = json.loads(client(url, "query", graph, PEOPLE, "--json").stdout)
    assert (document["columns"], document["data"], document["row_count"]) == (["id", "name"], rows, 2)
    assert document["database"] == graph
    lines = client(url, "query", graph, PEOPLE, "--format", "ndjson").stdout.splitlines()
    assert [json.loads(line) for line in lines] == rows
    assert client(url, "query", graph, PEOPLE, "-f", "csv").stdout.split() == ['"id","name"', '1,"Ada"', '2,"Grace"']


def test_arrow_goes_to_a_pipe_and_not_to_a_terminal(url: str, graph: str) -> None:
    with begun(url, "query", graph, PEOPLE, "-f", "arrow", stdout=subprocess.PIPE) as program:
        sent, _ = program.communicate(timeout=SECONDS)
    assert pa.ipc.open_stream(io.BytesIO(sent)).read_all().to_pydict()["name"] == ["Ada", "Grace"]
    with on_terminal(url, "query", graph, PEOPLE, "-f", "arrow") as shown:
        shown.until("binary")
        assert shown.end() == 2


def test_parameters_are_json_or_texts_and_the_text_may_come_from_a_pipe(url: str, graph: str) -> None:
    given = ["-p", "a=7", "--param", "b=x y", "-p", 'c="7"', "-p", "d=[1,2]"]
    done = client(url, "query", graph, "-", *given, "--json", text="RETURN $a AS a, $b AS b, $c AS c, $d AS d")
    assert json.loads(done.stdout)["data"] == [{"a": 7, "b": "x y", "c": "7", "d": [1, 2]}]
    assert client(url, "query", graph, "RETURN 1", "-p", "a").returncode == 2


def test_long_tables_are_bounded_and_say_so(url: str, graph: str) -> None:
    numbers = "UNWIND range(1, 5000) AS i RETURN i"
    done = client(url, "query", graph, numbers)
    assert len(done.stdout.splitlines()) == 2 + 1000
    assert "the first 1000 rows" in done.stderr
    assert len(client(url, "query", graph, numbers, "--limit", "7").stdout.splitlines()) == 2 + 7
    everything = client(url, "query", graph, numbers, "--stream").stdout.split()
    assert [text for text in everything if text.isdigit()] == [str(number) for number in range(1, 5001)]
    assert json.loads(client(url, "query", graph, numbers, "--json").stdout)["row_count"] == 5000


def test_a_write_whose_rows_are_not_all_read_is_there(url: str, graph: str) -> None:
    text = "UNWIND range(1, 3000) AS i CREATE (b:Big {id: i}) RETURN b.id"
    assert client(url, "query", graph, text, "--limit", "1").returncode == 0
    with KuzuClient(url, graph_id=graph) as asking:
        assert asking.execute_single("MATCH (b:Big) RETURN count(*) AS n") == {"n": 3000}


def test_errors_are_one_line_and_a_code(url: str, graph: str) -> None:
    done = client(url, "query", graph, "MATCH (p:P)\n  RETRN p")
    assert (done.returncode, done.stdout) == (1, "")
    first, shown, mark = done.stderr.splitlines()
    assert first.startswith("kuzu-client: syntax: Parser exception: ")
    assert (shown, mark) == ("    RETRN p", "    ^")
    done = client(url, "query", graph, "MATCH (p:Nobody) RETURN p")
    assert done.returncode == 1
    assert done.stderr == "kuzu-client: binder: Binder exception: Table Nobody does not exist.\n"
    assert client(url, "query", graph, "CREATE (:P {id: 9})", "--read-only").returncode == 6
    assert client(url, "query", "nobody", "RETURN 1").returncode == 4
    assert client(url, "query", graph, "RETURN 1", "--format", "xml").returncode == 2
    assert client(url, "task", "t1").returncode == 4


def test_an_error_in_the_midst_of_rows_has_its_exit_code(url: str, graph: str) -> None:
    for form in ("table", "json", "ndjson"):
        done = client(url, "query", graph, "UNWIND [1, 2, 0] AS i RETURN 1 / i", "-f", form)
        assert done.returncode == 1, form
        assert "runtime" in done.stderr


def test_times_that_are_up_have_a_code_of_their_own(url: str, graph: str) -> None:
    done = client(url, "query", graph, ENDLESS, "--timeout", "0.5")
    assert done.returncode == 5
    assert done.stderr.startswith("kuzu-client: query_timeout: ")


def test_a_node_that_is_not_there_is_unavailable() -> None:
    with refusing() as nowhere:
        done = client(nowhere, "health")
    assert done.returncode == 3
    assert done.stderr.startswith("kuzu-client: could not connect")


def test_settings_that_make_no_sense_are_a_matter_of_usage(url: str) -> None:
    done = client(url, "health", KUZU_CLIENT_MAX_RETRIES="many")
    assert done.returncode == 2
    assert "KUZU_CLIENT_MAX_RETRIES" in done.stderr
    assert client(url, "health", "--timeout", "0").returncode == 2
    assert client(url, "healthy").returncode == 2
    assert "''" in client(url, "query", "", "RETURN 1").stderr
    with begun(url, "query", "g", "-", stdin=subprocess.PIPE, stderr=subprocess.PIPE) as program:
        _, complained = program.communicate(b"RETURN '\xff'", SECONDS)
    assert (program.returncode, b"Traceback" in complained) == (2, False)


@pytest.mark.parametrize(
    "wrong", ["nonsense", "ftp://node", "http://node:port", "http://[::1", "http://me:hunter@node"]
)
def test_an_address_that_cannot_be_is_a_matter_of_usage(wrong: str) -> None:
    for done in (client("", "--url", wrong, "health"), client(wrong, "health")):
        assert done.returncode == 2
        assert "URL" in done.stderr
        assert "Traceback" not in done.stderr
        assert "hunter" not in done.stderr


def test_a_key_that_cannot_be_sent_is_a_matter_of_usage_and_not_shown() -> None:
    with scripted(otherwise=answers({"status": "healthy"})) as server:
        for key in ("schl\u00fcssel", "secret\nX-Other: 1"):
            for done in (
                client(server.url, "--api-key", key, "health"),
                client(server.url, "health", KUZU_API_KEY=key),
            ):
                assert (done.returncode, done.stdout) == (2, "")
                assert "API key" in done.stderr
                assert key not in done.stderr
                assert "Traceback" not in done.stderr
        assert not server.received


@pytest.mark.parametrize("place", ["option", "environment"])
def test_the_key_is_sent_and_never_shown(place: str) -> None:
    key = "very-secret-key"
    with scripted(otherwise=answers({"status": "healthy"}, status=401)) as server:
        given = ["--api-key", key] if place == "option" else []
        done = client(server.url, *given, "health", **({} if given else {"KUZU_API_KEY": key}))
        assert done.returncode == 6
        assert key not in done.stdout + done.stderr
        assert server.received[0].headers["x-kuzu-api-key"] == key


def test_files_are_loaded_by_their_names(url: str, graph: str, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("id,name\n10,Edsger\n11,Tony\n")
    (tmp_path / "more.ndjson").write_text('{"id": 12, "name": "Barbara"}\n')
    pq.write_table(pa.table({"id": [13], "name": ["Donald"]}), tmp_path / "P.parquet")
    done = client(url, "ingest", graph, str(tmp_path / "p.csv"))
    assert (done.returncode, done.stdout.startswith("2 rows into P, ")) == (0, True)
    loaded = json.loads(client(url, "ingest", graph, "P", str(tmp_path / "more.ndjson"), "--json").stdout)
    assert loaded["rows_inserted"] == 1
    assert client(url, "ingest", graph, str(tmp_path / "P.parquet")).stdout.startswith("1 row into P")
    with KuzuClient(url, graph_id=graph) as asking:
        assert asking.execute_single("MATCH (p:P) RETURN count(*) AS n") == {"n": 6}


def test_rows_that_are_skipped_are_told(url: str, graph: str, tmp_path: Path) -> None:
    file = tmp_path / "P.csv"
    file.write_text("id,name\n20,Alan\nx,Nobody\n")
    refused = client(url, "ingest", graph, str(file))
    assert refused.returncode == 1
    assert refused.stdout == ""
    done = client(url, "ingest", graph, str(file), "--ignore-errors")
    assert done.returncode == 0
    assert done.stdout.startswith("1 row into P, ")
    assert "1 skipped" in done.stdout
    assert "is not an integer" in done.stdout


def test_a_file_that_cannot_be_loaded_is_a_matter_of_usage(url: str, graph: str, tmp_path: Path) -> None:
    (tmp_path / "strangers.csv").write_text("id\n1\n")
    (tmp_path / "P.xyz").write_text("")
    for file, words in (("strangers.csv", "P, KNOWS, Big"), ("P.xyz", "--format"), ("none.csv", "no such file")):
        done = client(url, "ingest", graph, str(tmp_path / file))
        assert (done.returncode, done.stdout) == (2, "")
        assert words in done.stderr


def test_help_and_version_need_no_node() -> None:
    assert "query" in client("http://nowhere.invalid", "--help").stdout
    assert client("http://nowhere.invalid", "--version").stdout.startswith("kuzu-client ")
