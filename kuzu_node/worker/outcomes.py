"""How a request in a lane can end: the frames that say so, and what is raised on the way there."""

from __future__ import annotations

from typing import Any

import kuzu

from kuzu_node.core.frames import FrameKind
from kuzu_node.core.messages import Executed, Failed, encode
from kuzu_node.worker import failures

# What the engine, its binding and the encoders raise for a request that fails while the worker goes on.
FAILURES = (RuntimeError, OSError, ValueError, TypeError, ArithmeticError, LookupError, MemoryError)
# Messages repeat the caller's values, of any length; the node's loop, and whoever reads them, has others to serve.
LONGEST_DETAIL = 16 * 1024
TRANSACTION_VALUES = 1_000_000
TRANSACTION_BYTES = 64 * 1024 * 1024


class Cancelled(Exception):
    """The node no longer wants this request's result."""


class StatementError(Exception):
    """A statement failed; `failed` is what the node is told."""

    def __init__(self, failed: Failed) -> None:
        super().__init__(failed.detail)
        self.failed = failed


def whole_result(executed: Executed, body: bytes) -> tuple[Any, ...]:
    """A RESULT frame: the length of the message, the message, the body."""
    message = encode(executed)
    return FrameKind.RESULT, len(message).to_bytes(4, "little"), message, body


def bounded(detail: str) -> str:
    """With its length, where it is too long to be told."""
    if len(detail) <= LONGEST_DETAIL:
        return detail
    return f"{detail[:LONGEST_DETAIL]}.. ({len(detail)} characters)"


def failed(error: Exception, *, committed: bool | None, statement: int | None = None) -> Failed:
    detail = bounded(str(error) or type(error).__name__)
    failure = failures.classify(detail)
    if detail == "std::bad_alloc":
        detail = "the statement needs more memory than its database may use (std::bad_alloc)"
    return Failed(failure.code, detail, committed, statement, failure.line, failure.column)


def too_large(results: list[kuzu.QueryResult], encoded: int) -> Failed | None:
    """A transaction's results are one body, which the node holds: it is told only after the COMMIT."""
    values = sum(result.get_num_tuples() * len(result.get_column_names()) for result in results)
    detail = ""
    if values > TRANSACTION_VALUES:
        detail = f"the results hold {values} values, {TRANSACTION_VALUES} are the most in a transaction: use /query"
    elif encoded > TRANSACTION_BYTES:
        detail = f"the results take more than {TRANSACTION_BYTES} bytes, the most in a transaction: use /query"
    return Failed("too_large", detail, False) if detail else None
