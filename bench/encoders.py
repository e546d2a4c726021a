"""Rows a second of every encoder, against `get_as_arrow` of the embedded engine in the same run.

python bench/encoders.py [ROWS]
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import kuzu

from kuzu_node.worker.encode import FORMS, Envelope, encode

FLAT = "MATCH (p:P) RETURN p.id, p.name, p.score, p.grp"
DATED = "MATCH (p:P) RETURN p.id, date('2024-01-01') AS day, timestamp('2024-01-01 00:00:00.5') AS at"
NODES = "MATCH (p:P) RETURN p LIMIT 100000"
ONE = "MATCH (p:P {id: 7}) RETURN p"


def resident() -> float:
    """Megabytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


def fill(connection: kuzu.Connection, rows: int) -> None:
    connection.execute("CREATE NODE TABLE P(id INT64 PRIMARY KEY, name STRING, score DOUBLE, grp INT64)")
    connection.execute(
        f"COPY P FROM (UNWIND range(1, {rows}) AS i RETURN i, concat('name ', CAST(i AS STRING)), i * 0.37, i % 97)"
    )


def embedded(result: kuzu.QueryResult) -> float:
    """Rows a second, the best of three."""
    best = 0.0
    for _ in range(3):
        result.reset_iterator()
        started = time.perf_counter()
        rows = len(result.get_as_arrow(16_384))
        best = max(best, rows / (time.perf_counter() - started))
    return best


def measure(result: kuzu.QueryResult, form: str, base: float) -> str:
    result.reset_iterator()
    before, peak, first, size = resident(), 0.0, 0.0, 0
    started = time.perf_counter()
    for piece in encode(result, form, Envelope("bench", 0.0, 1000)):
        first = first or time.perf_counter() - started
        size += len(piece.body)
        peak = max(peak, resident())
    taken = time.perf_counter() - started
    speed = result.get_num_tuples() / taken
    return (
        f"{form:7} {speed / 1000:7.0f} krows/s  {size / taken / 1e6:5.0f} MB/s  ratio {speed / base:4.2f}  "
        f"first piece {first * 1000:6.1f} ms  peak +{peak - before:3.0f} MB"
    )


def small(result: kuzu.QueryResult) -> str:
    started = time.perf_counter()
    for _ in range(1000):
        result.reset_iterator()
        for _ in encode(result, "json", Envelope("bench", 0.0, 1000)):
            pass
    return f"{(time.perf_counter() - started) * 1000:.0f} us for one row"


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        database = kuzu.Database(f"{folder}/graph.kuzu", buffer_pool_size=1 << 30, max_db_size=1 << 33)
        connection = kuzu.Connection(database, num_threads=2)
        fill(connection, rows)
        for text in ("RETURN 1 AS a", ONE):
            result = connection.execute(text)
            assert isinstance(result, kuzu.QueryResult)
            print(f"{text}: {small(result)}")
        for text in (FLAT, DATED, NODES):
            result = connection.execute(text)
            assert isinstance(result, kuzu.QueryResult)
            base = embedded(result)
            print(f"\n{text}\nembedded get_as_arrow {base / 1000:.0f} krows/s")
            for form in FORMS:
                print(measure(result, form, base))
        connection.close()
        database.close()


if __name__ == "__main__":
    main()
