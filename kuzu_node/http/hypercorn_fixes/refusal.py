"""The answers that the server gives by itself, when a request is too broken to reach the app."""

from __future__ import annotations

import json
import uuid
from http import HTTPStatus

_CODES = {HTTPStatus.BAD_REQUEST: "bad_request", HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "headers_too_large"}


def refusal(status: HTTPStatus, detail: str) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Headers and body of a problem document. `status` is 400 or 431."""
    request_id = uuid.uuid4().hex
    problem = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
        "code": _CODES[status],
        "request_id": request_id,
    }
    body = json.dumps(problem).encode()
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", b"%d" % len(body)),
        (b"x-request-id", request_id.encode()),
    ]
    return headers, body
