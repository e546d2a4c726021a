"""The system-call filter and the limits against a real process."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from kuzu_node.worker import sandbox
from kuzu_node.worker.sandbox import calls
from tests.worker.sandbox.confined import ROOT, run_confined

pytestmark = pytest.mark.skipif(not sandbox.probe().seccomp, reason="this kernel has no system-call filters")


def test_probe_changes_nothing() -> None:
    support = sandbox.probe()
    assert support == sandbox.probe()
    assert support.machine == platform.machine()
    assert support.complete == (support.landlock_abi > 0 and support.seccomp)
    with socket.socket():
        assert Path("/proc/self/status").read_text().count("NoNewPrivs:\t0") == 1


def test_network_programs_and_processes_are_refused(tmp_path: Path) -> None:
    outcomes = run_confined(
        tmp_path,
        """
        attempt("tcp", lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        attempt("udp", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        attempt("unix", lambda: socket.socket(socket.AF_UNIX))
        attempt("pair", lambda: socket.socketpair())
        attempt("exec", lambda: os.execv("/bin/true", ["true"]))
        attempt("spawn", lambda: subprocess.run([sys.executable, "-V"], check=True))
        attempt("fork", lambda: os.fork() or os._exit(0))
        attempt("kill", lambda: os.kill(os.getppid(), 0))
        attempt("pidfd", lambda: os.pidfd_open(os.getppid()))
        """,
        first=False,
        second=False,
    )
    assert set(outcomes.values()) == {"PermissionError 1"}, outcomes


def test_every_call_of_the_table_is_refused(tmp_path: Path) -> None:
    column = {"x86_64": 0, "aarch64": 1}[platform.machine()]
    numbers = {name: row[column] for name, row in calls.REFUSED.items() if row[column] is not None}
    outcomes = run_confined(
        tmp_path,
        f"""
        for name, number in {numbers!r}.items():
            attempt(name, lambda: raw(number, -1, -1, -1, -1, -1, -1))
        """,
    )
    assert len(outcomes) == len(numbers)
    assert set(outcomes.values()) == {"PermissionError 1"}, outcomes


def test_table_agrees_with_the_kernel_headers() -> None:
    header = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
    if not header.exists():
        pytest.skip("no kernel headers here")
    known = {}
    for line in header.read_text().splitlines():
        words = line.split()
        if len(words) == 3 and words[1].startswith("__NR_"):
            known[words[1].removeprefix("__NR_")] = int(words[2])
    ours = {name: row[0] for name, row in calls.REFUSED.items() if name in known}
    assert len(ours) > 90
    assert ours == {name: known[name] for name in ours}


def test_threads_memory_and_given_sockets_still_work(tmp_path: Path) -> None:
    outcomes = run_confined(
        tmp_path,
        """
        def in_threads():
            results = []
            threads = [threading.Thread(target=results.append, args=(n,)) for n in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            return str(len(results))
        attempt("threads", in_threads)
        attempt("engine", lambda: connect().execute("UNWIND range(1, 100000) AS x RETURN sum(x)").get_next()[0])
        attempt("mapping", lambda: __import__("mmap").mmap(-1, 1 << 24).close())
        attempt("abort is its own affair", lambda: os.kill(os.getpid(), 0))
        """,
    )
    assert outcomes == {"threads": "8", "engine": "5000050000", "mapping": "done", "abort is its own affair": "done"}


def test_descriptors_arrive_after_the_filter() -> None:
    ours, theirs = socket.socketpair()
    lane, lane_of_worker = socket.socketpair()
    code = f"""
import socket, sys
sys.path.insert(0, {str(ROOT)!r})
control = socket.socket(fileno={theirs.fileno()})
from kuzu_node.worker import sandbox
sandbox.forbid_system_calls()
control.sendall(b"ready")
_, descriptors, _, _ = socket.recv_fds(control, 16, 4)
lane = socket.socket(fileno=descriptors[0])
lane.sendmsg([b"hello ", lane.recv(16)])
"""
    with ours, theirs, lane, lane_of_worker:
        child = subprocess.Popen([sys.executable, "-c", code], pass_fds=[theirs.fileno()])
        theirs.close()
        ours.settimeout(20)
        lane.settimeout(20)
        assert ours.recv(16) == b"ready"
        socket.send_fds(ours, [b"lane"], [lane_of_worker.fileno()])
        lane.sendall(b"lane")
        assert lane.recv(64) == b"hello lane"
        assert child.wait(20) == 0


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler to make a library with")
def test_library_in_the_own_folder_cannot_be_loaded(tmp_path: Path) -> None:
    own = tmp_path / "mine"
    own.mkdir()
    source = tmp_path / "evil.c"
    source.write_text('#include <stdio.h>\n__attribute__((constructor)) void run(void) { puts("ran"); }\n')
    subprocess.run(["cc", "-shared", "-fPIC", "-o", own / "evil.so", source], check=True)
    outcomes = run_confined(
        tmp_path,
        """
        attempt("control", lambda: str(len(open(f"{own}/evil.so", "rb").read()) > 1000))
        attempt("dlopen", lambda: ctypes.CDLL(f"{own}/evil.so"))
        attempt("extension", lambda: connect().execute(f"LOAD EXTENSION '{own}/evil.so'"))
        """,
    )
    assert outcomes["control"] == "True"
    assert "failed to map" in outcomes["dlopen"] or "ermission" in outcomes["dlopen"], outcomes
    assert "done" not in outcomes["extension"], outcomes


def test_executable_pages_are_refused(tmp_path: Path) -> None:
    outcomes = run_confined(
        tmp_path,
        """
        import mmap
        attempt("map", lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC))
        page = mmap.mmap(-1, 4096)
        address = ctypes.addressof(ctypes.c_char.from_buffer(page))
        libc = ctypes.CDLL(None, use_errno=True)
        attempt("protect", lambda: str(libc.mprotect(ctypes.c_void_p(address), 4096, mmap.PROT_READ | mmap.PROT_EXEC)))
        """,
    )
    assert outcomes == {"map": "PermissionError 1", "protect": "-1"}


def test_address_space_is_bounded_above_what_is_used(tmp_path: Path) -> None:
    outcomes = run_confined(
        tmp_path,
        """
        import resource
        before = space.used()
        space.limit(256 << 20)
        attempt("small", lambda: bytearray(64 << 20) and None)
        attempt("large", lambda: bytearray(512 << 20) and None)
        attempt("limit", lambda: str(abs(resource.getrlimit(resource.RLIMIT_AS)[1] - before - (256 << 20)) < 1 << 20))
        space.limit(1 << 40)
        attempt("never raised", lambda: str(resource.getrlimit(resource.RLIMIT_AS)[1] < before + (257 << 20)))
        """,
    )
    assert outcomes == {"small": "done", "large": "MemoryError ", "limit": "True", "never raised": "True"}


def test_crash_leaves_no_core(tmp_path: Path) -> None:
    code = f"import os, sys; sys.path.insert(0, {str(ROOT)!r})\nfrom kuzu_node.worker import sandbox\n"
    code += "sandbox.forbid_core_dumps(); sandbox.forbid_system_calls(); os.abort()"
    ended = subprocess.run([sys.executable, "-X", "faulthandler=0", "-c", code], cwd=tmp_path, timeout=20)
    assert ended.returncode == -6
    assert os.listdir(tmp_path) == []
