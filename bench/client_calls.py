"""Calls a second of the client at several concurrencies, and of what it might be built on, against httpx as it comes.

`python -m bench.client_calls [--server canned|node] [--runtime trio asyncio threads] [--tasks 1 16 64]`. Each way runs
in a process of its own, whose CPU time is told; they alternate, and of each the round with the least CPU counts.
`canned` answers every request with the same bytes from a process that does little else, so what is seen is the client;
`node` runs `RETURN 1`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator

import anyio
import attrs

from bench.callers import BASE, GRAPH, IN_THREADS, OVER_HTTP, VARIANTS, Figures, drive, drive_threads
from bench.client import Client
from kuzu_node.demo.server import running_node

BODY = b'{"columns":["one"],"data":[{"one":1}],"row_count":1,"execution_time_ms":0.2,"database":"calls"}'
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY)


class Canned(asyncio.Protocol):
    """Looks for the end of a request and for nothing else."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._buffer = transport, b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r")[0] or 0)
        if found and len(rest) >= length:
            self._buffer = rest[length:]
            self._transport.write(ANSWER)


async def serve_canned() -> None:
    server = await asyncio.get_running_loop().create_server(Canned, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextlib.contextmanager
def served(kind: str) -> Iterator[str]:
    """The URL of what answers."""
    if kind == "node":
        with tempfile.TemporaryDirectory() as folder, running_node(f"{folder}/node") as node:
            client = Client(node.url, GRAPH)
            client.create("CREATE NODE TABLE P(id INT64, PRIMARY KEY(id))")
            client.close()
            yield node.url
        return
    command = [sys.executable, "-m", "bench.client_calls", "--serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(child.stdout.readline())}"
        finally:
            child.kill()


def apart(variant: str, runtime: str, tasks: int, url: str, seconds: float) -> Figures:
    """Measured in a process of its own."""
    words = ["--drive", variant, "--url", url, "--runtime", runtime, "--tasks", str(tasks), "--seconds", str(seconds)]
    command = [sys.executable, "-m", "bench.client_calls", *words]
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=seconds + 60).stdout
    return Figures(**json.loads(output))


def driven(variant: str, runtime: str, tasks: int, url: str, seconds: float) -> Figures:
    if runtime == "threads":
        return drive_threads(variant, url, tasks, seconds)
    return anyio.run(drive, variant, url, tasks, seconds, backend=runtime)


def compare(runtime: str, tasks: int, url: str, options: argparse.Namespace) -> None:
    names = [name for name in options.variants if runtime != "threads" or name in IN_THREADS]
    rounds = [
        (name, apart(name, runtime, tasks, url, options.seconds)) for _ in range(options.rounds) for name in names
    ]
    best = {name: min((found for other, found in rounds if other == name), key=lambda f: f.cpu) for name in names}
    base = best[BASE]
    for name in names:
        found = best[name]
        failed = f"  {found.failed} FAILED" if found.failed else ""
        print(
            f"{runtime:7} {tasks:3}  {name:6} {found.rate:7.0f} calls/s {found.cpu:5.0f} us of CPU"
            f" p50 {found.p50:7.0f} us   rate x{found.rate / base.rate:.2f}  CPU /{base.cpu / found.cpu:.2f}"
            f"  p50 /{base.p50 / found.p50:.2f}{failed}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", choices=("canned", "node"), default="canned")
    parser.add_argument("--runtime", nargs="*", choices=("trio", "asyncio", "threads"))
    parser.add_argument("--tasks", type=int, nargs="*", default=[1, 16, 64])
    parser.add_argument("--variants", nargs="*", choices=VARIANTS, default=list(OVER_HTTP))
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--serve", action="store_true")
    parser.add_argument("--drive", choices=VARIANTS)
    parser.add_argument("--url")
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve_canned())
        return
    if options.drive:
        figures = driven(options.drive, options.runtime[0], options.tasks[0], options.url, options.seconds)
        print(json.dumps(attrs.asdict(figures)))
        return
    for name in options.variants:
        print(f"{name:6} {VARIANTS[name]}")
    with served(options.server) as url:
        for runtime in options.runtime or ("trio", "asyncio", "threads"):
            for tasks in options.tasks:
                compare(runtime, tasks, url, options)


if __name__ == "__main__":
    main()
