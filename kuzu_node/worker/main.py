"""Entry of a worker process: confine, import, warm up, say hello, then serve the control lane.

Arguments: the control lane's descriptor, the sandbox mode, the parent's pid, the base folder. Or `--probe`, which
prints what this machine offers.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import json
import os
import signal
import socket
import sys
import threading
import traceback
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Never returns."""
    if arguments == ["--probe"]:
        _probe()
    descriptor, sandbox_mode, parent = int(arguments[0]), arguments[1], int(arguments[2])
    # Threads started from here on inherit the blocked signal; the control lane lets it in when it waits.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with(parent)
    faulthandler.disable()
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("500")
    threading.excepthook = _thread_failed
    try:
        _serve(descriptor, sandbox_mode, arguments[3])
    except BaseException:
        traceback.print_exc()
        os._exit(70)
    os._exit(0)


def _serve(descriptor: int, sandbox_mode: str, base_path: str) -> None:
    from kuzu_node.worker import imports, sandbox

    support = sandbox.probe()
    address_space = sandbox.AddressSpace()
    sandbox.forbid_core_dumps()
    if sandbox_mode != "off":
        try:
            sandbox.restrict_to_installation(base_path)
        except sandbox.SandboxUnavailable:
            if sandbox_mode == "required":
                raise
    imports.hide_absent()
    # Only now: the imports read files and start threads, which the first layer must already bind.
    from kuzu_node.core.frames import FrameKind
    from kuzu_node.core.messages import Hello, encode
    from kuzu_node.worker import warmup
    from kuzu_node.worker.channel import Channel
    from kuzu_node.worker.control import Control

    engine_version, storage_version = warmup.warm_up(Path(base_path))
    channel = Channel(socket.socket(fileno=descriptor))
    hello = Hello(engine_version, storage_version, support.landlock_abi, support.seccomp)
    # The node may be gone by now, as the control lane will find out.
    with contextlib.suppress(EOFError):
        channel.send(FrameKind.ANSWER, 0, encode(hello))
    Control(channel, address_space).serve()


def _die_with(parent: int) -> None:
    """Asks for SIGTERM at the parent's death, and ends now when that has already come."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0 or os.getppid() != parent:
        os._exit(71)


def _thread_failed(failure: threading.ExceptHookArgs) -> None:
    """A lane that ends by an unforeseen exception takes the process along: its request must not hang."""
    traceback.print_exception(failure.exc_type, failure.exc_value, failure.exc_traceback)
    os._exit(70)


def _probe() -> None:
    import kuzu

    from kuzu_node.worker import sandbox

    support = sandbox.probe()
    found = {
        "engine_version": kuzu.version,
        "storage_version": kuzu.Database.get_storage_version(),
        "machine": support.machine,
        "landlock_abi": support.landlock_abi,
        "seccomp": support.seccomp,
    }
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()
    os._exit(0)
