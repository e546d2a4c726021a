"""The client: every method of the contract, over one caller."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import httpx

from kuzu_client._async.backups import AsyncBackups
from kuzu_client._async.caller import AsyncCaller
from kuzu_client._async.databases import AsyncDatabases
from kuzu_client._async.loading import AsyncLoading
from kuzu_client._async.queries import AsyncQueries
from kuzu_client._async.sessions import AsyncSessions
from kuzu_client._core.observers import Observer
from kuzu_client.config import KuzuClientConfig
from kuzu_client.observers import ClientStatistics, CountingObserver


class AsyncKuzuClient(AsyncQueries, AsyncDatabases, AsyncLoading, AsyncBackups, AsyncSessions):
    """Talks to one node; `docs/client.md` says what it does by itself. Close it, or use it in a block.

    Without `base_url` and `api_key`, KUZU_API_URL and KUZU_API_KEY count; without `config`, the environment, over which
    `config_overrides` win. `graph_id` is meant where a call names none. Raises ValueError for settings that make no
    sense. `observers` are called with every attempt, wait and change of a breaker, and must not block.
    """

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        config: KuzuClientConfig | None = None,
        *,
        graph_id: str | None = None,
        observers: Sequence[Observer] = (),
        transport: httpx.AsyncBaseTransport | None = None,
        **config_overrides: Any,
    ) -> None:
        self._counts = CountingObserver()
        caller = AsyncCaller(
            base_url,
            api_key,
            config,
            graph_id=graph_id,
            observers=(self._counts, *observers),
            transport=transport,
            **config_overrides,
        )
        super().__init__(caller)

    def statistics(self) -> ClientStatistics:
        """Times by operation, retries, trips of the breaker and use of connections, since the client was made."""
        return self._counts.statistics()

    async def __aenter__(self) -> Self:
        await self._caller.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._caller.__aexit__(kind, error, trace)
