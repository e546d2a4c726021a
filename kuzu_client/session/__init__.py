"""WebSocket sessions. They need Trio and trio-websocket; docs/sessions.md has the contract."""

from __future__ import annotations

from kuzu_client.session.orders import BatchStream, RowStream
from kuzu_client.session.session import Session, open_session
from kuzu_client.session.transaction import Transaction

__all__ = ["BatchStream", "RowStream", "Session", "Transaction", "open_session"]
