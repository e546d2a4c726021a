"""Nodes as processes: started, listened to, stopped. `python -m kuzu_node` as users run it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import psutil
import trio

REPOSITORY = Path(__file__).parents[2]
MB = 1024 * 1024
START_SECONDS = 60
STOP_SECONDS = 30
SETTINGS = {
    "KUZU_LOG_FORMAT": "json",
    "KUZU_MAX_MEMORY_MB": "4096",
    "KUZU_MEMORY_PER_DB_MB": "512",
    "KUZU_MAX_DB_SIZE_GB": "4",
    "KUZU_DRAIN_SECONDS": "5",
    "KUZU_KILL_GRACE": "0.5",
    # What else runs on the machine is no matter of these tests.
    "KUZU_ADMISSION_MEMORY_THRESHOLD": "100",
}


@attrs.define(eq=False)
class NodeProcess:
    """`events` are the lines of its log so far; a thread reads them, since a full pipe would hold the node up."""

    popen: subprocess.Popen[str]
    port: int = 0
    events: list[dict[str, Any]] = attrs.field(factory=list)
    ended: bool = False
    _heard: threading.Condition = attrs.field(factory=threading.Condition)

    def listen(self) -> None:
        """Until the node closes its output."""
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            with self._heard:
                self.events.append(json.loads(line))
                self._heard.notify_all()
        with self._heard:
            self.ended = True
            self._heard.notify_all()

    def wait_said(self, name: str) -> dict[str, Any]:
        """The first event of that name."""
        with self._heard:
            self._heard.wait_for(lambda: self.ended or self.said(name) is not None, START_SECONDS)
        event = self.said(name)
        assert event is not None, self.events
        return event

    def said(self, name: str) -> dict[str, Any] | None:
        return next((event for event in self.events if event["event"] == name), None)

    async def until_said(self, name: str) -> None:
        await trio.to_thread.run_sync(self.wait_said, name, abandon_on_cancel=True)

    def complaints(self) -> list[dict[str, Any]]:
        return [event for event in self.events if event["level"] in ("error", "critical")]

    def send(self, number: signal.Signals) -> None:
        self.popen.send_signal(number)

    async def exit_code(self) -> int:
        """Waits for the end of the process."""
        wait = partial(self.popen.wait, STOP_SECONDS)
        return await trio.to_thread.run_sync(wait, abandon_on_cancel=True)

    async def connect(self) -> trio.SocketStream:
        return await trio.open_tcp_stream("127.0.0.1", self.port)

    def memory_mb(self) -> float:
        """Resident, of the node's own process."""
        return float(psutil.Process(self.popen.pid).memory_info().rss) / MB

    def children(self) -> list[psutil.Process]:
        """Workers and the spare."""
        return psutil.Process(self.popen.pid).children(recursive=True)


@contextmanager
def running(base: Path, *arguments: str, **settings: str) -> Iterator[NodeProcess]:
    """A node that listens. If it still runs at the end of the block it is stopped, in order and with exit code 0.

    Nothing may be logged as an error, and nothing may end in a traceback.
    """
    with tempfile.TemporaryFile("w+") as errors:
        node = NodeProcess(start("--base-path", str(base), "--port", "0", *arguments, errors=errors, **settings))
        thread = threading.Thread(target=node.listen, daemon=True)
        thread.start()
        try:
            node.port = int(node.wait_said("listening")["addresses"][0].rpartition(":")[2])
            yield node
            if node.popen.poll() is None:
                node.popen.terminate()
                assert node.popen.wait(STOP_SECONDS) == 0
        except BaseException as error:
            error.add_note("\n".join(str(event.get("exception", event)) for event in node.complaints()))
            raise
        finally:
            node.popen.kill()
            node.popen.wait()
            thread.join()
            assert node.popen.stdout is not None
            node.popen.stdout.close()
        errors.seek(0)
        said = errors.read()
        assert "Traceback" not in said, said
        assert node.complaints() == [], node.complaints()


def start(*arguments: str, errors: Any = subprocess.PIPE, **settings: str) -> subprocess.Popen[str]:
    """The process, with no settings but the given ones and those that keep it small."""
    command = [sys.executable, "-m", "kuzu_node", *arguments]
    env = {name: value for name, value in os.environ.items() if not name.startswith("KUZU_")} | SETTINGS | settings
    return subprocess.Popen(command, cwd=REPOSITORY, env=env, stdout=subprocess.PIPE, stderr=errors, text=True)
