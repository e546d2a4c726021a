"""The programs in the documentation, run as they stand there, with the node's address alone replaced."""

from __future__ import annotations

import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kuzu_client import KuzuClient

REPOSITORY = Path(__file__).parents[2]
PAGES = ("README.md", "docs/client.md", "docs/sessions.md")
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
WHOLE = re.compile(r"^(asyncio\.run|trio\.run|with KuzuClient)\(", re.MULTILINE)
ADDRESS, GRAPH = "http://localhost:8001", "people"
SCHEMA = (
    "CREATE NODE TABLE Person(id INT64, name STRING, PRIMARY KEY(id));"
    "CREATE REL TABLE KNOWS(FROM Person TO Person, since DATE)"
)
PROGRAMS = [
    pytest.param(text, id=f"{page}-{number}")
    for page in PAGES
    for number, text in enumerate(BLOCK.findall((REPOSITORY / page).read_text(encoding="utf-8")))
    if WHOLE.search(text)
]


@pytest.fixture
def people(url: str) -> Iterator[str]:
    """What the README's first five minutes have made."""
    name = f"{GRAPH}{secrets.token_hex(4)}"
    with KuzuClient(url, graph_id=name) as client:
        client.create_database(name, "custom", custom_schema_ddl=SCHEMA)
        client.upload_rows(name, "Person", b"id,name\n1,Ada\n2,Grace\n3,Barbara\n", format="csv")
        yield name
        client.delete_database(name)


def test_each_way_to_use_the_client_has_a_program() -> None:
    texts = [str(program.values[0]) for program in PROGRAMS]
    for word in (
        "with KuzuClient(",
        "asyncio.run(",
        "trio.run(",
        ".session(",
        ".transaction(",
        "query_arrow(",
        "upload_",
    ):
        assert any(word in text for text in texts), word


@pytest.mark.parametrize("text", PROGRAMS)
def test_a_program_of_the_documentation_runs(text: str, url: str, people: str) -> None:
    program = text.replace(ADDRESS, url).replace(f'"{GRAPH}"', f'"{people}"')
    assert program != text
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
