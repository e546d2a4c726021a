"""Loading rows: how much dearer than an embedded COPY, how much memory, and where logged statements stop paying.

`python -m bench.rows_in` prints both; `--sizes 10 100 1000` are megabytes of database file for the second. Everything
runs on embedded databases in child processes: what the node adds is the copy of the body and the locks.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import secrets
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kuzu
import polars as pl
import pyarrow as pa
import pyarrow.csv
from pyarrow import parquet

from kuzu_node.core.messages import RunLoad
from kuzu_node.worker.load import load_rows, statements
from kuzu_node.worker.load.table import describe, plan

ROUNDS = 3
POOL = 512 << 20
NODES = "CREATE NODE TABLE P(id INT64, name STRING, score DOUBLE, grp INT32, PRIMARY KEY(id))"
RELATIONSHIPS = "CREATE REL TABLE K(FROM P TO P, w INT64)"
FORMATS = ("parquet", "arrow", "csv", "ndjson")

Work = Callable[[Path], float]


def people(first: int, count: int) -> pa.Table:
    ids = range(first, first + count)
    return pa.table(
        {
            "id": pa.array(ids, pa.int64()),
            "name": [f"person {index}" for index in ids],
            "score": [index * 0.5 for index in ids],
            "grp": pa.array([index % 1000 for index in ids], pa.int32()),
        }
    )


def knows(count: int, nodes: int) -> pa.Table:
    pairs = [(index * 7919 % nodes, index * 104_729 % nodes, index) for index in range(count)]
    return pa.table(dict(zip(("from", "to", "w"), zip(*pairs, strict=True), strict=True)))


def write(path: Path, table: pa.Table) -> Path:
    if path.suffix == ".parquet":
        parquet.write_table(table, path)
    elif path.suffix == ".arrow":
        with pa.ipc.new_stream(path, table.schema) as stream:
            stream.write_table(table, max_chunksize=1 << 16)
    elif path.suffix == ".csv":
        pyarrow.csv.write_csv(table, path)
    else:
        pl.DataFrame(table).write_ndjson(path)
    return path


def connect(directory: Path) -> kuzu.Connection:
    database = kuzu.Database(
        directory / "graph.kuzu", buffer_pool_size=POOL, max_db_size=1 << 36, auto_checkpoint=False
    )
    connection = kuzu.Connection(database, num_threads=2)
    connection.execute("CALL force_checkpoint_on_close=false")
    return connection


def order(table: str, path: Path) -> RunLoad:
    return RunLoad(table, str(path), path.suffix[1:], False, "name", True, ",", False)


def apart(work: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """What `work` returns in a process of its own, and the peak of that in megabytes."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, arguments), pool.apply(peak_memory)


def peak_memory() -> float:
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024


def timed_load(directory: Path, table: str, path: Path | None, embedded: Path) -> float:
    """Seconds of BEGIN, the load and COMMIT; without a path those of the engine's own COPY of `embedded`."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    connection = connect(directory)
    connection.execute(NODES)
    if table == "K":
        connection.execute(RELATIONSHIPS)
        connection.execute(f"COPY P FROM '{embedded.with_name('nodes.parquet')}'")
    started = time.perf_counter()
    connection.execute("BEGIN TRANSACTION")
    if path is None:
        connection.execute(f"COPY {table} FROM '{embedded}'")
    else:
        load_rows(connection, order(table, path))
    connection.execute("COMMIT")
    return time.perf_counter() - started


def compare_formats(folder: Path, rows: int) -> None:
    """Seconds and peak memory of each format, with the ratio to the engine's own COPY from Parquet."""
    files = {"P": people(0, rows), "K": knows(rows * 3, rows)}
    names = {"P": "nodes", "K": "relationships"}
    for table, content in files.items():
        for suffix in FORMATS:
            write(folder / f"{names[table]}.{suffix}", content)
    for table, name in names.items():
        embedded = folder / f"{name}.parquet"
        seconds: dict[str, list[float]] = {}
        memory: dict[str, float] = {}
        for _ in range(ROUNDS):
            for way in ("embedded", *FORMATS):
                path = None if way == "embedded" else folder / f"{name}.{way}"
                took, peak = apart(timed_load, folder / "db", table, path, embedded)
                seconds.setdefault(way, []).append(took)
                memory[way] = max(peak, memory.get(way, 0))
        base = min(seconds["embedded"])
        for way, took in seconds.items():
            print(
                f"{name:14} {way:9} {min(took):6.2f} s  {base / min(took):5.2f} of the embedded speed  "
                f"peak {memory[way]:6.0f} MB, {memory[way] - memory['embedded']:+.0f} MB"
            )


def grow(directory: Path, megabytes: int) -> int:
    """A database of about that size with incompressible text; the number of its nodes."""
    directory.mkdir()
    connection = connect(directory)
    connection.execute("CREATE NODE TABLE P(id INT64, name STRING, PRIMARY KEY(id))")
    connection.execute(RELATIONSHIPS)
    step = 20_000
    count = 0
    while count * 1040 < megabytes << 20:
        staged_rows = pa.table(
            {"id": range(count, count + step), "name": [secrets.token_hex(500) for _ in range(step)]}
        )
        connection.execute("COPY P FROM staged_rows")
        count += len(staged_rows)
    connection.execute("CHECKPOINT")
    return count


def set_aside(directory: Path) -> float:
    started = time.perf_counter()
    with open(directory / "graph.kuzu", "rb") as source, open(directory / "aside", "wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
        os.fsync(target.fileno())
    seconds = time.perf_counter() - started
    (directory / "aside").unlink()
    return seconds


def ways(directory: Path, nodes: int, counts: list[int]) -> list[tuple[str, int, float, float]]:
    """`(what, rows, seconds logged, seconds by COPY)`, each with its COMMIT, the COPY with a checkpoint too."""
    connection = connect(directory)
    found = []
    fresh = nodes
    for count in counts:
        for table in ("P", "K"):
            if table == "K" and count > 3000:
                continue
            took: dict[bool, list[float]] = {True: [], False: []}
            for logged in [True, False] * ROUNDS:
                staged = people(fresh, count).select(["id", "name"]) if table == "P" else knows(count, nodes)
                fresh += count
                chosen = plan(describe(connection, table), staged.column_names, "name")
                staged = staged.rename_columns([f"c{index}" for index in range(staged.num_columns)])
                started = time.perf_counter()
                connection.execute("BEGIN TRANSACTION")
                if logged:
                    statements.log_rows(connection, chosen, staged)
                else:
                    statements.copy_rows(connection, chosen, staged, False)
                connection.execute("COMMIT")
                if not logged:
                    connection.execute("CHECKPOINT")
                took[logged].append(time.perf_counter() - started)
            found.append((table, count, statistics.median(took[True]), statistics.median(took[False])))
    return found


def find_crossing(folder: Path, sizes: list[int]) -> None:
    for megabytes in sizes:
        directory = folder / f"file{megabytes}"
        nodes, _ = apart(grow, directory, megabytes)
        real = (directory / "graph.kuzu").stat().st_size / (1 << 20)
        aside = min(set_aside(directory) for _ in range(ROUNDS))
        print(f"file of {real:.0f} MB: setting it aside {aside * 1000:.0f} ms, {real / aside:.0f} MB/s")
        found, _ = apart(ways, directory, nodes, [10, 100, 300, 1000, 3000, 10_000, 30_000, 100_000])
        for table, count, logged, copied in found:
            print(
                f"  {table} {count:7} rows: logged {logged * 1000:8.1f} ms ({logged / count * 1e6:6.1f} us a row), "
                f"COPY {copied * 1000:7.1f} ms, with setting aside {(copied + aside) * 1000:7.1f} ms"
                f"  {'logged' if logged < copied else 'logged without reflink' if logged < copied + aside else 'COPY'}"
            )
        shutil.rmtree(directory)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--sizes", type=int, nargs="*", default=[10, 100, 1000])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rows-in-") as name:
        folder = Path(name)
        if options.rows:
            compare_formats(folder, options.rows)
        find_crossing(folder, options.sizes)


if __name__ == "__main__":
    main()
