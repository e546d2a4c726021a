"""Values that a compressed file of the engine does not keep, through checkpoints of a database as a worker opens it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kuzu
import pytest

from kuzu_node.core.messages import Assign
from kuzu_node.worker import engine
from tests.worker.playing import is_kept, play

SMALLEST = [
    (f"INT{bits}", f"CAST('{-(2 ** (bits - 1))}' AS INT{bits})", "CAST(5 AS INT64)") for bits in (8, 16, 32, 64)
]
INT128 = ("INT128", "CAST('-170141183460469231731687303715884105728' AS INT128)", "CAST(5 AS INT128)")
NIL = ("UUID", "UUID('00000000-0000-0000-0000-000000000000')", "UUID('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11')")
READ = "MATCH (p:P) RETURN p.id, p.v, p.l, p.s.a ORDER BY p.id"


def opened(folder: Path, *, compressed: bool) -> kuzu.Database:
    file = str(folder / "graph.kuzu")
    if compressed:
        return kuzu.Database(file, buffer_pool_size=64 << 20, max_db_size=1 << 30, auto_checkpoint=False)
    return engine.open_database(Assign(str(folder), file, "", 64 << 20, 1 << 30, 0, 1, "off"))


def written_and_read(
    folder: Path, kind: str, values: tuple[str, str], *, copied: bool, compressed: bool
) -> tuple[Any, Any]:
    """What was read before a checkpoint and what after it and a reopening."""
    folder.mkdir()
    database = opened(folder, compressed=compressed)
    connection = engine.connect(database, 1)
    engine.rows(connection, f"CREATE NODE TABLE P(id INT64, v {kind}, l {kind}[], s STRUCT(a {kind}), PRIMARY KEY(id))")
    for number in range(4):
        value = f"CAST({values[number % 2]} AS {kind})"
        row = f"{number} AS id, {value} AS v, [{value}] AS l, {{a: {value}}} AS s"
        if copied:
            engine.rows(connection, f"COPY P FROM (RETURN {row})")
        else:
            engine.rows(connection, f"WITH {row} CREATE (:P {{id: id, v: v, l: l, s: s}})")
    before = engine.rows(connection, READ)
    engine.rows(connection, "CHECKPOINT")
    engine.rows(connection, "MATCH (p:P {id: 1}) SET p.v = p.v")
    engine.rows(connection, "MATCH (p:P {id: 2}) DELETE p")
    engine.rows(connection, "CHECKPOINT")
    connection.close()
    database.close()
    with opened(folder, compressed=compressed) as again, engine.connect(again, 1) as connection:
        return before, engine.rows(connection, READ)


@pytest.mark.parametrize("copied", [True, False], ids=["COPY", "CREATE"])
@pytest.mark.parametrize(("kind", "smallest", "other"), [*SMALLEST, INT128, NIL], ids=lambda value: value[:6])
def test_the_smallest_value_of_a_type_is_kept_beside_others(
    tmp_path: Path, kind: str, smallest: str, other: str, copied: bool
) -> None:
    before, after = written_and_read(tmp_path / "a", kind, (smallest, other), copied=copied, compressed=False)
    assert before[0][1] == before[0][2][0] == before[0][3] != before[1][1]
    assert [row[1:] for row in before] == [row[1:] for row in (before[:2] * 2)]
    assert after == [row for row in before if row[0] != 2]


def test_compression_would_lose_it(tmp_path: Path) -> None:
    kind, smallest, other = SMALLEST[0]
    before, after = written_and_read(tmp_path / "a", kind, (smallest, other), copied=False, compressed=True)
    assert after != [row for row in before if row[0] != 2]


def test_compression_would_refuse_the_checkpoint(tmp_path: Path) -> None:
    kind, smallest, other = INT128
    with pytest.raises(RuntimeError, match="cannot negate INT128_MIN"):
        written_and_read(tmp_path / "a", kind, (smallest, other), copied=False, compressed=True)


@pytest.mark.parametrize(
    ("column", "value", "changed", "new"),
    [
        ("s STRING", "'v{}'", "'other'", "NULL"),
        ("s BLOB", "BLOB('{}')", "BLOB('other')", "NULL"),
        ("s STRUCT(a STRING, b INT64)", "{{a: '{}', b: 1}}", "{a: 'other', b: 2}", "{a: CAST(NULL AS STRING), b: 3}"),
    ],
)
def test_strings_are_kept_beside_new_rows_that_are_null(
    tmp_path: Path, column: str, value: str, changed: str, new: str
) -> None:
    """Compressed, a column that was SET is read with other strings as soon as new rows are all NULL in it."""
    stored = [f"CREATE (:P {{id: {number}, s: {value.format(number)}}})" for number in range(5)]
    steps = [*stored, "CHECKPOINT", f"MATCH (p:P {{id: 2}}) SET p.s = {changed}", "CHECKPOINT"]
    steps += [f"CREATE (:P {{id: 100, s: {new}}})", "CHECKPOINT"]
    status, seen = play(tmp_path, column, steps)
    assert (status, seen[2][:5], len(seen[2])) == (0, seen[1], 6)


@pytest.mark.parametrize("seed", [4, 5])
def test_random_writes_of_strings_agree_with_a_model(tmp_path: Path, seed: int) -> None:
    kept, said = is_kept(tmp_path, "STRING", seed, guarded=True)
    assert kept, said
