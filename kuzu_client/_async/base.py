"""What every part of the client has: the caller, and the database that is meant when none is named."""

from __future__ import annotations

from kuzu_client._async.caller import AsyncCaller

DEFAULT_GRAPH = "sec"


class AsyncEndpoints:
    """The methods of one resource of the contract; `AsyncKuzuClient` is all of them together."""

    def __init__(self, caller: AsyncCaller) -> None:
        self._caller = caller

    async def aclose(self) -> None:
        """Close the connections. What is under way fails."""
        await self._caller.aclose()

    def _graph(self, graph_id: str | None) -> str:
        if graph_id is not None:
            return graph_id
        return self._caller.graph_id or DEFAULT_GRAPH
