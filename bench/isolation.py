"""What one database notices of another one's work: the p99 of `RETURN 1`, idle and beside streams and loads.

`python -m bench.isolation [--seconds 5]` prints the ratio to the idle p99, which must stay below 5, and how long
`/health` takes, which must stay below 50 ms.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet

from bench.client import Client, encoded, quantile
from kuzu_node.demo.server import running_node

LONG = "UNWIND range(1, 1000000) AS i RETURN i, i * 2 AS twice, i * 0.5 AS half, 'row' AS name"
LOAD_ROWS = 500_000
ONE = encoded("RETURN 1 AS one", None)
HEAVY = encoded("UNWIND range(1, 3000) AS a UNWIND range(1, 3000) AS b RETURN sum(a * b % 7) AS s", None)


def rows(start: int) -> bytes:
    table = pa.table({"id": pa.array(range(start, start + LOAD_ROWS), pa.int64())})
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(table, buffer)
    return buffer.getvalue()


@contextmanager
def beside(work: str, url: str) -> Iterator[None]:
    """While in the block another process does the same to the other database again and again."""
    command = [sys.executable, "-m", "bench.isolation", "--beside", work, "--url", url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        # The first round is done: from here on it goes without pause.
        process.stdout.readline()
        try:
            yield
        finally:
            process.kill()


def disturb(work: Callable[[int], None]) -> None:
    number = 0
    while True:
        work(number)
        number += 1
        if number == 1:
            print("under way", flush=True)


def stream(url: str) -> Callable[[int], None]:
    client = Client(url, "noisy")

    def work(_: int) -> None:
        for _part in client.stream(LONG, "application/x-ndjson"):
            pass

    return work


def load(url: str) -> Callable[[int], None]:
    client = Client(url, "noisy")

    def work(number: int) -> None:
        client.load("P", rows(number * LOAD_ROWS))

    return work


def query(url: str) -> Callable[[int], None]:
    client = Client(url, "noisy")

    def work(_: int) -> None:
        client.raw_query(HEAVY)

    return work


def watch(url: str, seconds: float) -> tuple[list[float], list[float]]:
    """Milliseconds of RETURN 1 on the quiet database and of /health, sorted."""
    client, ones, healths = Client(url, "quiet"), list[float](), list[float]()
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        started = time.perf_counter()
        client.raw_query(ONE)
        middle = time.perf_counter()
        client.get("/health")
        ones.append((middle - started) * 1000)
        healths.append((time.perf_counter() - middle) * 1000)
        time.sleep(0.001)
    client.close()
    return sorted(ones), sorted(healths)


def report(name: str, found: tuple[list[float], list[float]], idle: float) -> float:
    ones, healths = found
    p99 = quantile(ones, 0.99)
    print(
        f"{name:>8}  RETURN 1: p50 {quantile(ones, 0.5):6.2f} ms, p99 {p99:7.2f} ms, x{p99 / (idle or p99):5.2f}"
        f"   /health: p99 {quantile(healths, 0.99):7.2f} ms, longest {healths[-1]:7.2f} ms",
        flush=True,
    )
    return p99


WORK = {"stream": stream, "load": load, "query": query}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--beside", choices=WORK, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.beside:
        disturb(WORK[options.beside](options.url))
    with tempfile.TemporaryDirectory() as folder, running_node(f"{folder}/node") as node:
        for name in ("quiet", "noisy"):
            client = Client(node.url, name)
            client.create("CREATE NODE TABLE P(id INT64, PRIMARY KEY(id))")
            client.close()
        watch(node.url, 1)
        idle = report("idle", watch(node.url, options.seconds), 0.0)
        for name in WORK:
            with beside(name, node.url):
                found = watch(node.url, options.seconds)
            report(name, found, idle)


if __name__ == "__main__":
    main()
