"""Talks to kuzu-node: `AsyncKuzuClient` on trio and asyncio, `KuzuClient` in plain code, with the same methods."""

from kuzu_client._async.client import AsyncKuzuClient
from kuzu_client._core.observers import Attempted, BreakerChanged, Event, Observer, Waits
from kuzu_client._sync.client import KuzuClient
from kuzu_client.config import KuzuClientConfig
from kuzu_client.errors import (
    KuzuAPIError,
    KuzuClientError,
    KuzuServerError,
    KuzuSyntaxError,
    KuzuTimeoutError,
    KuzuTransientError,
    ServiceUnavailableError,
)

__all__ = [
    "AsyncKuzuClient",
    "Attempted",
    "BreakerChanged",
    "Event",
    "KuzuAPIError",
    "KuzuClient",
    "KuzuClientConfig",
    "KuzuClientError",
    "KuzuServerError",
    "KuzuSyntaxError",
    "KuzuTimeoutError",
    "KuzuTransientError",
    "Observer",
    "ServiceUnavailableError",
    "Waits",
]
