"""Worker processes as the node sees them: started, asked over the control lane, interrupted, killed, reaped."""

from __future__ import annotations

import math
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import attrs
import structlog
import trio

from kuzu_node.core import messages
from kuzu_node.core.frames import MAX_PAYLOAD, Decoder, Frame, FrameError, FrameKind, pack_header
from kuzu_node.core.messages import AddLane, Assign, Call, Checkpoint, Close, Commit, Failed, Hello

SEND_BUFFER = 4 * 1024 * 1024
_READ = 64 * 1024
_READ_STREAM = 256 * 1024
_ENVIRONMENT = {"ARROW_DEFAULT_MEMORY_POOL": "system", "POLARS_MAX_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
_PACKAGE_ROOT = str(Path(__file__).resolve().parents[2])
_START = (
    f"import sys; sys.path.insert(0, {_PACKAGE_ROOT!r}); from kuzu_node.worker.main import main; main(sys.argv[1:])"
)
START_SECONDS = 60.0
CLOSE_SECONDS = 2.0
# A worker that keeps silent for so long, where nothing has to be read or written, has come to harm.
ANSWER_SECONDS = 60.0
# So does one that has begun to answer and stops half-way.
REST_SECONDS = 10.0
_ON_FILES = (Assign, Checkpoint, Commit)
# Of answers on the control lane; the longest hold the key types of all tables.
_LONGEST_ANSWER = 4 * 1024 * 1024
_LOOK_EVERY = 0.05

T = TypeVar("T")

log = structlog.get_logger()


class WorkerDied(Exception):
    """The process has ended. `status` as of subprocess: negative is the number of the signal."""

    def __init__(self, status: int) -> None:
        super().__init__(describe_status(status))
        self.status = status


class CallFailed(Exception):
    """The worker answered a call of the control lane with an error."""

    def __init__(self, failed: Failed) -> None:
        super().__init__(failed.detail)
        self.failed = failed


def describe_status(status: int) -> str:
    """An exit status for a person."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"signal {signal.Signals(-status).name}"
    except ValueError:
        return f"signal {-status}"


class FrameSocket:
    """Frames over the node's end of a socketpair. Raises EOFError when either end is closed, FrameError at garbage."""

    def __init__(self, sock: socket.socket, longest: int = MAX_PAYLOAD) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._decoder = Decoder(longest)
        self._frames: list[Frame] = []

    async def send(self, kind: FrameKind, request_id: int, payload: bytes) -> None:
        """One frame. Not cancelled half-way: a frame cut short would spoil the socket.

        Raises TooSlowError when the worker does not read.
        """
        data = pack_header(kind, request_id, len(payload)) + payload
        sent = self._send_nowait(data)
        if sent < len(data):
            with trio.CancelScope(shield=True), trio.fail_after(ANSWER_SECONDS):
                view = memoryview(data)
                while sent < len(data):
                    await self._wait(trio.lowlevel.wait_writable)
                    sent += self._send_nowait(view[sent:])

    def send_nowait(self, kind: FrameKind, request_id: int) -> None:
        """A frame without payload; dropped when the worker has left 4 MiB unread."""
        self._send_nowait(pack_header(kind, request_id, 0))

    def _send_nowait(self, data: bytes | memoryview) -> int:
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise EOFError from error

    async def wait_begun(self) -> None:
        """Until something of the next frame, or the end, is there."""
        if not self._frames:
            await self._wait(trio.lowlevel.wait_readable)

    async def receive(self, *, streaming: bool = False) -> Frame:
        """The next frame. Cancelling loses nothing."""
        while not self._frames:
            await self._wait(trio.lowlevel.wait_readable)
            try:
                data = self._socket.recv(_READ_STREAM if streaming else _READ)
            except BlockingIOError:
                continue
            except OSError as error:
                raise EOFError from error
            if not data:
                raise EOFError
            self._frames = self._decoder.feed(data)
        return self._frames.pop(0)

    async def _wait(self, ready: Callable[[socket.socket], Awaitable[None]]) -> None:
        """The supervisor closes a dead worker's lanes while requests may still read what it has left in them."""
        if self._socket.fileno() < 0:
            raise EOFError
        try:
            await ready(self._socket)
        except trio.ClosedResourceError:
            raise EOFError from None

    def close(self) -> None:
        if self._socket.fileno() >= 0:
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()


@attrs.define(eq=False)
class WorkerProcess:
    """A spare, or after `call(Assign(..))` the worker of one database. `doomed`: killed or dead, as far as is known."""

    popen: subprocess.Popen[bytes]
    control: FrameSocket
    hello: Hello
    doomed: bool = False
    database: str | None = None
    _calls: trio.Lock = attrs.field(factory=trio.Lock)
    _call_id: int = 0

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def alive(self) -> bool:
        return self.popen.poll() is None

    async def call(self, order: Call, decode: Callable[[bytes], T], *, descriptor: int | None = None) -> T:
        """The answer, as `decode` reads it. One call at a time; raises CallFailed or WorkerDied.

        A call is never abandoned: cancellation comes through once the answer is there or the process is gone.
        """
        async with self._calls:
            self._call_id += 1
            with trio.CancelScope(shield=True):
                try:
                    answer = _said(await self._exchange(order, descriptor), self._call_id, decode)
                except EOFError:
                    raise await self.gone() from None
                except (FrameError, trio.TooSlowError) as error:
                    raise await self.distrust(error) from error
        return answer

    async def _exchange(self, order: Call, descriptor: int | None) -> Frame:
        if descriptor is None:
            await self.control.send(FrameKind.CALL, self._call_id, messages.encode(order))
        else:
            self._send_with_descriptor(messages.encode(order), descriptor)
        with trio.fail_after(math.inf if isinstance(order, _ON_FILES) else ANSWER_SECONDS):
            await self.control.wait_begun()
        with trio.fail_after(REST_SECONDS):
            return await self.control.receive()

    def _send_with_descriptor(self, payload: bytes, descriptor: int) -> None:
        data = pack_header(FrameKind.CALL, self._call_id, len(payload)) + payload
        try:
            sent = socket.send_fds(self.control._socket, [data], [descriptor])
        except OSError as error:
            raise EOFError from error
        if sent != len(data):
            raise EOFError

    async def add_lane(self, number: int) -> FrameSocket:
        """A new lane's socket."""
        ours, theirs = _socketpair()
        try:
            await self.call(AddLane(number), messages.decode_nothing, descriptor=theirs.fileno())
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return FrameSocket(ours)

    def interrupt(self, request_id: int) -> None:
        """The worker repeats it until the request has ended."""
        try:
            self.control.send_nowait(FrameKind.INTERRUPT, request_id)
        except EOFError:
            # The process is gone, and with it the request.
            return

    def kill(self) -> None:
        self.doomed = True
        if self.alive:
            self.popen.send_signal(signal.SIGKILL)

    async def distrust(self, error: Exception) -> WorkerDied:
        """Ends a worker that says what nobody can read, or nothing. What its users are told, for `raise`."""
        if not self.doomed:
            reason = str(error) or "it does not answer"
            log.warning("worker_killed", database=self.database, pid=self.pid, reason=reason)
        self.kill()
        return WorkerDied(await self.reap())

    async def gone(self) -> WorkerDied:
        """The same after an end of data. Usually it has ended; one that has closed a socket and lives is killed."""
        with trio.move_on_after(CLOSE_SECONDS):
            return WorkerDied(await self.reap())
        return await self.distrust(FrameError("it has closed its socket and goes on"))

    async def reap(self) -> int:
        """Waits for the end of the process; its exit status."""
        if self.popen.poll() is None:
            try:
                descriptor = os.pidfd_open(self.popen.pid)
            except OSError:
                # No descriptor is left, perhaps for many clients: the end of a worker has to be seen all the same.
                while self.popen.poll() is None:  # noqa: ASYNC110  the kernel has no event for it but a descriptor
                    await trio.sleep(_LOOK_EVERY)
                return await self.reap()
            try:
                await trio.lowlevel.wait_readable(descriptor)
            finally:
                os.close(descriptor)
        self.doomed = True
        return self.popen.wait()

    async def close(self) -> None:
        """Asks, and after CLOSE_SECONDS kills. Nothing is checkpointed. Shielded; returns when it is reaped."""
        with trio.CancelScope(shield=True):
            with trio.move_on_after(CLOSE_SECONDS) as scope:
                if self.alive:
                    await self._ask_to_close()
                await self.reap()
            if scope.cancelled_caught:
                self.kill()
                await self.reap()
        self.control.close()

    async def _ask_to_close(self) -> None:
        try:
            await self.control.send(FrameKind.CALL, 0, messages.encode(Close()))
        except (EOFError, trio.TooSlowError):
            # Ended, or to be killed.
            return


def _said(frame: Frame, call_id: int, decode: Callable[[bytes], T]) -> T:
    """Raises CallFailed, FrameError."""
    if frame.request_id == call_id:
        if frame.kind is FrameKind.ANSWER:
            return decode(frame.payload)
        if frame.kind is FrameKind.ERROR:
            raise CallFailed(messages.decode_failed(frame.payload))
    raise FrameError(f"{frame.kind.name} {frame.request_id} is no answer to call {call_id}")


def _socketpair() -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    for sock in (ours, theirs):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    return ours, theirs


@asynccontextmanager
async def open_process(sandbox: str, base_path: Path) -> AsyncIterator[WorkerProcess]:
    """A spare that has its imports done. Raises WorkerDied when it ends before it says so.

    Started on the loop's own thread: the parent-death signal follows the thread that forked, and pool threads end.
    """
    ours, theirs = _socketpair()
    command = [sys.executable, "-I", "-c", _START, str(theirs.fileno()), sandbox, str(os.getpid()), str(base_path)]
    popen = subprocess.Popen(  # noqa: ASYNC220  0.4 ms; trio's own would fork in a pool thread
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env=_ENVIRONMENT,
        cwd="/",
        pass_fds=(theirs.fileno(),),
        start_new_session=True,
    )
    theirs.close()
    process = WorkerProcess(popen, FrameSocket(ours, _LONGEST_ANSWER), Hello("", 0, 0, False))
    try:
        try:
            with trio.fail_after(START_SECONDS):
                frame = await process.control.receive()
            process.hello = _said(frame, 0, messages.decode_hello)
        except EOFError:
            raise await process.gone() from None
        except FrameError as error:
            raise await process.distrust(error) from error
        except BaseException:
            # It does not listen yet, and has nothing to lose.
            process.kill()
            raise
        yield process
    finally:
        await process.close()
