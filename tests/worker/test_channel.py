"""Frames over a socketpair, with descriptors that come along."""

from __future__ import annotations

import os
import socket

from kuzu_node.core.frames import FrameKind, pack_header
from kuzu_node.worker.channel import Channel


def test_a_descriptor_waits_behind_frames_that_came_without_one() -> None:
    ours, theirs = socket.socketpair()
    reading, writing = os.pipe()
    with ours, theirs:
        channel = Channel(theirs)
        # As the kernel hands them over when the worker was busy: both at once.
        both = pack_header(FrameKind.INTERRUPT, 7, 0) + pack_header(FrameKind.CALL, 1, 2) + b"ab"
        socket.send_fds(ours, [both], [reading])
        assert channel.receive_with_descriptors().kind is FrameKind.INTERRUPT
        assert channel.receive_with_descriptors().payload == b"ab"
        taken = channel.take_descriptor()
        os.write(writing, b"x")
        assert os.read(taken, 1) == b"x"
        os.close(taken)
    os.close(reading)
    os.close(writing)
