"""The worker's main thread: it opens the database, adds lanes, interrupts, checkpoints and closes."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import kuzu

from kuzu_node.core.frames import Frame, FrameKind
from kuzu_node.core.messages import (
    AddLane,
    Assign,
    Assigned,
    Checkpoint,
    Close,
    Commit,
    Committed,
    Failed,
    Memory,
    Rollback,
    decode_call,
    encode,
)
from kuzu_node.worker import engine, failures, sandbox
from kuzu_node.worker.channel import Channel
from kuzu_node.worker.facts import Facts
from kuzu_node.worker.lane import Lane
from kuzu_node.worker.storing import Storing

# One interrupt within a millisecond of the statement's start is lost half of the time, so it is repeated.
INTERRUPT_EVERY = 0.025
INTERRUPT_TRIES = 40
# Address space for results, encoders and threads beside what the engine reserves.
_ADDRESS_SPACE_SPARE = 2 << 30


class Control:
    """Serves the control lane until the node closes it. SIGTERM is let in only while nothing is under way."""

    def __init__(self, channel: Channel, address_space: sandbox.AddressSpace) -> None:
        self._channel = channel
        self._address_space = address_space
        self._facts = Facts()
        self._storing: Storing | None = None
        self._database: kuzu.Database | None = None
        self._connection: kuzu.Connection | None = None
        self._order: Assign | None = None
        self._owner = -1
        self._lanes: dict[int, Lane] = {}
        # Request id -> how often it may still be looked for in vain.
        self._interrupts: dict[int, int] = {}

    def serve(self) -> None:
        """Returns when the node has asked to close or is gone."""
        with suppress(EOFError):
            while self._serve_one():
                pass

    def _serve_one(self) -> bool:
        """Whether to go on. Raises EOFError when the node is gone, which an answer may be the first to find out."""
        self._wait()
        if not self._channel.has_frame() and not self._readable():
            return True
        frame = self._channel.receive_with_descriptors()
        if frame.kind is not FrameKind.INTERRUPT:
            return self._call(frame)
        self._interrupts[frame.request_id] = INTERRUPT_TRIES
        self._repeat_interrupts()
        return True

    def _wait(self) -> None:
        """Sleeps until a frame is there or an interrupt is due; a pending SIGTERM ends the process here."""
        if self._channel.has_frame():
            return
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        try:
            timeout = INTERRUPT_EVERY if self._interrupts else None
            select.select([self._channel.fileno()], [], [], timeout)
        finally:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        self._repeat_interrupts()

    def _readable(self) -> bool:
        return bool(select.select([self._channel.fileno()], [], [], 0)[0])

    def _repeat_interrupts(self) -> None:
        """A request that is not under way may have ended, or not have been read by its lane yet."""
        for request_id, tries in list(self._interrupts.items()):
            if any(lane.interrupt(request_id) for lane in self._lanes.values()):
                self._interrupts[request_id] = INTERRUPT_TRIES
            elif tries:
                self._interrupts[request_id] = tries - 1
            else:
                del self._interrupts[request_id]

    def _call(self, frame: Frame) -> bool:
        """Answers one call; False when it was `Close`."""
        order = decode_call(frame.payload)
        if isinstance(order, Close):
            self._channel.send(FrameKind.ANSWER, frame.request_id)
            return False
        try:
            answer = self._carry_out(order)
        except (RuntimeError, OSError, sandbox.SandboxUnavailable) as error:
            detail = str(error)
            failed = Failed(failures.classify(detail).code, detail, None)
            self._channel.send(FrameKind.ERROR, frame.request_id, encode(failed))
        else:
            self._channel.send(FrameKind.ANSWER, frame.request_id, encode(answer))
        return True

    def _carry_out(self, order: Any) -> Any:
        actions: dict[type, Callable[[], Any]] = {
            Assign: lambda: self._assign(order),
            AddLane: lambda: self._add_lane(order.lane, self._channel.take_descriptor()),
            Checkpoint: self._checkpoint,
            Commit: lambda: self._commit(order.lane),
            Rollback: lambda: self._roll_back(order.lane),
            Memory: self._memory,
        }
        return actions[type(order)]()

    def _assign(self, order: Assign) -> Assigned:
        confined = self._confine(order)
        self._order = order
        self._owner = _own(order.owner)
        self._database = engine.open_database(order)
        self._connection = engine.connect(self._database, order.threads)
        self._storing = Storing(self._facts, order.directory)
        return Assigned(self._facts.refresh(self._connection), confined, engine.indexes(self._connection))

    def _confine(self, order: Assign) -> bool:
        if order.sandbox == "off":
            return False
        try:
            sandbox.restrict_to_directory(order.directory)
            sandbox.forbid_system_calls()
            self._address_space.limit(order.max_db_size + order.pool_size + _ADDRESS_SPACE_SPARE)
        except sandbox.SandboxUnavailable:
            if order.sandbox == "required":
                raise
            return False
        return True

    def _add_lane(self, number: int, descriptor: int) -> None:
        assert self._database is not None
        assert self._order is not None
        channel = Channel(socket.socket(fileno=descriptor))
        order = self._order
        lane = Lane(channel, self._database, self._facts, threads=order.threads, max_threads=order.max_threads)
        self._lanes[number] = lane
        lane.start()

    def _checkpoint(self) -> float:
        """Milliseconds the CHECKPOINT took."""
        assert self._connection is not None
        assert self._storing is not None
        started = time.perf_counter()
        self._storing.checkpoint(self._connection)
        return (time.perf_counter() - started) * 1000

    def _commit(self, number: int) -> Committed:
        """COMMIT checkpoints by itself; the CHECKPOINT behind it is the proof that the rows are durable.

        Raises RuntimeError when either fails: the node then goes back to the files that it has set aside.
        """
        assert self._connection is not None
        assert self._storing is not None
        self._storing.commit(self._lanes[number].connection, self._connection)
        return Committed(self._facts.refresh(self._connection))

    def _memory(self) -> float:
        assert self._connection is not None
        return float(engine.rows(self._connection, "CALL bm_info() RETURN mem_usage")[0][0])

    def _roll_back(self, number: int) -> None:
        try:
            engine.run(self._lanes[number].connection, "ROLLBACK").close()
        except RuntimeError as error:
            # A statement that failed or was interrupted has ended its transaction itself.
            if failures.classify(str(error)).code != failures.NO_TRANSACTION:
                raise


def _own(path: str) -> int:
    """The lock that says who has the files, held until the process ends. Raises BlockingIOError when another has."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return descriptor
