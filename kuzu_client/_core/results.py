"""Answers as what the methods promise: documents checked for their kind, lines of a result decoded and counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec

from kuzu_client._core.failures import class_of
from kuzu_client.answers import Answer, Chunk
from kuzu_client.errors import KuzuAPIError, KuzuServerError, KuzuTransientError

A = TypeVar("A", bound=Answer)

# The status that an error would have had before the first row: the line of a stream names its code only.
STATUS: Final[Mapping[str, int]] = {
    **dict.fromkeys(("syntax", "binder", "catalog", "parameter", "runtime", "empty_query", "bad_request"), 400),
    **dict.fromkeys(("read_only", "forbidden_statement", "forbidden", "blocked"), 403),
    **dict.fromkeys(("unknown_database", "unknown_task"), 404),
    "query_timeout": 408,
    **dict.fromkeys(("exists", "constraint", "conflict", "task_ended"), 409),
    **dict.fromkeys(("pool_exhausted", "admission", "queue_full", "draining", "database_restarting"), 503),
    **dict.fromkeys(("database_failed", "statement_quarantined"), 503),
    **dict.fromkeys(("node_full", "memory_exceeded", "disk_full"), 507),
}
UNKNOWN_STATUS: Final = 500
_MORE: Final = b'"is_last_chunk":false'


def as_answer(kind: type[A], document: Any) -> A:
    """Raises KuzuServerError when it is no JSON object."""
    if not isinstance(document, dict):
        raise KuzuServerError(f"the answer is a {type(document).__name__}, and should be an object")
    return kind(document)


def as_answers(kind: type[A], document: Any) -> list[A]:
    """Raises KuzuServerError when it is no array of JSON objects."""
    if not isinstance(document, list):
        raise KuzuServerError(f"the answer is a {type(document).__name__}, and should be an array")
    return [as_answer(kind, entry) for entry in document]


def entries(document: Mapping[str, Any], key: str) -> list[Any]:
    """An array of an answer. Raises KuzuServerError when the answer has none."""
    found = document.get(key)
    if not isinstance(found, list):
        raise KuzuServerError(f"the answer has no array {key!r}")
    return found


class ChunkReader:
    """Lines of an NDJSON result in, chunks out. `ended` behind the one that says it is the last."""

    def __init__(self) -> None:
        self.ended = False
        self._decode = msgspec.json.Decoder().decode

    def chunk(self, line: bytes) -> Chunk:
        """Raises the error that the line tells of, and KuzuServerError for what is no chunk."""
        self._refuse_more()
        try:
            document = self._decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise KuzuServerError(f"a line of the result is no JSON: {error}") from error
        if not isinstance(document, dict):
            raise KuzuServerError("a line of the result is no chunk")
        if "error" in document:
            raise from_line(document)
        if not isinstance(document.get("data"), list):
            raise KuzuServerError("a line of the result is no chunk")
        self.ended = bool(document.get("is_last_chunk"))
        return Chunk(document)

    def checked(self, line: bytes) -> bytes:
        """As `chunk` for who wants the line as it is; only lines that may be the last are decoded.

        The keys behind the rows are those of the chunk itself, and in strings their quotes would be escaped.
        """
        if self.ended or line.find(_MORE, line.rfind(b"]")) < 0:
            self.chunk(line)
        return line

    def finish(self) -> None:
        """The stream has ended. Raises KuzuTransientError when it was not whole."""
        if not self.ended:
            raise KuzuTransientError("the result ended without its last chunk; what came is not all of it")

    def _refuse_more(self) -> None:
        if self.ended:
            raise KuzuServerError("the result goes on behind its last chunk")


def from_line(line: Mapping[str, Any]) -> KuzuAPIError:
    """The error of a stream that had begun."""
    code = line.get("code")
    code = code if isinstance(code, str) else ""
    status = STATUS.get(code, UNKNOWN_STATUS)
    committed = line.get("committed")
    return class_of(status, code)(
        str(line.get("error") or line.get("error_type") or "the result broke off"),
        status_code=status,
        code=code,
        response_data=line,
        committed=committed if isinstance(committed, bool) else None,
    )
