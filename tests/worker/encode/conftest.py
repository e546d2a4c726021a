from __future__ import annotations

from collections.abc import Iterator

import kuzu
import pytest


@pytest.fixture(scope="module")
def connection() -> Iterator[kuzu.Connection]:
    """One engine in memory for the tests of a module."""
    database = kuzu.Database(":memory:", buffer_pool_size=128 << 20, max_db_size=1 << 30, max_num_threads=2)
    connection = kuzu.Connection(database, num_threads=2)
    yield connection
    connection.close()
    database.close()
