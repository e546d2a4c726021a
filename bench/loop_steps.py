"""The longest step of the node's loop while it is sent JSON bodies that are hard to read, and how long it kept others.

`python -m bench.loop_steps` prints both for each body, in milliseconds; `--only WORD,WORD` takes those with one of the
words in the name. A step is what one task does between two awaits; `late` is how much later than asked a sleeping task
woke, which also shows what threads do to the loop while they hold the interpreter.
"""

from __future__ import annotations

import argparse
import gc
import http.client
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import attrs
import structlog
import trio

from bench.bodies import MIB, queries, transactions
from kuzu_node.config import load
from kuzu_node.observe.loop_steps import LoopSteps, watched_loop
from kuzu_node.serve import serve

BEAT = 0.005
PROMISED_MS = 100
SETTINGS = {"KUZU_PORT": "0", "KUZU_MAX_QUERY_LENGTH": "100000"}


@attrs.define
class Lateness:
    """`worst` in seconds."""

    worst: float = 0.0

    async def watch(self) -> None:
        while True:
            waited, due = queued(), time.perf_counter() + BEAT
            await trio.sleep(BEAT)
            self.worst = max(self.worst, time.perf_counter() - due - (queued() - waited))


def queued() -> float:
    """Seconds for which this thread was ready and the machine ran others."""
    return int(Path("/proc/thread-self/schedstat").read_bytes().split()[1]) / 1e9


def bodies(mib: float) -> Iterator[tuple[str, str, bytes]]:
    """Path, name and body."""
    size = int(mib * MIB)
    yield "/databases", "a database", b'{"graph_id":"g","schema_type":"custom"}'
    for name, body in queries(size):
        yield "/databases/g/query", name, body
    for name, body in transactions(size):
        yield "/databases/g/transaction", name, body


def send(port: int, mib: float, only: str) -> None:
    """In a process of its own, since making the bodies is hard on the interpreter too.

    Before each it says its name, and waits to be told; then how it was answered, and after how many milliseconds.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    for path, name, body in bodies(mib):
        if path != "/databases" and not any(word in name for word in only.split(",")):
            continue
        print(name, flush=True)
        sys.stdin.readline()
        started = time.perf_counter()
        connection.request("POST", path, body, {"content-type": "application/json"})
        response = connection.getresponse()
        said = response.read()
        spent = (time.perf_counter() - started) * 1000
        print(f"{response.status} {spent:6.0f} ms", said[:300].decode("utf-8", "replace").strip(), flush=True)


def sender(port: int, options: argparse.Namespace) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "bench.loop_steps", "--send", str(port), str(options.mib), options.only]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


async def measure(port: int, steps: LoopSteps, lateness: Lateness, options: argparse.Namespace) -> None:
    with sender(port, options) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        while name := await trio.to_thread.run_sync(child.stdout.readline):
            steps.slow.clear()
            steps.longest = lateness.worst = 0.0
            child.stdin.write("\n")
            child.stdin.flush()
            said = await trio.to_thread.run_sync(child.stdout.readline)
            # What is left of the request goes in the steps after its answer.
            await trio.sleep(0.1)
            longest, late = steps.longest * 1000, lateness.worst * 1000
            mark = "" if max(longest, late) < PROMISED_MS else "  <- over"
            status = said if options.verbose else said[:13]
            print(f"{name.strip():34} step {longest:6.1f}   late {late:6.1f}   {status.strip()}{mark}", flush=True)


async def run(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        config = load({"KUZU_DATABASE_PATH": f"{folder}/data", **SETTINGS})
        lateness = Lateness()
        async with trio.open_nursery() as nursery:
            addresses = await nursery.start(serve, config)
            nursery.start_soon(lateness.watch)
            with watched_loop() as steps:
                await measure(addresses[0][1], steps, lateness, options)
            nursery.cancel_scope.cancel()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--send", nargs=3, metavar=("PORT", "MIB", "ONLY"), help=argparse.SUPPRESS)
    parser.add_argument("--mib", type=float, default=9.9, help="size of the bodies")
    parser.add_argument("--only", default="", help="words in the name, with commas between them")
    parser.add_argument("--verbose", action="store_true", help="print answers too")
    options = parser.parse_args()
    if options.send:
        port, mib, only = options.send
        send(int(port), float(mib), only)
        return
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    # As the node does when it starts.
    gc.collect()
    gc.freeze()
    trio.run(run, options)


if __name__ == "__main__":
    main()
