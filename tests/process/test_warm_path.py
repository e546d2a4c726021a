"""A warm query walks no file system, opens nothing, and starts neither a thread nor a process, in node and worker.

Python says by audit events what it opens and starts, the kernel which threads and processes there are. The worker has
no free descriptor meanwhile, so that whatever opens a file in it fails, also beneath Python.
"""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import pytest
import trio

from tests.process.client import NodeClient, connected
from tests.process.nodes import REPOSITORY, NodeProcess, running

pytestmark = pytest.mark.trio
PATIENCE = 60
WARM_UP = 5
ROUNDS = 25
LONG = "UNWIND range(1, 20000) AS x RETURN x, x * 2 AS y, 'abcdefgh' AS z"
# Machine and workers are looked at every few seconds, whoever asks what: that is not on the path of a query.
AUDIT = """
import os, sys
log = os.open({log!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

def hook(name, arguments):
    if name not in {names!r}:
        return
    frame = sys._getframe()
    while frame is not None:
        code = frame.f_code
        if code.co_name == "run_sampling_workers" or code.co_filename.endswith("kuzu_node/observe/system.py"):
            return
        frame = frame.f_back
    os.write(log, f"{{os.getpid()}} {{name}} {{arguments[:1]}}\\n".encode())

sys.addaudithook(hook)
"""
NAMES = (
    *("open", "import", "os.listdir", "os.scandir", "glob.glob"),
    *("_thread.start_new_thread", "subprocess.Popen", "os.fork", "os.posix_spawn", "os.exec"),
)
AUDIT_WORKERS = """
from kuzu_node.engine import process
process._START = {worker!r} + process._START
"""


@contextmanager
def audited(tmp_path: Path) -> Iterator[tuple[NodeProcess, Path]]:
    """A node that writes down, as its workers do, what they open and start, in the given file."""
    log = tmp_path / "events"
    audit = AUDIT.format(log=str(log), names=NAMES)
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(audit + AUDIT_WORKERS.format(worker=audit))
    with running(tmp_path / "base", PYTHONPATH=f"{site}{os.pathsep}{REPOSITORY}") as node:
        yield node, log


@attrs.define
class Watched:
    """Threads that were there in the meantime, by process."""

    pids: tuple[int, ...]
    seen: set[tuple[int, str]] = attrs.field(factory=set)
    _over: bool = False

    def threads(self) -> set[tuple[int, str]]:
        return {(pid, thread) for pid in self.pids for thread in os.listdir(f"/proc/{pid}/task")}

    def watch(self) -> None:
        """As often as it can be done: a thread that each query starts is met sooner or later, be it short-lived."""
        while not self._over:
            self.seen |= self.threads()

    @contextmanager
    def watching(self) -> Iterator[None]:
        thread = threading.Thread(target=self.watch)
        thread.start()
        try:
            yield
        finally:
            self._over = True
            thread.join()


def events_of(pids: tuple[int, ...], log: Path) -> list[str]:
    """Not of the next spare, which may be warming up meanwhile."""
    return [line for line in log.read_text().splitlines() if int(line.partition(" ")[0]) in pids]


async def each_kind(client: NodeClient, number: int) -> None:
    await client.rows("RETURN 1 AS one")
    await client.rows("CREATE (:P {id: $id, s: $s})", id=number, s=f"text {number}")
    assert await client.rows("MATCH (p:P {id: $id}) RETURN p.s", id=number) == [[f"text {number}"]]
    await client.rows("MATCH (p:P) WHERE p.s = $s SET p.s = 'another'", s=f"text {number}")
    assert (await client.query("MATCH (p:P {id: 0}) RETURN p", accept="text/csv")).status == 200
    assert (await client.query("MATCH (p:P {id: $id})", id=1)).status == 400
    reply = await client.query(LONG, accept="application/x-ndjson")
    assert (reply.status, b'"is_last_chunk":true' in reply.body) == (200, True)
    assert (await client.query(LONG, accept="application/vnd.apache.arrow.stream")).status == 200
    assert (await client.transaction({"cypher": "MATCH (p:P {id: $id}) DELETE p", "parameters": {"id": number}})).json


@contextmanager
def without_descriptors(pid: int) -> Iterator[None]:
    """What the process has open it keeps; it gets no more."""
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))


async def test_a_warm_query_opens_nothing_and_starts_nothing(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE), audited(tmp_path) as (node, log):
        async with connected(node) as client:
            await client.create()
            worker = node.wait_said("database_opened")["pid"]
            for number in range(WARM_UP):
                await each_kind(client, number)
            watched = Watched((node.popen.pid, worker))
            events = events_of(watched.pids, log)
            # Both have been heard of: what comes now would be, too.
            assert {line.partition(" ")[0] for line in events} == {str(pid) for pid in watched.pids}
            threads, children = watched.threads(), {child.pid for child in node.children()}
            with watched.watching(), without_descriptors(worker):
                for number in range(WARM_UP, WARM_UP + ROUNDS):
                    await each_kind(client, number)
            assert events_of(watched.pids, log)[len(events) :] == []
            assert watched.seen == threads
            assert {child.pid for child in node.children()} == children
