"""A worker process that keeps to the protocol until the stage at which its memory is damaged.

Run by `test_broken_answers` with a descriptor, the stage and the fault.
"""

from __future__ import annotations

import os
import socket
import sys
import threading

from kuzu_node.core.frames import HEADER, FrameKind, pack_header
from kuzu_node.core.messages import (
    AddLane,
    Assign,
    Assigned,
    Close,
    Commit,
    Committed,
    Ended,
    Executed,
    Memory,
    decode_call,
    encode,
)
from kuzu_node.worker.channel import Channel

FAULTS = ("kind", "id", "length", "payload", "cut", "gone")
_ROWS = b"x" * 300_000
_NO_MESSAGE = b"\xc1\xff\xc1"


class BrokenWorker:
    def __init__(self, stage: str, fault: str) -> None:
        self._stage = stage
        self._fault = fault

    def serve_control(self, channel: Channel) -> None:
        while True:
            frame = channel.receive_with_descriptors()
            order = decode_call(frame.payload) if frame.kind is FrameKind.CALL else None
            if order is None:
                continue
            if isinstance(order, AddLane):
                lane = Channel(socket.socket(fileno=channel.take_descriptor()))
                threading.Thread(target=self._serve_lane, args=(lane,), daemon=True).start()
                channel.send(FrameKind.ANSWER, frame.request_id, encode(None))
            elif isinstance(order, Assign):
                channel.send(FrameKind.ANSWER, frame.request_id, encode(Assigned({}, False, [])))
            elif isinstance(order, Memory):
                channel.send(FrameKind.ANSWER, frame.request_id, encode(0.0))
            elif isinstance(order, Commit):
                self._say("commit", channel, FrameKind.ANSWER, frame.request_id, encode(Committed({})))
            elif isinstance(order, Close):
                return
            else:
                self._say("checkpoint", channel, FrameKind.ANSWER, frame.request_id, encode(1.0))

    def _serve_lane(self, channel: Channel) -> None:
        while True:
            request_id = channel.receive().request_id
            if self._stage in {"result", "commit", "checkpoint"}:
                message = encode(Executed(["x"], 0, 1.0))
                self._say("result", channel, FrameKind.RESULT, request_id, len(message).to_bytes(4, "little") + message)
                continue
            self._say("executed", channel, FrameKind.EXECUTED, request_id, encode(Executed(["x"], 9, 1.0)))
            self._say("rows", channel, FrameKind.DATA, request_id, _ROWS)
            self._say("rows", channel, FrameKind.DATA, request_id, _ROWS)
            self._say("end", channel, FrameKind.END, request_id, encode(Ended(1.0)))
            if self._stage == "after":
                self._say("after", channel, FrameKind.END, request_id, encode(Ended(1.0)))

    def _say(self, stage: str, channel: Channel, kind: FrameKind, request_id: int, payload: bytes) -> None:
        if stage != self._stage:
            channel.send(kind, request_id, payload)
            return
        whole = pack_header(kind, request_id, len(payload)) + payload
        said = {
            "kind": HEADER.pack(len(payload), request_id, 0, 99, 0, 0) + payload,
            "id": pack_header(kind, request_id + 1, len(payload)) + payload,
            "length": HEADER.pack(0xFFFF_FFFF, request_id, 0, kind, 0, 0) + payload,
            # As the message of a RESULT it is longer than the frame.
            "payload": pack_header(kind, request_id, len(_NO_MESSAGE)) + _NO_MESSAGE,
            "cut": whole[:-1],
            "gone": b"",
        }[self._fault]
        with socket.socket(fileno=os.dup(channel.fileno())) as sock:
            sock.sendall(said)
            if self._fault in {"cut", "gone"}:
                sock.shutdown(socket.SHUT_RDWR)


def main(arguments: list[str]) -> None:
    descriptor, stage, fault = arguments
    channel = Channel(socket.socket(fileno=int(descriptor)))
    BrokenWorker(stage, fault).serve_control(channel)


if __name__ == "__main__":
    main(sys.argv[1:])
