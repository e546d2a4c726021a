"""Turns a result of the engine into the bytes of an answer's body. Called by lanes; plain blocking code.

There are two ways to the same text. Rows are fetched one by one and written by msgspec: at once there, and right for
the types of `routes.PLAIN`. Arrow fetches what is left in one call, and `text` writes whole columns: several times
faster, and the only way that knows every type. Long results begin with rows and go on with Arrow.
"""

from __future__ import annotations

from collections.abc import Iterator

import kuzu

from kuzu_node.worker.encode import blocks, bodies, ipc, table
from kuzu_node.worker.encode.bodies import Envelope, Piece
from kuzu_node.worker.encode.routes import is_unsound

__all__ = ["FORMS", "Envelope", "Piece", "columns", "encode", "encode_values", "is_unsound"]

FORMS = ("json", "ndjson", "jsonl", "arrow", "csv", "session", "session_arrow")


def columns(result: kuzu.QueryResult) -> list[str]:
    """The names of the columns; the engine refuses a name that comes twice."""
    names: list[str] = result.get_column_names()
    return names


def encode(result: kuzu.QueryResult, form: str, envelope: Envelope) -> Iterator[Piece]:
    """The body in pieces of about 128 KiB, the first one early; the result must not have been read.

    Raises RuntimeError when the engine fails to hand a value out, ValueError for an unknown form.
    """
    if form == "json":
        return bodies.json_body(blocks.json_blocks(result, b",", envelope.unsound), result, envelope)
    if form == "ndjson":
        return bodies.ndjson_body(blocks.json_blocks(result, b",", envelope.unsound), result, envelope)
    if form == "jsonl":
        return bodies.line_body(b"", blocks.json_blocks(result, b"\n", envelope.unsound), result.get_num_tuples())
    if form == "csv":
        return bodies.line_body(
            table.header(columns(result)), table.csv_blocks(result, envelope.unsound), result.get_num_tuples()
        )
    if form == "arrow":
        return ipc.arrow_body(result, envelope.unsound)
    if form == "session":
        rows = blocks.json_blocks(result, b",", envelope.unsound)
        return bodies.session_body(rows, result.get_num_tuples(), envelope.chunk_size)
    if form == "session_arrow":
        return ipc.session_arrow_body(result, envelope.unsound)
    raise ValueError(f"unknown form {form!r}")


def encode_values(result: kuzu.QueryResult, *, unsound: bool = False) -> bytes:
    """`"columns":[..],"data":[..],"row_count":N`, to be put between braces."""
    return bodies.json_values(blocks.json_blocks(result, b",", unsound), result)
