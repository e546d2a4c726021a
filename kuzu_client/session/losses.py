"""Why a session has ended, as the errors of those whose orders were under way or come too late."""

from __future__ import annotations

import re
from typing import Final

import attrs
from trio_websocket import CloseReason

from kuzu_client.errors import (
    KuzuAPIError,
    KuzuClientError,
    KuzuServerError,
    KuzuTimeoutError,
    KuzuTransientError,
    ServiceUnavailableError,
)
from kuzu_client.session.protocol import MAX_MESSAGE_BYTES, Order, Phase

_REASON: Final = re.compile(r"([a-z_]+)(?:; retry_after=(\d+))?")


@attrs.frozen
class Meaning:
    """Of a close code: `code` where the reason of the frame has none."""

    error: type[KuzuAPIError]
    status: int | None
    code: str
    says: str


_BROKEN: Final = Meaning(KuzuTransientError, None, "", "the connection of the session broke")
_MEANINGS: Final = {
    1003: Meaning(KuzuClientError, 400, "bad_request", "the node takes no such message"),
    1007: Meaning(KuzuClientError, 400, "bad_request", "the node could not read a message"),
    1009: Meaning(KuzuAPIError, 413, "too_large", "a message is longer than the node takes"),
    1011: Meaning(KuzuServerError, 500, "internal", "the node has failed"),
    1012: Meaning(KuzuTransientError, 503, "draining", "the node has ended the session"),
    4401: Meaning(KuzuClientError, 401, "invalid_key", "the node does not accept the key"),
    4404: Meaning(KuzuClientError, 404, "unknown_database", "the database does not exist"),
    4408: Meaning(KuzuTimeoutError, 408, "idle", "the session was idle for too long"),
}
_TOO_LONG: Final = Meaning(KuzuServerError, None, "", "the node has sent a message that is longer than a session takes")
_NONSENSE: Final = Meaning(KuzuServerError, None, "", "the node has broken the rules of sessions")
_SILENT: Final = Meaning(KuzuTransientError, None, "", "the node has fallen silent")
_LEFT: Final = Meaning(KuzuAPIError, None, "", "the session has been closed")


@attrs.frozen
class Loss:
    """The end of a session, for whatever reason."""

    _meaning: Meaning
    _code: str = ""
    _retry_after: float | None = None
    _cause: BaseException | None = None
    _detail: str = ""

    @classmethod
    def from_close(cls, frame: CloseReason | None) -> Loss:
        """Of a close frame, or of a connection that ended without one."""
        if frame is None:
            return cls(_BROKEN)
        told = _REASON.fullmatch(frame.reason or "")
        if frame.code == 1009 and str(MAX_MESSAGE_BYTES) in (frame.reason or ""):
            return cls(_TOO_LONG)  # trio-websocket tells only so that it was our side which refused
        meaning = _MEANINGS.get(frame.code, _BROKEN)
        if told is None:
            return cls(meaning, meaning.code)
        return cls(meaning, told[1], float(told[2]) if told[2] else None)

    @classmethod
    def from_violation(cls, detail: str, cause: BaseException) -> Loss:
        return cls(_NONSENSE, cause=cause, detail=detail)

    @classmethod
    def silent(cls) -> Loss:
        return cls(_SILENT)

    @classmethod
    def left(cls) -> Loss:
        return cls(_LEFT)

    def error(self, order: Order | None = None) -> KuzuAPIError:
        """A new one for each that waits. None: nothing was sent."""
        sent = order is not None and order.phase is not Phase.WAITING
        kind = self._meaning.error
        if not sent and self._meaning.status == 503:
            kind = ServiceUnavailableError
        says = f"{self._meaning.says}: {detail}" if (detail := self._detail or self._code) else self._meaning.says
        error = kind(
            says,
            status_code=self._meaning.status,
            code=self._code,
            retry_after=self._retry_after,
            committed=order.committed_if_lost if order is not None else False,
        )
        error.__cause__ = self._cause
        return error
