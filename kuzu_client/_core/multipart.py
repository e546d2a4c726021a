"""A form with a file, in pieces: archives are larger than memory."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping

from kuzu_client._core.calls import Body
from kuzu_client._core.sources import Source


def form(fields: Mapping[str, str], name: str, filename: str, source: Source) -> Body:
    """`fields` go before the file, so that the node knows them when it comes. Names are ours, and need no escapes."""
    boundary = secrets.token_hex(16)
    head = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'
        for field, value in fields.items()
    )
    head += (
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{filename}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    begin, end = head.encode(), f"\r\n--{boundary}--\r\n".encode()

    def pieces() -> Iterator[bytes]:
        yield begin
        yield from source.pieces()
        yield end

    length = None if source.length is None else len(begin) + source.length + len(end)
    return Body(f"multipart/form-data; boundary={boundary}", pieces=pieces, length=length)
