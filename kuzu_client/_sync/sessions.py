"""The sync client has no sessions: what they are for, many tasks on one socket, needs Trio."""

from __future__ import annotations

from kuzu_client._sync.base import Endpoints


class Sessions(Endpoints):
    """Nothing; `transaction` runs statements that belong together."""
