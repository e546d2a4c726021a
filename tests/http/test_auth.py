from __future__ import annotations

import pytest

from kuzu_node.errors import Unauthorized
from kuzu_node.http.auth import check_key

KEYS = (b"old-key", b"new-key")


@pytest.mark.parametrize(
    "headers",
    [
        {b"x-kuzu-api-key": b"new-key"},
        {b"authorization": b"Bearer old-key"},
        {b"authorization": b"bearer  old-key "},
        {b"authorization": b"X-Kuzu-API-Key: new-key"},
    ],
)
def test_every_spelling_of_every_key_opens(headers: dict[bytes, bytes]) -> None:
    check_key(headers, KEYS)


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "missing_key"),
        ({b"x-kuzu-api-key": b""}, "missing_key"),
        ({b"authorization": b"Basic bmV3LWtleQ=="}, "missing_key"),
        ({b"authorization": b"Bearer"}, "missing_key"),
        ({b"authorization": b"new-key"}, "missing_key"),
        ({b"x-kuzu-api-key": b"new-key2"}, "invalid_key"),
        ({b"x-kuzu-api-key": b"new-ke"}, "invalid_key"),
        ({b"x-kuzu-api-key": b"NEW-KEY"}, "invalid_key"),
        ({b"authorization": b"Bearer old-key,new-key"}, "invalid_key"),
        ({b"x-kuzu-api-key": "schlüssel".encode("latin-1")}, "invalid_key"),
    ],
)
def test_anything_else_stays_closed(headers: dict[bytes, bytes], code: str) -> None:
    with pytest.raises(Unauthorized) as caught:
        check_key(headers, KEYS)
    assert caught.value.code == code


def test_a_node_without_keys_is_open() -> None:
    check_key({}, ())
