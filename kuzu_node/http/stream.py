"""Sends a result that comes in pieces: start with the first piece, relay the rest, end or break.

The producer runs inside `Answer.delivery`, the watcher is the app's `Watch`, the sender is the handler's own task; all
three end together. Nothing scarce is held here.
"""

from __future__ import annotations

from typing import Final

import attrs
import msgspec

from kuzu_node.engine.values import Form, Piece
from kuzu_node.errors import NodeError
from kuzu_node.http.errors import title_of
from kuzu_node.http.ports import Answer
from kuzu_node.http.request import Request
from kuzu_node.http.response import JSON_TYPE, Header, Message, Streamed

CONTENT_TYPES: Final[dict[Form, bytes]] = {
    Form.JSON: JSON_TYPE,
    Form.NDJSON: b"application/x-ndjson",
    Form.JSONL: b"application/jsonl",
    Form.ARROW: b"application/vnd.apache.arrow.stream",
    Form.CSV: b"text/csv; charset=utf-8; header=present",
}
STREAMING: Final[Header] = (b"x-streaming", b"true")


async def deliver(request: Request, answer: Answer, form: Form) -> Streamed:
    """Send `answer` piece by piece.

    An error before the first piece is raised, so that it gets its status. After it NDJSON ends with a line that tells
    it. Every other form stops without an end, and so does NDJSON in the middle of a row: the server then breaks the
    connection, and nobody takes a part for the whole. So it goes with a reader that takes nothing for the stall time:
    the request is cancelled.
    """
    sender = _Sender(request, form)
    async with answer.delivery() as pieces:
        try:
            async for piece in pieces:
                await sender.relay(piece)
        except NodeError as error:
            if not request.started:
                raise
            if form is not Form.NDJSON or sender.within_row:
                return Streamed(200, broken=True)
            failure = sender.failure(error)
        else:
            failure = b""
    await sender.end(failure)
    return Streamed(200)


@attrs.define(eq=False)
class _Sender:
    """Keeps count of what was sent, of NDJSON also the lines: JSON text has no raw line feeds inside."""

    request: Request
    form: Form
    rows: int = 0
    lines: int = 0
    last: Piece | None = None

    @property
    def within_row(self) -> bool:
        """What was sent ends inside a row: a long part of the body in several pieces counts its rows with the last."""
        return self.last is not None and not self.last.complete and not self.last.rows

    async def relay(self, piece: Piece) -> None:
        """Send a piece, after the start when it is the first."""
        if not self.request.started:
            await self._start()
        self.rows += piece.rows
        self.last = piece
        if self.form is Form.NDJSON:
            self.lines += piece.body.count(b"\n")
        await self._send({"type": "http.response.body", "body": piece.body, "more_body": True})

    async def end(self, failure: bytes) -> None:
        """Send the end of the body, `failure` before it."""
        if not self.request.started:
            await self._start()
        await self._send({"type": "http.response.body", "body": failure, "more_body": False})

    def failure(self, error: NodeError) -> bytes:
        """The lines that end NDJSON after an error: the cut chunk is closed, then the error is told."""
        cut = b""
        lines = self.lines
        if self.last is not None and not self.last.complete:
            # Every line but the last has exactly chunk_size rows.
            whole_lines = lines * self.request.context.config.engine.chunk_size
            tail = {"is_last_chunk": False, "row_count": self.rows - whole_lines, "total_rows_sent": self.rows}
            cut = b"]," + msgspec.json.encode(tail)[1:] + b"\n"
            lines += 1
        line = {
            "error": error.detail,
            "error_type": title_of(error),
            "code": error.code,
            "committed": self.request.committed_by(error),
            "chunk_index": lines,
            "row_count": 0,
            "total_rows_sent": self.rows,
            "is_last_chunk": True,
        }
        return cut + msgspec.json.encode(line) + b"\n"

    async def _start(self) -> None:
        headers = [(b"content-type", CONTENT_TYPES[self.form]), STREAMING, *self.request.extra_headers]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def _send(self, message: Message) -> None:
        await self.request.send_within(self.request.context.config.http.stall_timeout, message)
