"""The node and its databases: what is there, and what is made and removed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kuzu_client._async.base import AsyncEndpoints
from kuzu_client._core import requests
from kuzu_client._core.calls import Replay
from kuzu_client._core.results import as_answer, entries
from kuzu_client.answers import (
    Answer,
    Created,
    DatabaseInfo,
    DatabaseList,
    DatabaseMetrics,
    Health,
    NodeInfo,
    SchemaChange,
    Table,
)
from kuzu_client.errors import KuzuAPIError, KuzuClientError


class AsyncDatabases(AsyncEndpoints):
    """Methods about one database take its name first; those that had a default keep it."""

    async def health_check(self) -> Health:
        """Raises KuzuTransientError while the node drains."""
        return as_answer(Health, await self._caller.call(requests.node("health_check", "/health")))

    async def get_info(self) -> NodeInfo:
        return as_answer(NodeInfo, await self._caller.call(requests.node("get_info", "/info")))

    async def get_metrics(self) -> Answer:
        return as_answer(Answer, await self._caller.call(requests.node("get_metrics", "/metrics")))

    async def create_database(
        self,
        graph_id: str,
        schema_type: str = "entity",
        repository_name: str | None = None,
        custom_schema_ddl: str | None = None,
        is_subgraph: bool = False,
    ) -> Created:
        """All or nothing: a schema that fails leaves no database. `schema_type`: entity, shared or custom."""
        call = requests.create_database(
            graph_id,
            schema_type,
            repository_name=repository_name,
            custom_schema_ddl=custom_schema_ddl,
            is_subgraph=is_subgraph,
        )
        return as_answer(Created, await self._caller.call(call))

    async def ensure_database_exists(self, graph_id: str, schema_type: str = "entity") -> None:
        """Also when another one creates it at this moment. The schema of one that exists is not looked at."""
        if await self.database_exists(graph_id):
            return
        try:
            await self._caller.call(requests.create_database(graph_id, schema_type, replay=Replay.SAFE))
        except KuzuAPIError as error:
            if error.status_code != 409 or error.code != "exists":
                raise

    async def list_databases(self) -> DatabaseList:
        return as_answer(DatabaseList, await self._caller.call(requests.node("list_databases", "/databases")))

    async def get_database(self, graph_id: str) -> DatabaseInfo:
        return as_answer(DatabaseInfo, await self._caller.call(requests.database("get_database", graph_id)))

    async def get_database_info(self, graph_id: str) -> DatabaseInfo:
        """Another name of `get_database`."""
        return await self.get_database(graph_id)

    async def database_exists(self, graph_id: str) -> bool:
        try:
            await self.get_database(graph_id)
        except KuzuClientError as error:
            if error.status_code != 404:
                raise
            return False
        return True

    async def delete_database(self, graph_id: str) -> Answer:
        """Not repeated when its outcome is unknown."""
        return as_answer(Answer, await self._caller.call(requests.delete_database(graph_id)))

    async def get_database_metrics(self, graph_id: str) -> DatabaseMetrics:
        call = requests.database("get_database_metrics", graph_id, "/metrics")
        return as_answer(DatabaseMetrics, await self._caller.call(call))

    async def get_schema(self, graph_id: str | None = None) -> list[Table]:
        """The tables."""
        call = requests.database("get_schema", self._graph(graph_id), "/schema")
        found: Any = await self._caller.call(call)
        return [as_answer(Table, table) for table in entries(as_answer(Answer, found), "tables")]

    async def install_schema(
        self,
        graph_id: str,
        base_schema: str = "base",
        extensions: Iterable[str] | None = None,
        custom_ddl: str | None = None,
    ) -> SchemaChange:
        """Built-in schemas, or the statements of a text instead: in one transaction either way."""
        call = requests.install_schema(graph_id, base_schema, extensions, custom_ddl)
        return as_answer(SchemaChange, await self._caller.call(call))
