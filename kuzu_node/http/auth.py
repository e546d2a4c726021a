"""Finds the key that a request presents and compares it. Pure; the policy calls it."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence

from kuzu_node.errors import Unauthorized

KEY_HEADER = b"x-kuzu-api-key"
SCHEMES = (b"bearer", KEY_HEADER + b":")


def check_key(headers: Mapping[bytes, bytes], keys: Sequence[bytes]) -> None:
    """Raise Unauthorized unless the request presents one of `keys`. No keys: an open server, everything passes.

    The time taken says nothing about which key was nearly right: every key is compared, in constant time.
    """
    if not keys:
        return
    presented = presented_key(headers)
    if presented is None:
        raise Unauthorized("a key is needed: X-Kuzu-API-Key: K, or Authorization: Bearer K")
    matches = [hmac.compare_digest(presented, key) for key in keys]
    if not any(matches):
        raise Unauthorized("the key is not one of this node's", code="invalid_key")


def presented_key(headers: Mapping[bytes, bytes]) -> bytes | None:
    """The key in any of its three spellings, None without one."""
    key = headers.get(KEY_HEADER)
    if key:
        return key
    scheme, _, credentials = headers.get(b"authorization", b"").strip().partition(b" ")
    if scheme.lower() in SCHEMES:
        return credentials.strip() or None
    return None
