"""Many short queries, with parameters and without: what node and worker grow by in memory and descriptors.

`python -m bench.leaks [--queries 1000000] [--connections 4]` prints a line for each tenth of them. After the first,
which fills caches and arenas, nothing may grow in step with the queries.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading

import attrs
import psutil

from bench.client import Client, encoded
from kuzu_node.demo.server import running_node

DATABASE = "leaks"
DDL = "CREATE NODE TABLE P(id INT64, name STRING, PRIMARY KEY(id))"
ROWS = 1000
MB = 1024 * 1024


@attrs.frozen
class Reading:
    """Bytes and descriptors of the node, and of the worker that has the database open."""

    node: int
    node_descriptors: int
    worker: int
    worker_descriptors: int


def worker_of(node: psutil.Process, besides: int | None = None) -> psutil.Process:
    """The child with the most descriptors: the other one is the spare. `besides`: a child that is no worker."""
    children = (child for child in node.children() if child.pid != besides)
    return max(children, key=lambda child: len(os.listdir(f"/proc/{child.pid}/fd")))


def read(node: psutil.Process, worker: psutil.Process) -> Reading:
    return Reading(
        node.memory_info().rss,
        node.num_fds(),
        worker.memory_info().rss,
        len(os.listdir(f"/proc/{worker.pid}/fd")),
    )


def bodies(kind: str) -> list[bytes]:
    if kind == "literal":
        return [encoded("RETURN 1 AS one", None), encoded(f"MATCH (p:P {{id: {ROWS // 2}}}) RETURN p.name", None)]
    if kind == "integer":
        return [encoded("MATCH (p:P {id: $id}) RETURN p.name", {"id": number}) for number in range(ROWS)]
    text = "MATCH (p:P {id: 7}) WHERE p.name = $name RETURN p.id"
    return [encoded(text, {"name": f"person {number}"}) for number in range(ROWS)]


def ask(url: str, requests: list[bytes], count: int) -> None:
    client = Client(url, DATABASE)
    for number in range(count):
        client.raw_query(requests[number % len(requests)])
    client.close()


def run(url: str, requests: list[bytes], count: int, connections: int) -> None:
    share = count // connections
    threads = [threading.Thread(target=ask, args=(url, requests, share)) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def measure(url: str, node: psutil.Process, kind: str, *, queries: int, connections: int) -> None:
    requests, share = bodies(kind), queries // 10
    ask(url, requests, 1)
    worker = worker_of(node)
    last = first = read(node, worker)
    for tenth in range(1, 11):
        run(url, requests, share, connections)
        now = read(node, worker)
        if tenth == 1:
            first = now
        print(
            f"{kind:>8} {tenth * share:9,}  node {now.node / MB:7.1f} MB {(now.node - last.node) / MB:+6.1f}"
            f" {now.node_descriptors:4} descriptors {now.node_descriptors - last.node_descriptors:+3}"
            f"   worker {now.worker / MB:7.1f} MB {(now.worker - last.worker) / MB:+6.1f}"
            f" {now.worker_descriptors:4} descriptors {now.worker_descriptors - last.worker_descriptors:+3}",
            flush=True,
        )
        last = now
    scale = 100_000 / (9 * share)
    print(
        f"{kind:>8} per 100 000 after the first: node {(last.node - first.node) / MB * scale:+.2f} MB, "
        f"worker {(last.worker - first.worker) / MB * scale:+.2f} MB, descriptors "
        f"{last.node_descriptors - first.node_descriptors:+}, {last.worker_descriptors - first.worker_descriptors:+}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=1_000_000, help="of all kinds together")
    parser.add_argument("--connections", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, running_node(f"{folder}/node") as node:
        client = Client(node.url, DATABASE)
        client.create(DDL)
        client.query(f"UNWIND range(0, {ROWS - 1}) AS i CREATE (:P {{id: i, name: 'person ' + cast(i AS STRING)}})")
        client.close()
        kinds = ("literal", "integer", "string")
        for kind in kinds:
            measure(
                node.url,
                psutil.Process(node.process.pid),
                kind,
                queries=options.queries // len(kinds),
                connections=options.connections,
            )


if __name__ == "__main__":
    main()
