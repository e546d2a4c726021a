from __future__ import annotations

import kuzu
import pytest

from kuzu_node import schemas


@pytest.mark.parametrize(("name", "nodes", "relationships"), [("base", 10, 9), ("ledger", 11, 23)])
def test_a_schema_is_read_statement_by_statement(name: schemas.SchemaName, nodes: int, relationships: int) -> None:
    statements = schemas.statements(name)
    assert sum(statement.startswith("CREATE NODE TABLE ") for statement in statements) == nodes
    assert sum(statement.startswith("CREATE REL TABLE ") for statement in statements) == relationships
    assert len(statements) == nodes + relationships
    assert not any(";" in statement for statement in statements)


def test_the_engine_takes_the_entity_schema() -> None:
    with kuzu.Database(":memory:", buffer_pool_size=64 << 20) as database, kuzu.Connection(database) as connection:
        for statement in schemas.entity_schema():
            connection.execute(statement)
        result = connection.execute("CALL show_tables() RETURN count(*)")
        assert isinstance(result, kuzu.QueryResult)
        assert result.get_next() == [len(schemas.entity_schema())]


def test_only_the_repository_of_filings_has_the_ledger() -> None:
    assert schemas.shared_schema("sec") == schemas.entity_schema()
    assert schemas.shared_schema("industry") == schemas.statements("base")
    assert set(schemas.EXTENSIONS) == {"ledger", "roboledger"}
