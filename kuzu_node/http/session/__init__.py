"""Sessions over WebSocket: docs/sessions.md is the contract. `http/app.py` hands each WebSocket to `Upgrades`."""

from __future__ import annotations

from kuzu_node.http.session.upgrade import Upgrades

__all__ = ["Upgrades"]
