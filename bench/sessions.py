"""One session asked by 16 tasks, against httpx as it comes and our client, over the same node in one run.

`python -m bench.sessions [--tasks 16]` prints calls a second, CPU time of the asking process and the median, and their
ratios to httpx. `--transactions 10000` runs that many in a row over one session instead, and prints what node, worker
and client grow by; after the first tenth nothing may grow with their number. With `--writes`, each second one writes a
row: the engine then keeps some 30 kB for each until its next checkpoint, which is due when that is half of the pool.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import attrs
import psutil
import structlog
import trio

from bench.callers import CYPHER
from bench.client_calls import compare, served
from bench.leaks import MB, worker_of
from kuzu_client import AsyncKuzuClient
from kuzu_node.config import load
from kuzu_node.serve import serve

GRAPH = "sessions"
DDL = "CREATE NODE TABLE P(id INT64, n INT64, PRIMARY KEY(id))"
WRITE = "MATCH (p:P {id: $id}) SET p.n = p.n + 1"
ROWS = 100
TENTHS = 10


@attrs.frozen(kw_only=True)
class Reading:
    """Of one process. `tasks` of its Trio loop, -1 where there is none."""

    memory: int
    descriptors: int
    tasks: int

    @classmethod
    def of(cls, pid: int) -> Reading:
        gc.collect()
        own = pid == os.getpid()
        tasks = trio.lowlevel.current_statistics().tasks_living if own else -1
        descriptors = len(os.listdir(f"/proc/{pid}/fd"))
        return cls(memory=psutil.Process(pid).memory_info().rss, descriptors=descriptors, tasks=tasks)

    def grown(self, before: Reading) -> str:
        tasks = "" if self.tasks < 0 else f" {self.tasks - before.tasks:+} tasks"
        descriptors = self.descriptors - before.descriptors
        return (
            f"{self.memory / MB:7.1f} MB {(self.memory - before.memory) / MB:+6.2f} {descriptors:+} descriptors{tasks}"
        )


async def ask(url: str, transactions: int, writes: bool) -> None:
    """In a process of its own: says what it uses after each tenth, and goes on when it is told."""
    async with AsyncKuzuClient(url, graph_id=GRAPH) as client:
        await client.create_database(GRAPH, "custom", custom_schema_ddl=DDL)
        await client.query(f"UNWIND range(0, {ROWS - 1}) AS i CREATE (:P {{id: i, n: 0}})")
        async with client.session() as session:
            for _ in range(TENTHS):
                for number in range(transactions // TENTHS):
                    reads = not writes or number % 2 == 0
                    async with session.transaction(read_only=reads) as transaction:
                        await transaction.query(CYPHER if reads else WRITE, None if reads else {"id": number % ROWS})
                print(json.dumps(attrs.asdict(Reading.of(os.getpid()))), flush=True)
                await trio.to_thread.run_sync(sys.stdin.readline)
        written = await client.query("MATCH (p:P) RETURN sum(p.n) AS n")
        print(json.dumps(written["data"]), flush=True)


def asker(port: int, options: argparse.Namespace) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "bench.sessions", "--ask", str(port), "--transactions", str(options.transactions)]
    command += ["--writes"] if options.writes else []
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


async def watch(port: int, options: argparse.Namespace) -> None:
    node, transactions = psutil.Process(), options.transactions
    before: dict[str, Reading] = {}
    first: dict[str, Reading] = {}
    with asker(port, options) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        for tenth in range(1, TENTHS + 1):
            said = await trio.to_thread.run_sync(child.stdout.readline)
            worker = worker_of(node, besides=child.pid)
            now = {
                "node": Reading.of(node.pid),
                "worker": Reading.of(worker.pid),
                "client": Reading(**json.loads(said)),
            }
            first = first or now
            for name, reading in now.items():
                print(f"{tenth * transactions // TENTHS:8,}  {name:6} {reading.grown(before.get(name, reading))}")
            before = now
            child.stdin.write("\n")
            child.stdin.flush()
        written = int(json.loads(await trio.to_thread.run_sync(child.stdout.readline))[0]["n"])
    print(f"{written:,} of {transactions // 2 if options.writes else 0:,} writes are there; since the first tenth:")
    for name, reading in before.items():
        print(f"{'':8}  {name:6} {reading.grown(first[name])}")


async def run_transactions(options: argparse.Namespace) -> None:
    """The node runs in this process, so that its tasks can be counted."""
    with tempfile.TemporaryDirectory() as folder:
        config = load({"KUZU_DATABASE_PATH": str(Path(folder) / "data"), "KUZU_PORT": "0"})
        async with trio.open_nursery() as nursery:
            addresses = await nursery.start(serve, config)
            await watch(addresses[0][1], options)
            nursery.cancel_scope.cancel()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, nargs="*", default=[16])
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--transactions", type=int)
    parser.add_argument("--writes", action="store_true")
    parser.add_argument("--ask", type=int, metavar="PORT", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ask:
        trio.run(ask, f"http://127.0.0.1:{options.ask}", options.transactions, options.writes)
        return
    if options.transactions:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
        trio.run(run_transactions, options)
        return
    options.variants = ["httpx", "client", "session"]
    with served("node") as url:
        for tasks in options.tasks:
            compare("trio", tasks, url, options)


if __name__ == "__main__":
    main()
