"""Stand-ins for a worker where a test is about what the node does with it, not about the process."""

from __future__ import annotations

import socket
import subprocess

from kuzu_node.core.messages import Hello
from kuzu_node.engine.lanes import Lanes
from kuzu_node.engine.process import FrameSocket, WorkerProcess
from kuzu_node.engine.worker import Worker


class EndlessPopen(subprocess.Popen[bytes]):
    """A process that was never started and never ends."""

    def __init__(self) -> None:
        self.pid = 0
        self.returncode = None

    def poll(self) -> int | None:
        return None

    def __del__(self) -> None:
        return


def fake_worker() -> Worker:
    """A worker with no process behind it."""
    sock = socket.socket()
    process = WorkerProcess(EndlessPopen(), FrameSocket(sock), Hello("", 0, 0, False))
    sock.close()
    return Worker(process, Lanes(process, 4), {}, False, 1.0)
