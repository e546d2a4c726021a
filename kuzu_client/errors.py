"""The errors of the client library.

KuzuAPIError                    also 408, 409, 413, 429 with their code
├── KuzuTransientError          502, 503, 504, and connections that failed
│   ├── KuzuTimeoutError        answers that did not come in time
│   └── ServiceUnavailableError no request was sent: the breaker is open, or there is no endpoint
├── KuzuClientError             400, 401, 403, 404, 422
│   └── KuzuSyntaxError         codes syntax, binder, catalog; with `line` and `column` where the engine tells
└── KuzuServerError             the other 5xx, and answers that are not what the contract says
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class KuzuAPIError(Exception):
    """`code` is one of the node's stable codes, or empty when no node has answered.

    `committed` says whether the statement's effects are durable: None where nobody knows, or where none was involved.
    `retry_after` is in seconds. `response_data` is the problem document as it came.
    """

    def __init__(
        self,
        message: str,
        *,
        status_code: int | None = None,
        code: str = "",
        response_data: Mapping[str, Any] | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        committed: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.code = code
        self.response_data = dict(response_data or {})
        self.request_id = request_id
        self.retry_after = retry_after
        self.committed = committed


class KuzuTransientError(KuzuAPIError):
    """The same call may succeed later; `committed` tells whether this one has had effects."""


class KuzuTimeoutError(KuzuTransientError):
    """The client's time has passed. The node's own limit is 408 `query_timeout`, which is a plain KuzuAPIError."""


class ServiceUnavailableError(KuzuTransientError):
    """Nothing was sent. `retry_after` is when the breaker lets the next call try."""


class KuzuClientError(KuzuAPIError):
    """The request is at fault; repeating it is of no use."""


class KuzuSyntaxError(KuzuClientError):
    """The Cypher text is at fault. Both count from 1."""

    @property
    def line(self) -> int | None:
        return self._number("line")

    @property
    def column(self) -> int | None:
        return self._number("column")

    def _number(self, key: str) -> int | None:
        value = self.response_data.get(key)
        return value if isinstance(value, int) else None


class KuzuServerError(KuzuAPIError):
    """The node failed, or something else answered in its place."""
