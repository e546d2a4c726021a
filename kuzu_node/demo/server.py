"""A node of the demo's own: a process on a free port, over a folder that goes with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import attrs

STOP_SECONDS = 60


class NotStarted(Exception):
    """The node has said why, on its output."""


@attrs.frozen
class RunningNode:
    url: str
    process: subprocess.Popen[str]


@contextmanager
def running_node(folder: str) -> Iterator[RunningNode]:
    """Stops the node at the end of the block, by SIGTERM. Raises NotStarted with what it said."""
    process = subprocess.Popen(
        [sys.executable, "-m", "kuzu_node", "--base-path", folder, "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "KUZU_LOG_FORMAT": "json", "LOG_LEVEL": "INFO"},
    )
    try:
        yield RunningNode(_url(process), process)
    finally:
        process.terminate()
        # Whatever is still written must not fill the pipe, or the node would wait for us.
        process.communicate(timeout=STOP_SECONDS)


def _url(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        event = json.loads(line)
        if event["event"] == "listening":
            return f"http://{event['addresses'][0]}"
    raise NotStarted("".join(said))
