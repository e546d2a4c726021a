"""Hypercorn 0.18.0 with its faults repaired: one connection, HTTP/1.1, HTTP/2 and WebSocket, over any trio stream.

`http/server.py` is the only caller. docs/server.md says what is repaired and why.
"""

from __future__ import annotations

from kuzu_node.http.hypercorn_fixes.checks import installed_hypercorn, verify_hypercorn

# Before anything below is imported: a clear error instead of an AttributeError in the middle of it.
verify_hypercorn(installed_hypercorn())

from kuzu_node.http.hypercorn_fixes.connection import Connection  # noqa: E402
from kuzu_node.http.hypercorn_fixes.settings import ServerConfig  # noqa: E402

__all__ = ["Connection", "ServerConfig"]
