"""A blocking keep-alive HTTP/1.1 client, as thin as it gets: what is measured is the node."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from typing import Any


class Client:
    """One connection to a node. `query` raises RuntimeError with the node's own words."""

    def __init__(self, url: str, database: str) -> None:
        self._connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=600)
        self._path = f"/databases/{database}"
        self._database = database

    def create(self, ddl: str) -> None:
        body = {"graph_id": self._database, "schema_type": "custom", "custom_schema_ddl": ddl}
        self._checked("POST", "/databases", json.dumps(body).encode(), "application/json")

    def query(self, cypher: str, parameters: dict[str, Any] | None = None) -> Any:
        return json.loads(self.raw_query(encoded(cypher, parameters)))

    def raw_query(self, body: bytes) -> bytes:
        """The answer to a body made by `encoded`."""
        return self._checked("POST", f"{self._path}/query", body, "application/json")

    def load(self, table: str, content: bytes, kind: str = "application/vnd.apache.parquet") -> Any:
        return json.loads(self._checked("PUT", f"{self._path}/tables/{table}/rows", content, kind))

    def get(self, path: str) -> bytes:
        return self._checked("GET", path, b"", "application/json")

    def stream(self, cypher: str, accept: str, chunk: int = 1 << 20) -> Iterator[bytes]:
        """The body as it comes."""
        headers = {"content-type": "application/json", "accept": accept}
        self._connection.request("POST", f"{self._path}/query", encoded(cypher, None), headers)
        response = self._connection.getresponse()
        if response.status != 200:
            raise RuntimeError(response.read().decode())
        while part := response.read1(chunk):
            yield part

    def _checked(self, method: str, path: str, body: bytes, kind: str) -> bytes:
        self._connection.request(method, path, body, {"content-type": kind})
        response = self._connection.getresponse()
        content = response.read()
        if response.status >= 400:
            raise RuntimeError(f"{response.status} {content.decode()}")
        return content

    def close(self) -> None:
        self._connection.close()


def encoded(cypher: str, parameters: dict[str, Any] | None) -> bytes:
    return json.dumps({"cypher": cypher, "parameters": parameters or {}}).encode()


def timed(client: Client, bodies: list[bytes]) -> list[float]:
    """Milliseconds of each request, one after the other, sorted."""
    found = []
    for body in bodies:
        started = time.perf_counter()
        client.raw_query(body)
        found.append((time.perf_counter() - started) * 1000)
    return sorted(found)


def quantile(values: list[float], share: float) -> float:
    """Of sorted values, by nearest rank."""
    return values[min(len(values) - 1, int(share * len(values)))]
