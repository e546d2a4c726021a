"""A table of a million rows of four columns through the node, against the embedded engine: rows/s, first byte, memory.

`python -m bench.stream [--rows 1000000]`. Memory is the growth of the node's and the worker's resident set over the
same query with nothing fetched. With `--stalled N` as many readers stop reading, while `RETURN 1` goes on.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import socket
import statistics
import tempfile
import threading
import time
from pathlib import Path

import kuzu
import psutil
import pyarrow as pa
import pyarrow.parquet

from bench.client import Client, encoded, quantile, timed
from kuzu_node.demo.server import RunningNode, running_node

ROUNDS = 5
FORMS = {"application/x-ndjson": "ndjson", "application/vnd.apache.arrow.stream": "arrow"}
DDL = "CREATE NODE TABLE Row(id INT64, name STRING, score DOUBLE, grp INT64, PRIMARY KEY(id))"
SCAN = "MATCH (r:Row) RETURN r.id AS id, r.name AS name, r.score AS score, r.grp AS grp"
COUNT = "MATCH (r:Row) RETURN count(*), max(r.name), max(r.score), max(r.grp)"


def table(rows: int) -> bytes:
    columns = {
        "id": pa.array(range(rows), pa.int64()),
        "name": [f"person {n}" for n in range(rows)],
        "score": [n * 0.5 for n in range(rows)],
        "grp": pa.array([n % 1000 for n in range(rows)], pa.int64()),
    }
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


class Peak(threading.Thread):
    """The largest resident sets of a node and of its workers while the block runs, in MB."""

    def __init__(self, node: RunningNode) -> None:
        super().__init__(daemon=True)
        self._processes = [psutil.Process(node.process.pid)]
        self._processes += self._processes[0].children()
        self._ended = threading.Event()
        self.peaks = [0.0] * len(self._processes)

    def __enter__(self) -> Peak:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()

    def run(self) -> None:
        while not self._ended.wait(0.005):
            for index, process in enumerate(self._processes):
                self.peaks[index] = max(self.peaks[index], process.memory_info().rss / 1e6)


def measured(client: Client, accept: str) -> tuple[float, float, bytes, int]:
    """Seconds, seconds to the first byte, the last bytes, how many bytes there were."""
    started = time.perf_counter()
    first, size, last = 0.0, 0, b""
    for part in client.stream(SCAN, accept):
        first = first or time.perf_counter() - started
        size += len(part)
        last = (last + part)[-4096:]
    return time.perf_counter() - started, first, last, size


def embedded(connection: kuzu.Connection) -> float:
    """Seconds to execute and to fetch as Arrow."""
    started = time.perf_counter()
    result = connection.execute(SCAN)
    assert isinstance(result, kuzu.QueryResult)
    result.get_as_arrow(100_000)
    return time.perf_counter() - started


def executed_in(last: bytes) -> float:
    """Seconds that the engine took, as the last line of NDJSON says."""
    return float(json.loads(last[last.rindex(b'"execution_time_ms":') + 20 :].split(b",")[0])) / 1000


def throughput(client: Client, rows: int, folder: str, content: bytes) -> None:
    path = Path(folder) / "rows.parquet"
    path.write_bytes(content)
    database = kuzu.Database(f"{folder}/embedded", buffer_pool_size=1 << 30, max_db_size=1 << 34)
    connection = kuzu.Connection(database)
    connection.execute(DDL)
    connection.execute(f"COPY Row FROM '{path}'")
    for accept, form in FORMS.items():
        times, fetches, delays = [], [], []
        size = 0
        for _ in range(ROUNDS):
            seconds, first, last, size = measured(client, accept)
            fetches.append(embedded(connection))
            times.append(seconds)
            delays.append((first - executed_in(last)) * 1000 if form == "ndjson" else math.nan)
        median = statistics.median(times)
        print(
            f"{form:7} {rows / median / 1e6:6.2f}M rows/s {size / median / 1e6:7.0f} MB/s  "
            f"{statistics.median(fetches) / median:5.2f} of embedded execute and Arrow fetch  "
            f"first byte {statistics.median(delays):6.1f} ms after the engine's execution"
        )


def growth(node: RunningNode, client: Client) -> None:
    """Memory over the same query whose rows are counted in the engine."""
    with Peak(node) as base:
        client.query(COUNT)
    with Peak(node) as peak:
        measured(client, "application/x-ndjson")
    grown = [f"{after - before:+.0f}" for before, after in zip(base.peaks, peak.peaks, strict=True)]
    print(f"memory: node {grown[0]} MB, worker and spare {', '.join(grown[1:])} MB")


def stalled(url: str, database: str, count: int) -> None:
    """`RETURN 1` beside readers that ask for all rows and read none."""
    host, port = url.removeprefix("http://").split(":")
    body = encoded(SCAN, None)
    head = (
        f"POST /databases/{database}/query HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        f"accept: application/x-ndjson\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    client = Client(url, database)
    one = [encoded("RETURN 1 AS one", None)] * 200
    idle = timed(client, one)
    readers = []
    for _ in range(count):
        reader = socket.create_connection((host, int(port)))
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.sendall(head.encode() + body)
        # One after the other has its first bytes: what is measured is reading that has stopped, not a queue of work.
        reader.recv(1)
        readers.append(reader)
    # A new connection: the first has been idle for longer than the node keeps such ones.
    client = Client(url, database)
    beside = timed(client, one * 5)
    print(
        f"RETURN 1 beside {count} stalled readers: "
        f"p50 {quantile(beside, 0.5):.2f} ms, p99 {quantile(beside, 0.99):.2f}, "
        f"longest {beside[-1]:.1f} (idle: {quantile(idle, 0.5):.2f}, {quantile(idle, 0.99):.2f})"
    )
    connections = json.loads(client.get("/admin/connections"))
    print(f"held by them at the end: {connections}")
    for reader in readers:
        reader.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--stalled", type=int, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, running_node(f"{folder}/node") as node:
        client = Client(node.url, "stream")
        client.create(DDL)
        content = table(options.rows)
        client.load("Row", content)
        growth(node, client)
        throughput(client, options.rows, folder, content)
        stalled(node.url, "stream", options.stalled)


if __name__ == "__main__":
    main()
