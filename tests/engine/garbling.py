"""Workers that send garbage: one written by hand, and the real one with a damaged voice."""

from __future__ import annotations

from pathlib import Path

ROOT = str(Path(__file__).parents[2])

# What a worker may do in the place of an answer; the others are bytes.
HALF, SILENT, CLOSED = "half", "silent", "closed"

_FAKE = """
import signal, socket, sys
sys.path.insert(0, {root!r})
from kuzu_node.core.frames import FrameKind, pack_header
from kuzu_node.core.messages import Assigned, Committed, Hello, decode_call, encode
from kuzu_node.worker.channel import Channel

sock = socket.socket(fileno=int(sys.argv[1]))
channel = Channel(sock)

def answer(order, request_id, message):
    if order != {moment!r}:
        channel.send(FrameKind.ANSWER, request_id, encode(message))
        return
    garbage = {garbage!r}
    if garbage == "half":
        sock.sendall(pack_header(FrameKind.ANSWER, request_id, 100) + bytes(10))
    elif garbage == "closed":
        sock.close()
    elif garbage != "silent":
        sock.sendall(garbage)
    while True:
        signal.pause()

answer("Hello", 0, Hello("", 0, 0, False))
answers = {{
    "Assign": Assigned({{}}, False, []), "AddLane": None, "Checkpoint": 1.0, "Commit": Committed({{}}), "Memory": 1.0,
}}
while True:
    frame = channel.receive_with_descriptors()
    order = type(decode_call(frame.payload)).__name__
    answer(order, frame.request_id, answers[order])
"""

_DAMAGED = """
import os, sys
sys.path.insert(0, {root!r})
from kuzu_node.core.frames import FrameKind
from kuzu_node.core.messages import decode_call
from kuzu_node.worker.channel import Channel
from kuzu_node.worker.main import main

send, receive, heard = Channel.send, Channel.receive_with_descriptors, ["Hello"]

def garble(self, kind, request_id, *parts, **options):
    if {moment!r} != (heard[-1] if kind is FrameKind.ANSWER else kind.name):
        send(self, kind, request_id, *parts, **options)
    elif {instead!r}:
        send(self, FrameKind[{instead!r}], request_id, *parts, **options)
    else:
        self._socket.sendall(b"free(): invalid next size (fast)")

def listen(self):
    frame = receive(self)
    if frame.kind is FrameKind.CALL:
        heard.append(type(decode_call(frame.payload)).__name__)
    return frame

try:
    os.unlink({token!r})
except FileNotFoundError:
    pass
else:
    Channel.send, Channel.receive_with_descriptors = garble, listen
main(sys.argv[1:])
"""


def fake(moment: str, garbage: bytes | str) -> str:
    """The program of a worker without an engine. It answers as it should until the moment, and lives on after it."""
    return _FAKE.format(root=ROOT, moment=moment, garbage=garbage)


def damaged(moment: str, token: Path, instead: str | None = None) -> str:
    """The program of a real worker. Whoever finds the token, which is gone then, garbles what it says at the moment.

    `instead`: not noise, but the same as another kind of frame.
    """
    token.touch()
    return _DAMAGED.format(root=ROOT, moment=moment, token=str(token), instead=instead or "")
