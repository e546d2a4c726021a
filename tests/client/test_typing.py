"""The types that a program outside of this repository sees: mypy, strict, over a file of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PROGRAM = """
from pathlib import Path

from kuzu_client import AsyncKuzuClient, KuzuAPIError, KuzuClient, KuzuClientConfig, KuzuSyntaxError
from kuzu_client.aio import KuzuClient as AioClient


def whole(client: KuzuClient) -> None:
    answer = client.query("RETURN 1 AS one", parameters={"a": [1, None]})
    reveal_type(answer)
    reveal_type(answer.columns)
    reveal_type(answer["row_count"])
    reveal_type(client.query("RETURN 1", streaming=True))
    reveal_type(client.health_check().status)
    reveal_type(client.database_exists("g"))
    reveal_type(client.upload_rows("g", "T", Path("rows.csv")).rows_inserted)
    with client.rows("RETURN 1 AS one") as rows:
        for row in rows:
            reveal_type(row)


async def pieces(client: AsyncKuzuClient) -> None:
    async with client.stream("RETURN 1 AS one") as chunks:
        async for chunk in chunks:
            reveal_type(chunk)
    async with client.session("g") as session, session.transaction(read_only=True) as transaction:
        reveal_type(await transaction.query("RETURN 1 AS one"))


def config() -> KuzuClientConfig:
    return KuzuClientConfig(timeout=2, max_retries=0)


def position(error: KuzuAPIError) -> int | None:
    return error.line if isinstance(error, KuzuSyntaxError) else None


reveal_type(AioClient)
"""
WRONG = """
from kuzu_client import KuzuClient

KuzuClient(timeout=1).query(1)
KuzuClient().query("RETURN 1", parameters=[1])
KuzuClient().qery("RETURN 1")
"""


EXPECTED = [
    "kuzu_client.answers.QueryResult",
    "list[str]",
    "Any",
    "kuzu_client._sync.results.ResultStream",
    "str",
    "bool",
    "int",
    "dict[str, Any]",
    "kuzu_client.answers.Chunk",
    "kuzu_client.answers.QueryResult",
]


def checked(folder: Path, text: str) -> tuple[int, str]:
    path = folder / "program.py"
    path.write_text(text, encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--cache-dir",
        str(folder / "cache"),
        "--config-file=",
        str(path),
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout + done.stderr


def test_programs_see_the_types_of_what_they_get(tmp_path: Path) -> None:
    status, said = checked(tmp_path, PROGRAM)
    assert status == 0, said
    revealed = re.findall(r'Revealed type is "(.*)"', said)
    assert revealed[:-1] == EXPECTED
    assert revealed[-1].endswith("-> kuzu_client._async.client.AsyncKuzuClient")


def test_programs_are_told_of_wrong_calls(tmp_path: Path) -> None:
    status, said = checked(tmp_path, WRONG)
    assert status == 1
    found = re.findall(r"program.py:(\d+): error: .*\[(.*)\]", said)
    assert found == [("4", "call-overload"), ("5", "call-overload"), ("6", "attr-defined")]
