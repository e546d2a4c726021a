"""A look-up by an integer parameter on tables of growing size, against `RETURN 1` on the same node, and against the
embedded engine with a bound parameter and with a literal.

`python -m bench.point_lookup [--largest 1000000]`. The node's median must not grow with the table, and stay below three
times that of `RETURN 1`.
"""

from __future__ import annotations

import argparse
import io
import random
import statistics
import tempfile
import time
from pathlib import Path

import kuzu
import pyarrow as pa
import pyarrow.parquet

from bench.client import Client, encoded, quantile, timed
from kuzu_node.demo.server import running_node

REQUESTS = 1000
ROUNDS = 5
DDL = "CREATE NODE TABLE P(id INT64, name STRING, PRIMARY KEY(id))"
LOOK_UP = "MATCH (p:P {id: $id}) RETURN p.name AS name"


def people(rows: int) -> bytes:
    table = pa.table({"id": pa.array(range(rows), pa.int64()), "name": [f"person {n}" for n in range(rows)]})
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(table, buffer)
    return buffer.getvalue()


def through_the_node(url: str, rows: int, content: bytes) -> tuple[float, float]:
    """Medians in ms of RETURN 1 and of the look-up, in alternating rounds."""
    client = Client(url, f"people_{rows}")
    client.create(DDL)
    client.load("P", content)
    one, look_up = [], []
    for _ in range(ROUNDS + 1):
        one.append(quantile(timed(client, [encoded("RETURN 1 AS one", None)] * REQUESTS), 0.5))
        bodies = [encoded(LOOK_UP, {"id": random.randrange(rows)}) for _ in range(REQUESTS)]
        look_up.append(quantile(timed(client, bodies), 0.5))
    client.close()
    # The first round warms up.
    return statistics.median(one[1:]), statistics.median(look_up[1:])


def embedded(rows: int, content: bytes, folder: str) -> tuple[float, float]:
    """Medians in ms of the look-up with a bound parameter and with a literal."""
    path = Path(folder) / f"people_{rows}.parquet"
    path.write_bytes(content)
    database = kuzu.Database(f"{folder}/embedded_{rows}", buffer_pool_size=1 << 30, max_db_size=1 << 34)
    connection = kuzu.Connection(database, num_threads=1)
    connection.execute(DDL)
    connection.execute(f"COPY P FROM '{path}'")
    bound, literal = [], []
    for _ in range(60):
        key = random.randrange(rows)
        started = time.perf_counter()
        connection.execute(LOOK_UP, {"id": key})
        middle = time.perf_counter()
        connection.execute(LOOK_UP.replace("$id", str(key)))
        bound.append((middle - started) * 1000)
        literal.append((time.perf_counter() - middle) * 1000)
    connection.close()
    database.close()
    return statistics.median(bound), statistics.median(literal)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--largest", type=int, default=1_000_000)
    largest = parser.parse_args().largest
    sizes = [size for size in (1_000, 10_000, 100_000, 1_000_000, 10_000_000) if size <= largest]
    print(
        f"{'rows':>10} {'RETURN 1':>9} {'look-up':>8} {'ratio':>6} {'to first':>8} {'bound':>9} {'literal':>8}   (ms)"
    )
    first = 0.0
    with tempfile.TemporaryDirectory() as folder, running_node(f"{folder}/node") as node:
        for rows in sizes:
            content = people(rows)
            one, look_up = through_the_node(node.url, rows, content)
            bound, literal = embedded(rows, content, folder)
            first = first or look_up
            ratios = f"{look_up / one:6.2f} {look_up / first:8.2f}"
            print(f"{rows:10,} {one:9.3f} {look_up:8.3f} {ratios} {bound:9.3f} {literal:8.3f}", flush=True)


if __name__ == "__main__":
    main()
