"""The async client under the name that applications use for it."""

from __future__ import annotations

from kuzu_client._async.client import AsyncKuzuClient as KuzuClient

__all__ = ["KuzuClient"]
