"""What went wrong, as the errors of the library: answers by status and code, exceptions of the transport by a table."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Collection, Mapping
from typing import Any

import attrs
import httpcore
import httpx
import msgspec

from kuzu_client._core.calls import Call
from kuzu_client.errors import (
    KuzuAPIError,
    KuzuClientError,
    KuzuServerError,
    KuzuSyntaxError,
    KuzuTimeoutError,
    KuzuTransientError,
)

JSON = "application/json"
BY_CODE: dict[str, type[KuzuAPIError]] = dict.fromkeys(("syntax", "binder", "catalog"), KuzuSyntaxError)
BY_STATUS: dict[int, type[KuzuAPIError]] = {
    **dict.fromkeys((400, 401, 403, 404, 422), KuzuClientError),
    **dict.fromkeys((502, 503, 504), KuzuTransientError),
}
# Of a body that is no problem document, this much is shown.
SHOWN = 200


@attrs.frozen
class Verdict:
    """What an exception means. `sent` False: the request certainly did not go out; None: the trace of it tells.

    `blame` is whether it speaks against the node; `final` whether it would only happen again.
    """

    error: type[KuzuAPIError]
    says: str
    sent: bool | None = True
    blame: bool = True
    final: bool = False


_UNSENT = Verdict(KuzuTransientError, "could not connect", sent=False)
_BROKEN = Verdict(KuzuTransientError, "the connection broke", sent=None)
_LATE = Verdict(KuzuTimeoutError, "the answer did not come in time", sent=None)
_WRONG = Verdict(KuzuClientError, "the request cannot be sent", sent=False, blame=False, final=True)
# The first that fits counts, so subclasses stand above their bases.
VERDICTS: tuple[tuple[tuple[type[Exception], ...], Verdict], ...] = (
    ((httpx.ConnectTimeout, httpcore.ConnectTimeout), Verdict(KuzuTimeoutError, "could not connect in time", False)),
    ((httpx.ConnectError, httpcore.ConnectError), _UNSENT),
    (
        (httpx.PoolTimeout, httpcore.PoolTimeout),
        Verdict(KuzuTimeoutError, "no connection of the pool became free in time", sent=False, blame=False),
    ),
    ((httpx.TimeoutException, httpcore.TimeoutException, TimeoutError), _LATE),
    ((httpx.UnsupportedProtocol, httpcore.UnsupportedProtocol, httpx.InvalidURL), _WRONG),
    ((httpx.LocalProtocolError, httpcore.LocalProtocolError), _WRONG),
    ((httpx.TransportError, httpcore.NetworkError, httpcore.ProtocolError, httpcore.ProxyError), _BROKEN),
)
TRANSPORT_ERRORS = tuple(kind for kinds, _ in VERDICTS for kind in kinds)


def verdict(error: Exception) -> Verdict:
    """Of one of TRANSPORT_ERRORS."""
    return next(found for kinds, found in VERDICTS if isinstance(error, kinds))


def from_exception(error: Exception, found: Verdict, *, sent: bool) -> KuzuAPIError:
    """What did not go out has not been committed; of the rest nobody knows."""
    words = _words(error)
    return found.error(f"{found.says}: {words}" if words else found.says, committed=None if sent else False)


def _words(error: BaseException) -> str:
    """Its own, else those of what it was raised from, which httpcore hides: Trio's errors say nothing of themselves."""
    cause = error.__cause__ or error.__context__
    return str(error) or (_words(cause) if cause is not None else "")


def broken_stream(error: Exception) -> KuzuAPIError:
    """Of an answer whose head was good. What it told about so far may have been committed or not."""
    found = verdict(error)
    words = _words(error)
    return found.error(f"the answer was cut short: {words}" if words else f"{found.says} within an answer")


def from_answer(status: int, headers: Mapping[str, str], body: bytes) -> KuzuAPIError:
    """`headers` ignores case. Bodies that are no problem documents, such as those of load balancers, do as well."""
    problem = _problem(headers, body)
    code = _text(problem.get("code"))
    committed = problem.get("committed")
    return class_of(status, code)(
        _message(status, headers, problem, body),
        status_code=status,
        code=code,
        response_data=problem,
        request_id=_text(problem.get("request_id")) or headers.get("x-request-id"),
        retry_after=_retry_after(headers, problem),
        committed=committed if isinstance(committed, bool) else None,
    )


def wrong_answer(status: int, headers: Mapping[str, str], body: bytes, says: str) -> KuzuServerError:
    """A good status with something else behind it than the contract says."""
    shown = body[:SHOWN].decode(errors="replace")
    return KuzuServerError(
        f"{says}: {shown}" if shown else says, status_code=status, request_id=headers.get("x-request-id")
    )


def disagreement(call: Call, headers: Mapping[str, str]) -> str | None:
    """Why the body of a good answer is not what was asked for: something else than a node has answered."""
    found, encoding = media_type(headers), headers.get("content-encoding", "identity")
    if encoding != "identity":
        return f"{call.operation}: the answer is encoded as {encoding}, which was not asked for"
    wanted = call.accept
    if wanted is None or wanted == JSON:
        # A body without a type is left to the decoder.
        return None if is_json(headers) or not found else f"{call.operation}: {found} instead of JSON"
    exact = "*" not in wanted and "," not in wanted
    return f"{call.operation}: {found or 'no type'} instead of {wanted}" if exact and found != wanted else None


def decoded(call: Call, body: bytes) -> Any:
    """Raises KuzuServerError for what is no JSON."""
    if not body:
        return None
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise wrong_answer(200, {}, body, f"{call.operation}: the answer is no JSON ({error})") from error


def features(info: object) -> Collection[str]:
    """Of the answer of /info; none where it has another shape."""
    listed = info.get("features") if isinstance(info, dict) else None
    return frozenset(name for name in listed if isinstance(name, str)) if isinstance(listed, list) else ()


def is_json(headers: Mapping[str, str]) -> bool:
    kind = media_type(headers)
    return kind == JSON or kind.endswith("+json")


def media_type(headers: Mapping[str, str]) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def class_of(status: int, code: str) -> type[KuzuAPIError]:
    if status in BY_STATUS:
        return BY_CODE.get(code, BY_STATUS[status]) if status == 400 else BY_STATUS[status]
    return KuzuAPIError if 400 <= status < 500 else KuzuServerError


def _problem(headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    if not is_json(headers):
        return {}
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


def _message(status: int, headers: Mapping[str, str], problem: Mapping[str, Any], body: bytes) -> str:
    told = _text(problem.get("detail")) or _text(problem.get("title"))
    if told:
        return told
    if 300 <= status < 400:
        return f"HTTP {status}: redirected to {headers.get('location')}, which is not followed"
    shown = body[:SHOWN].decode(errors="replace").strip()
    return f"HTTP {status}: {shown}" if shown else f"HTTP {status}"


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _retry_after(headers: Mapping[str, str], problem: Mapping[str, Any]) -> float | None:
    """Seconds; the header may be a date instead, which is compared with the answer's own."""
    told = headers.get("retry-after")
    if told is None:
        value = problem.get("retry_after")
        return float(value) if isinstance(value, int | float) and value >= 0 else None
    if told.strip().isascii() and told.strip().isdigit():
        return float(told)
    until = _moment(told)
    since = _moment(headers.get("date", "")) or time.time()
    return None if until is None else max(0.0, until - since)


def _moment(text: str) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
