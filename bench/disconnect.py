"""How soon a client that goes away gives back what it held: HTTP/1.1 (it closes), HTTP/2 (it resets its stream).

`python -m bench.disconnect [--times 30]`. Executing: a second statement waits for the database's only slot; the time
from the end of the first client to the answer of the second. Streaming: the slot is free before, so it is the time
until no connection of the engine is in use; the step that makes a table of the rows left is not interrupted.
The yardstick is 100 ms; each is also printed as a multiple of an idle `RETURN 1`.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Protocol
from urllib.parse import urlsplit

import attrs
import h2.config
import h2.connection
import h2.errors
import h2.events

from bench.client import Client, encoded, quantile, timed
from kuzu_node.demo.server import running_node

ENDLESS = (
    "UNWIND range(1, 100000) AS a UNWIND range(1, 1000) AS b UNWIND range(1, 1000) AS c RETURN sum((a + b * c) % 7)"
)
LONG = "UNWIND range(1, 1000000) AS i RETURN i, i * 2 AS twice, i * 0.5 AS half, 'row' AS name"
ONE = encoded("RETURN 1 AS one", None)
NAME = "g"
PATH = f"/databases/{NAME}/query"


class Leaver(Protocol):
    """A client that asks for something and goes away; `close` cleans up behind it."""

    def ask(self, cypher: str) -> None: ...
    def wait_rows(self) -> None: ...
    def leave(self) -> None: ...
    def close(self) -> None: ...


class Http1:
    def __init__(self, address: tuple[str, int]) -> None:
        self._connection = http.client.HTTPConnection(*address)

    def ask(self, cypher: str) -> None:
        self._connection.request("POST", PATH, encoded(cypher, None), {"accept": "application/x-ndjson"})

    def wait_rows(self) -> None:
        # The response has the socket; it is closed by shutdown, which the node sees like any other end.
        self._socket = self._connection.sock
        self._connection.sock.recv(1 << 16)

    def leave(self) -> None:
        self._connection.sock.shutdown(socket.SHUT_RDWR)
        self._connection.sock.close()

    def close(self) -> None:
        self._connection.close()


@attrs.define
class Http2:
    _socket: socket.socket
    _connection: h2.connection.H2Connection

    @classmethod
    def connect(cls, address: tuple[str, int]) -> Http2:
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        connection.initiate_connection()
        found = cls(socket.create_connection(address), connection)
        found._flush()
        return found

    def ask(self, cypher: str) -> None:
        body = encoded(cypher, None)
        head = {
            ":method": "POST",
            ":scheme": "http",
            ":authority": "x",
            ":path": PATH,
            "accept": "application/x-ndjson",
        }
        self._connection.send_headers(1, [*head.items(), ("content-length", str(len(body)))])
        self._connection.send_data(1, body, end_stream=True)
        self._flush()

    def wait_rows(self) -> None:
        while True:
            events = self._connection.receive_data(self._socket.recv(1 << 16))
            self._flush()
            if any(isinstance(event, h2.events.DataReceived) for event in events):
                return

    def leave(self) -> None:
        self._connection.reset_stream(1, h2.errors.ErrorCodes.CANCEL)
        self._flush()

    def close(self) -> None:
        self._socket.close()

    def _flush(self) -> None:
        self._socket.sendall(self._connection.data_to_send())


def info(client: Client, path: str, *keys: str) -> int:
    found = json.loads(client.get(path))
    for key in keys:
        found = found[key]
    return int(found)


def until(reached: Callable[[], bool]) -> None:
    while not reached():
        pass


def executing(leaver: Leaver, url: str, watcher: Client) -> float:
    """Milliseconds until a statement that waits for the slot is answered."""
    leaver.ask(ENDLESS)
    until(lambda: info(watcher, "/admin/connections", "active_connections") == 1)
    answered: list[float] = []

    def wait_for_slot() -> None:
        client = Client(url, NAME)
        client.raw_query(ONE)
        answered.append(time.perf_counter())
        client.close()

    second = threading.Thread(target=wait_for_slot)
    second.start()
    until(lambda: info(watcher, "/info", "queue_depth") == 1)
    left = time.perf_counter()
    leaver.leave()
    second.join()
    return (answered[0] - left) * 1000


def streaming(leaver: Leaver, url: str, watcher: Client) -> float:
    """Milliseconds until no connection of the engine is in use, within the time of a request."""
    leaver.ask(LONG)
    leaver.wait_rows()
    left = time.perf_counter()
    leaver.leave()
    until(lambda: info(watcher, "/admin/connections", "active_connections") == 0)
    return (time.perf_counter() - left) * 1000


def measure(url: str, times: int) -> None:
    watcher = Client(url, NAME)
    watcher.create("CREATE NODE TABLE P(id INT64, PRIMARY KEY(id))")
    timed(watcher, [ONE] * 200)
    idle = quantile(timed(watcher, [ONE] * 500), 0.5)
    print(f"RETURN 1, idle: {idle:.2f} ms", flush=True)
    parts = urlsplit(url)
    address = (str(parts.hostname), int(parts.port or 0))
    kinds: dict[str, Callable[[tuple[str, int]], Leaver]] = {"HTTP/1.1": Http1, "HTTP/2": Http2.connect}
    for name, connect in kinds.items():
        for moment in (executing, streaming):
            found = []
            for _ in range(times):
                leaver = connect(address)
                found.append(moment(leaver, url, watcher))
                leaver.close()
            found.sort()
            median, p99 = quantile(found, 0.5), quantile(found, 0.99)
            print(
                f"{name:8} {moment.__name__:9}  median {median:6.1f} ms (x{median / idle:5.1f})"
                f"   p99 {p99:6.1f} ms (x{p99 / idle:5.1f})   longest {found[-1]:6.1f} ms",
                flush=True,
            )
    watcher.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=30)
    options = parser.parse_args()
    os.environ["KUZU_MAX_CONNECTIONS_PER_DB"] = "1"
    with tempfile.TemporaryDirectory() as folder, running_node(folder) as node:
        measure(node.url, options.times)


if __name__ == "__main__":
    main()
