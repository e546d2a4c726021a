"""How long a database is away when its worker is killed, by the size of the log that has to be replayed.

`python -m bench.recovery`: the promise is a second plus 0.1 s for each MB of log.
"""

from __future__ import annotations

import os
import signal
import tempfile
import time
from pathlib import Path

import psutil

from bench.client import Client
from bench.leaks import worker_of
from kuzu_node.demo.server import RunningNode, running_node

DDL = "CREATE NODE TABLE P(id INT64, s STRING, PRIMARY KEY(id))"
MB = 1024 * 1024
SIZES_MB = (0, 5, 10, 20, 40)


def grow_log(client: Client, log: Path, size_mb: int) -> None:
    """Writes until the log is that long."""
    text = "UNWIND range($first, $last) AS x CREATE (:P {id: x, s: 'a text of some forty characters, like notes'})"
    first = 0
    while log.exists() and log.stat().st_size < size_mb * MB:
        client.query(text, {"first": first, "last": first + 4999})
        first += 5000


def away_for(node: RunningNode, client: Client) -> float:
    """Seconds from the kill to the first answer."""
    os.kill(worker_of(psutil.Process(node.process.pid)).pid, signal.SIGKILL)
    started = time.perf_counter()
    while True:
        try:
            client.query("RETURN 1 AS one")
        except RuntimeError:
            continue
        return time.perf_counter() - started


def measure(size_mb: int) -> None:
    """A node of its own, so that there is one worker with a database."""
    with tempfile.TemporaryDirectory() as folder, running_node(folder) as node:
        client = Client(node.url, "g")
        client.create(DDL)
        client.query("CREATE (:P {id: -1, s: ''})")
        log = Path(folder) / "g" / "graph.kuzu.wal"
        grow_log(client, log, size_mb)
        real = log.stat().st_size / MB
        print(f"{real:6.1f} MB of log: {away_for(node, client):5.2f} s (promised {1 + 0.1 * real:.1f})", flush=True)
        client.close()


def main() -> None:
    # The log is to grow: by default a checkpoint is due at 16 MB.
    os.environ["KUZU_CHECKPOINT_WAL_MB"] = "64"
    for size_mb in SIZES_MB:
        measure(size_mb)


if __name__ == "__main__":
    main()
