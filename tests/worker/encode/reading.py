"""Decoders for what the encoders write, as a client would have them."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import kuzu
import pyarrow as pa

from kuzu_node.worker.encode import Envelope, Piece, encode


def run(connection: kuzu.Connection, text: str, parameters: dict[str, Any] | None = None) -> kuzu.QueryResult:
    result = connection.execute(text, parameters or {})
    assert isinstance(result, kuzu.QueryResult)
    return result


def pieces(result: kuzu.QueryResult, form: str, *, chunk_size: int = 1000, unsound: bool = False) -> list[Piece]:
    return list(encode(result, form, Envelope("d", 1.5, chunk_size, unsound)))


def body(result: kuzu.QueryResult, form: str, *, chunk_size: int = 1000, unsound: bool = False) -> bytes:
    return b"".join([piece.body for piece in pieces(result, form, chunk_size=chunk_size, unsound=unsound)])


def lines(text: bytes) -> list[Any]:
    assert text.endswith(b"\n") or not text
    return [json.loads(line) for line in text.split(b"\n")[:-1]]


def rows_of(connection: kuzu.Connection, text: str, form: str, *, unsound: bool = False) -> list[Any]:
    """The rows, as parsed from the JSON-like form."""
    written = body(run(connection, text), form, unsound=unsound)
    if form == "json":
        rows: list[Any] = json.loads(written)["data"]
        return rows
    if form == "jsonl":
        return lines(written)
    return [row for chunk in lines(written) for row in chunk["data"]]


def csv_rows(written: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(written.decode(), newline=""), strict=True))


def arrow_table(written: bytes) -> pa.Table:
    return pa.ipc.open_stream(written).read_all()
