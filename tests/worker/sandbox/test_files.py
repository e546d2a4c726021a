"""Landlock against a real engine in a real process."""

from __future__ import annotations

from pathlib import Path

import pytest

from kuzu_node.worker import sandbox
from tests.worker.sandbox.confined import run_confined

pytestmark = pytest.mark.skipif(not sandbox.probe().complete, reason="this kernel cannot confine a worker")


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A folder of databases with another tenant's in it."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "rows.csv").write_text("1,secret\n")
    return tmp_path


def test_engine_works_in_its_own_folder(base: Path) -> None:
    outcomes = run_confined(
        base,
        """
        c = connect()
        attempt("create", lambda: c.execute("CREATE NODE TABLE T(id INT64 PRIMARY KEY, s STRING)") and None)
        attempt("write", lambda: c.execute("UNWIND range(1, 20000) AS x CREATE (:T {id: x, s: 'v'})") and None)
        attempt("checkpoint", lambda: c.execute("CHECKPOINT") and None)
        text = f"COPY (MATCH (t:T) RETURN t.id + 50000, t.s) TO '{own}/t.parquet'"
        attempt("copy to", lambda: c.execute(text) and None)
        attempt("copy from", lambda: c.execute(f"COPY T FROM '{own}/t.parquet'") and None)
        attempt("export", lambda: c.execute(f"EXPORT DATABASE '{own}/out'") and None)
        attempt("count", lambda: str(c.execute("MATCH (t:T) RETURN count(*)").get_next()[0]))
        attempt("move", lambda: os.rename(f"{own}/t.parquet", f"{own}/out/t.parquet"))
        attempt("remove", lambda: os.remove(f"{own}/out/t.parquet"))
        attempt("reopen", lambda: connect("second.kuzu").execute("RETURN 'open'").get_next()[0])
        """,
    )
    assert outcomes.pop("count") == "40000"
    assert outcomes.pop("reopen") == "open"
    assert set(outcomes.values()) == {"done"}


def test_files_of_others_are_refused(base: Path) -> None:
    outcomes = run_confined(
        base,
        """
        for path in ("../other/rows.csv", "/etc/passwd", "/proc/self/environ", "/proc/self/maps", sandbox.__file__):
            attempt("open " + path, lambda: open(path).read())
        attempt("list base", lambda: os.listdir(".."))
        attempt("write beside", lambda: open("../new", "w").close())
        attempt("overwrite", lambda: open("../other/rows.csv", "w").close())
        attempt("truncate", lambda: os.truncate("../other/rows.csv", 0))
        attempt("truncate by opening", lambda: os.close(os.open("../other/rows.csv", os.O_RDONLY | os.O_TRUNC)))
        attempt("remove", lambda: os.remove("../other/rows.csv"))
        attempt("steal", lambda: os.rename("../other/rows.csv", "rows.csv"))
        attempt("hard link", lambda: os.link("../other/rows.csv", "rows.csv"))
        attempt("symbolic link", lambda: os.symlink("../other/rows.csv", "rows.csv"))
        attempt("chmod", lambda: os.chmod("../other/rows.csv", 0o777))
        attempt("temporary", lambda: open("/tmp/left-by-a-worker", "w").close())
        attempt("device", lambda: open("/dev/null").close())
        """,
    )
    assert len(outcomes) == 17
    assert all(outcome.startswith(("PermissionError", "OSError 18")) for outcome in outcomes.values()), outcomes
    assert (base / "other" / "rows.csv").read_text() == "1,secret\n"
    assert not (base / "mine" / "rows.csv").exists()


def test_threads_of_the_engine_are_bound(base: Path) -> None:
    outcomes = run_confined(
        base,
        """
        c = connect()
        c.execute("CREATE NODE TABLE T(id INT64 PRIMARY KEY, s STRING)")
        for source in (f"{own}/../other/rows.csv", f"{own}/../other/*.csv"):
            attempt("copy " + source[-9:], lambda: c.execute(f"COPY T FROM '{source}'") and None)
            attempt("load " + source[-9:], lambda: c.execute(f"LOAD FROM '{source}' RETURN *").get_all())
        def read():
            attempt("later thread", lambda: open("../other/rows.csv").read())
        later = threading.Thread(target=read)
        later.start()
        later.join()
        """,
    )
    assert outcomes["later thread"] == "PermissionError 13"
    assert not any("secret" in outcome or outcome == "done" for outcome in outcomes.values()), outcomes


def test_pools_of_the_imports_stay_out_of_what_no_database_owns(base: Path) -> None:
    outcomes = run_confined(
        base,
        """
        attempt("passwd", lambda: pyarrow.csv.read_csv("/etc/passwd"))
        attempt("environment", lambda: pyarrow.csv.read_csv("/proc/self/environ"))
        attempt("parquet", lambda: pyarrow.parquet.read_metadata("/etc/passwd"))
        attempt("write", lambda: pyarrow.parquet.write_table(pyarrow.table({"a": [1]}), "/tmp/left-by-a-worker"))
        """,
    )
    assert set(outcomes.values()) == {"PermissionError 13"}


def test_first_layer_alone_reads_the_installation_and_nothing_else(base: Path) -> None:
    outcomes = run_confined(
        base,
        """
        attempt("installation", lambda: str(bool(open(kuzu.__file__).read())))
        attempt("own", lambda: open("new", "w").close())
        attempt("write installation", lambda: open(kuzu.__file__, "a").close())
        attempt("passwd", lambda: open("/etc/passwd").read())
        attempt("environment", lambda: open("/proc/self/environ").read())
        attempt("tcp", lambda: socket.create_connection(("127.0.0.1", 9)))
        """,
        second=False,
        filtered=False,
    )
    refused = "PermissionError 13"
    assert outcomes == {
        "installation": "True",
        "own": "done",
        "write installation": refused,
        "passwd": refused,
        "environment": refused,
        "tcp": refused,
    }
