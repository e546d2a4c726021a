"""How fast the client hands on a result: raw lines, chunks, rows, Arrow, against httpx and json; and in what memory.

`python -m bench.client_stream [--rows 1000000]`. A process of its own sends the same bytes to all of them, so what is
measured is the client; the node sends the same rows at the rate that bench.stream tells.
"""

from __future__ import annotations

import argparse
import gc
import io
import json
import multiprocessing
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import BinaryIO

import anyio
import attrs
import httpx
import msgspec
import pyarrow as pa
import pyarrow.ipc

from kuzu_client import AsyncKuzuClient, KuzuClient

ROWS_A_CHUNK = 1000
ROWS_A_BATCH = 50_000
PIECE = 64 * 1024
ROUNDS = 3
FORMS = {"ndjson": "application/x-ndjson", "arrow": "application/vnd.apache.arrow.stream"}


def ndjson(rows: int) -> bytes:
    lines = []
    for start in range(0, rows, ROWS_A_CHUNK):
        ids = range(start, min(start + ROWS_A_CHUNK, rows))
        head = {"chunk_index": start // ROWS_A_CHUNK, "columns": [] if start else ["id", "name", "score", "grp"]}
        data = [{"id": n, "name": f"person {n}", "score": n * 0.5, "grp": n % 1000} for n in ids]
        more = {"is_last_chunk": ids.stop == rows, "row_count": len(ids), "total_rows_sent": ids.stop}
        lines.append(msgspec.json.encode({**head, "data": data, **more}) + b"\n")
    return b"".join(lines)


def arrow(rows: int) -> bytes:
    columns = {
        "id": pa.array(range(rows), pa.int64()),
        "name": [f"person {n}" for n in range(rows)],
        "score": [n * 0.5 for n in range(rows)],
        "grp": pa.array([n % 1000 for n in range(rows)], pa.int64()),
    }
    sink = io.BytesIO()
    with pyarrow.ipc.new_stream(sink, pa.table(columns).schema) as writer:
        writer.write_table(pa.table(columns), ROWS_A_BATCH)
    return sink.getvalue()


def serve(listener: socket.socket, bodies: dict[str, bytes], ready: Connection) -> None:
    """One connection after the other, one request on each at a time, until the process is ended."""
    pieces = {
        form: [
            b"%x\r\n%b\r\n" % (len(body[at : at + PIECE]), body[at : at + PIECE]) for at in range(0, len(body), PIECE)
        ]
        for form, body in bodies.items()
    }
    ready.send(True)
    while True:
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as requests:
            while form := asked_for(requests):
                head = f"HTTP/1.1 200 OK\r\ncontent-type: {FORMS[form]}\r\ntransfer-encoding: chunked\r\n\r\n"
                connection.sendall(head.encode())
                for piece in pieces[form]:
                    connection.sendall(piece)
                connection.sendall(b"0\r\n\r\n")


def asked_for(requests: BinaryIO) -> str | None:
    """Reads a request; None where there is no more."""
    head = b""
    while (line := requests.readline()) not in (b"\r\n", b""):
        head += line.lower()
    if not head:
        return None
    requests.read(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
    return next(form for form, kind in FORMS.items() if kind.encode() in head)


@contextmanager
def served(bodies: dict[str, bytes]) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        context = multiprocessing.get_context("fork")
        here, there = context.Pipe()
        process = context.Process(target=serve, args=(listener, bodies, there), daemon=True)
        process.start()
        here.recv()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            process.terminate()
            process.join()


async def lines(client: AsyncKuzuClient) -> int:
    async with client.stream("RETURN 1", read_only=True) as stream:
        return sum([1 async for _ in stream.lines()])


async def chunks(client: AsyncKuzuClient) -> int:
    count = 0
    async with client.stream("RETURN 1", read_only=True) as stream:
        async for chunk in stream:
            count += len(chunk["data"])
    return count


async def rows(client: AsyncKuzuClient) -> int:
    count = 0
    async with client.rows("RETURN 1", read_only=True) as found:
        async for _ in found:
            count += 1
    return count


async def batches(client: AsyncKuzuClient) -> int:
    count = 0
    async with client.stream_arrow("RETURN 1", read_only=True) as stream:
        async for batch in stream:
            count += batch.num_rows
    return count


async def httpx_lines(url: str, *, decode: bool) -> int:
    count = 0
    headers = {"accept": FORMS["ndjson"], "accept-encoding": "identity"}
    async with httpx.AsyncClient() as client, client.stream("POST", url, content=b"{}", headers=headers) as response:
        async for line in response.aiter_lines():
            if decode:
                count += len(json.loads(line)["data"])
    return count


def sync_rows(url: str) -> int:
    with KuzuClient(url) as client, client.rows("RETURN 1", read_only=True) as found:
        return sum(1 for _ in found)


def memory(name: str) -> float:
    """VmRSS, or its peak VmHWM, in megabytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1000


@attrs.frozen
class Figure:
    """`grown`: megabytes of memory at most above what there was before."""

    seconds: float
    grown: float


def best(measured: Callable[[], object]) -> Figure:
    found = []
    for _ in range(ROUNDS):
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before, started = memory("VmRSS"), time.perf_counter()
        measured()
        found.append(Figure(time.perf_counter() - started, memory("VmHWM") - before))
    return Figure(min(figure.seconds for figure in found), max(figure.grown for figure in found))


def of_client(url: str, backend: str, work: Callable[[AsyncKuzuClient], Awaitable[int]]) -> Figure:
    async def run() -> None:
        async with AsyncKuzuClient(url) as client:
            await work(client)

    return best(lambda: anyio.run(run, backend=backend))


def of_httpx(url: str, *, decode: bool) -> Figure:
    async def run() -> None:
        await httpx_lines(url, decode=decode)

    return best(lambda: anyio.run(run, backend="asyncio"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    count = parser.parse_args().rows
    bodies = {"ndjson": ndjson(count), "arrow": arrow(count)}
    size = len(bodies["ndjson"])
    with served(bodies) as url:
        bodies.clear()
        plain, decoded = of_httpx(url, decode=False), of_httpx(url, decode=True)
        print(f"{'httpx aiter_lines':34} {size / plain.seconds / 1e6:6.0f} MB/s")
        print(f"{'httpx aiter_lines and json.loads':34} {count / decoded.seconds / 1e6:6.2f}M rows/s")
        for backend in ("trio", "asyncio"):
            figure = of_client(url, backend, lines)
            tell(f"{backend} lines", f"{size / figure.seconds / 1e6:6.0f} MB/s", figure, plain, "httpx's lines")
            for work in (chunks, rows, batches):
                figure = of_client(url, backend, work)
                told = f"{count / figure.seconds / 1e6:6.2f}M rows/s"
                tell(f"{backend} {work.__name__}", told, figure, decoded, "httpx and json")
        figure = best(lambda: sync_rows(url))
        tell("sync rows", f"{count / figure.seconds / 1e6:6.2f}M rows/s", figure, decoded, "httpx and json")


def tell(name: str, rate: str, figure: Figure, other: Figure, than: str) -> None:
    print(f"{name:34} {rate:14} {other.seconds / figure.seconds:5.1f} times {than}, at most {figure.grown:+.1f} MB")


if __name__ == "__main__":
    main()
