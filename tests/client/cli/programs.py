"""kuzu-client as a process: with pipes, or on a terminal of its own."""

from __future__ import annotations

import fcntl
import os
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import attrs
import httpx
import psutil

REPOSITORY = Path(__file__).parents[3]
PROGRAM = [sys.executable, "-m", "kuzu_client"]
SECONDS = 60
# Runs until somebody stops it, in no memory to speak of.
ENDLESS = "UNWIND range(1, 1000000) AS i UNWIND range(1, 1000000) AS j RETURN count(*)"
# The standard input becomes the terminal that controls the process, so that Ctrl-C is a signal.
_ON_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.executable, sys.argv[1:])"
)
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b\][^\x07]*\x07|\r")


def environment(url: str, **more: str) -> dict[str, str]:
    """Of this process, without settings of its own and without colours."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("KUZU_", "COLUMNS"))}
    return inherited | {"KUZU_API_URL": url, "KUZU_CLIENT_RETRY_DELAY": "0.01", "TERM": "xterm"} | more


def client(url: str, *arguments: str, text: str | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    """`text` is its standard input."""
    return subprocess.run(
        [*PROGRAM, *arguments],
        cwd=REPOSITORY,
        env=environment(url, **environ),
        input=text,
        stdin=subprocess.DEVNULL if text is None else None,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )


def begun(url: str, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen([*PROGRAM, *arguments], cwd=REPOSITORY, env=environment(url), **options)


def wait_connections(url: str, graph: str, count: int) -> None:
    """Until the node uses so many connections of its engine for the database."""
    deadline = time.monotonic() + SECONDS
    with httpx.Client(base_url=url) as asking:
        while asking.get("/admin/connections").json()["by_database"].get(graph, 0) != count:
            assert time.monotonic() < deadline


@attrs.define(eq=False)
class TerminalProgram:
    """`heard` is what it has written since the last `until`, without colours."""

    popen: subprocess.Popen[bytes]
    _descriptor: int
    heard: str = ""

    def type(self, text: str) -> None:
        os.write(self._descriptor, text.encode())

    def interrupt(self) -> None:
        """Ctrl-C, by somebody who waits until all is quiet.

        A signal that comes while readline still handles a key is seen by Python only at the next one.
        """
        deadline = time.monotonic() + SECONDS
        while psutil.Process(self.popen.pid).status() != psutil.STATUS_SLEEPING:
            assert time.monotonic() < deadline
        self.type("\x03")

    def until(self, text: str) -> str:
        """What comes up to the first `text`, with it."""
        deadline = time.monotonic() + SECONDS
        while text not in self.heard:
            assert self._hear(deadline), f"{text!r} does not come: {self.heard!r}"
        before, found, self.heard = self.heard.partition(text)
        return before + found

    def end(self) -> int:
        """The exit code, when it has ended by itself."""
        deadline = time.monotonic() + SECONDS
        while self._hear(deadline):
            pass
        return self.popen.wait(SECONDS)

    def _hear(self, deadline: float) -> bool:
        """Whether something came. On Linux the end of the other side is an error."""
        ready, _, _ = select.select([self._descriptor], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return False
        try:
            data = os.read(self._descriptor, 65536)
        except OSError:
            return False
        self.heard = _ESCAPES.sub("", self.heard + data.decode())
        return bool(data)


@contextmanager
def on_terminal(url: str, *arguments: str, columns: int = 120, **environ: str) -> Iterator[TerminalProgram]:
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    try:
        with subprocess.Popen(
            [sys.executable, "-S", "-c", _ON_TERMINAL, *PROGRAM, *arguments],
            cwd=REPOSITORY,
            env=environment(url, **environ),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        ) as popen:
            os.close(theirs)
            theirs = -1
            try:
                yield TerminalProgram(popen, ours)
            finally:
                popen.kill()
    finally:
        for descriptor in (ours, theirs):
            with suppress(OSError):
                os.close(descriptor)
