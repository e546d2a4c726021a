"""What a small answer costs: hypercorn as it is, with our repairs, and with the compiled h11, in one run.

`python -m bench.http_overhead` prints requests/s and CPU time of the server per request, and ratios against
hypercorn as it is. It uses wrk when that is installed, else keep-alive connections of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from typing import Any

import attrs
import psutil
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config, Sockets
from hypercorn.trio.run import worker_serve

BODY = b'{"columns":["1"],"data":[{"1":1}],"row_count":1,"execution_time_ms":0.2,"database":"x"}'
START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))],
}
VARIANTS = ("stock", "repaired", "compiled")
REQUEST = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"


@attrs.frozen(kw_only=True)
class Result:
    """`cpu` is in microseconds a request, of the server process."""

    variant: str
    rate: float
    cpu: float


async def answer(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        for step in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{step}.complete"})
        return
    await receive()
    await send(START)
    await send({"type": "http.response.body", "body": BODY})


async def serve(variant: str, port: int) -> None:
    if variant == "stock":
        config = Config()
        config.accesslog = config.errorlog = None
        config.include_server_header = False
        config.keep_alive_max_requests = 10**9
        sockets = Config.from_mapping(bind=f"127.0.0.1:{port}").create_sockets()
        sockets.insecure_sockets[0].listen(2048)
        bound = Sockets([], sockets.insecure_sockets, [])
        print(sockets.insecure_sockets[0].getsockname()[1], flush=True)
        await worker_serve(ASGIWrapper(answer), config, sockets=bound)
        return
    if variant == "repaired":
        sys.modules["h11_mypyc"] = None  # type: ignore[assignment]
    from kuzu_node.http.server import ServerOptions, run_server  # after the choice of h11

    options = ServerOptions(
        host="127.0.0.1",
        port=port,
        drain_seconds=1,
        stall_timeout=10,
        max_websocket_message=2**20,
        max_header_size=16384,
        max_path_length=4096,
    )
    async with trio.open_nursery() as nursery:
        run = partial(run_server, answer, options, shutdown=trio.sleep_forever)
        addresses = await nursery.start(run)
        print(addresses[0][1], flush=True)


@contextlib.contextmanager
def running(variant: str) -> Iterator[tuple[int, psutil.Process]]:
    command = [sys.executable, "-m", "bench.http_overhead", "--serve", variant]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            yield int(child.stdout.readline()), psutil.Process(child.pid)
        finally:
            child.kill()


def drive(port: int, connections: int, seconds: float) -> float:
    """Number of requests that were answered."""
    wrk = shutil.which("wrk")
    if wrk is None:
        return float(trio.run(drive_alone, port, connections, seconds))
    command = [wrk, "-t1", f"-c{connections}", f"-d{seconds:.0f}s", f"http://127.0.0.1:{port}/"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"(\d+) requests in", output)
    assert found is not None, output
    return float(found[1])


async def drive_alone(port: int, connections: int, seconds: float) -> int:
    count = 0

    async def client() -> None:
        nonlocal count
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            while True:
                await stream.send_all(REQUEST)
                received = b""
                while not received.endswith(BODY):
                    received += await stream.receive_some()
                count += 1

    with trio.move_on_after(seconds):
        async with trio.open_nursery() as nursery:
            for _ in range(connections):
                nursery.start_soon(client)
    return count


def measure(variant: str, connections: int, seconds: float) -> Result:
    with running(variant) as (port, process):
        drive(port, connections, 1)
        before = process.cpu_times()
        done = drive(port, connections, seconds)
        after = process.cpu_times()
    spent = after.user + after.system - before.user - before.system
    return Result(variant=variant, rate=done / seconds, cpu=spent / done * 1e6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", choices=VARIANTS)
    parser.add_argument("--connections", type=int, nargs="*", default=[1, 16, 64])
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=3, help="variants alternate; the best round counts")
    options = parser.parse_args()
    if options.serve:
        trio.run(serve, options.serve, 0)
        return
    variants = [name for name in VARIANTS if name != "compiled" or find_spec("h11_mypyc")]
    for connections in options.connections:
        rounds = [measure(name, connections, options.seconds) for _ in range(options.rounds) for name in variants]
        best = {name: min((r for r in rounds if r.variant == name), key=lambda r: r.cpu) for name in variants}
        for name in variants:
            rate, cpu = best[name].rate, best[name].cpu
            print(
                f"{connections:3} connections  {name:9} {rate:7.0f} requests/s {cpu:5.0f} us of CPU"
                f"  rate x{rate / best['stock'].rate:.2f}  CPU x{cpu / best['stock'].cpu:.2f}"
            )


if __name__ == "__main__":
    main()
