"""One node for all tests of the client that ask a real one, and a database of its own for each."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from kuzu_client import KuzuClient
from tests.process.nodes import NodeProcess, running

PEOPLE = (
    "CREATE NODE TABLE P(id INT64, name STRING, PRIMARY KEY(id));"
    "CREATE REL TABLE KNOWS(FROM P TO P, since DATE);"
    "CREATE NODE TABLE Big(id INT64, text STRING, PRIMARY KEY(id))"
)


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    with running(tmp_path_factory.mktemp("node")) as node:
        yield node


@pytest.fixture
def url(node: NodeProcess) -> str:
    return f"http://127.0.0.1:{node.port}"


@pytest.fixture
def graph(url: str) -> Iterator[str]:
    """The name of a database of people, two of whom are there."""
    name = f"g{secrets.token_hex(4)}"
    with KuzuClient(url, graph_id=name) as client:
        client.create_database(name, "custom", custom_schema_ddl=PEOPLE)
        client.query("CREATE (:P {id: 1, name: 'Ada'}), (:P {id: 2, name: 'Grace'})")
        yield name
        if client.database_exists(name):
            client.delete_database(name)
