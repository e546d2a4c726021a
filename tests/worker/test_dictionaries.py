"""Strings through checkpoints, with the guard and, to see that it is needed, without."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.worker.playing import is_kept, play

STORED = [f"CREATE (:P {{id: {number}, s: 'v{number}'}})" for number in range(5)]
CHANGED = "MATCH (p:P {id: 2}) SET p.s = 'changed'"
STRINGS = {**{number: f"v{number}" for number in range(5)}, 2: "changed"}


def sequence(new: str) -> list[str]:
    return [*STORED, "CHECKPOINT", CHANGED, "CHECKPOINT", new, "CHECKPOINT"]


def rows(strings: dict[int, Any]) -> list[list[Any]]:
    return [[number, value] for number, value in sorted(strings.items())]


def test_the_engine_scrambles_strings_when_new_rows_are_null(tmp_path: Path) -> None:
    status, seen = play(tmp_path, "s STRING", sequence("CREATE (:P {id: 100})"), guarded=False)
    assert status != 0 or seen[-1] != rows({**STRINGS, 100: None})
    assert seen[1] == rows(STRINGS)


def test_new_rows_that_are_null_leave_strings_as_they_are(tmp_path: Path) -> None:
    status, seen = play(tmp_path, "s STRING", sequence("CREATE (:P {id: 100})"))
    assert (status, seen[-1]) == (0, rows({**STRINGS, 100: None}))


def test_rows_of_a_copy_that_are_null_leave_strings_as_they_are(tmp_path: Path) -> None:
    copy = "COPY P(id) FROM (UNWIND range(100, 102) AS x RETURN x)"
    status, seen = play(tmp_path, "s STRING", [*sequence("RETURN 1")[:-2], "BEGIN TRANSACTION", copy, "COMMIT"])
    assert (status, seen[-1]) == (0, rows({**STRINGS, 100: None, 101: None, 102: None}))


@pytest.mark.parametrize(
    ("column", "value", "changed", "new"),
    [
        ("s BLOB", "BLOB('{}')", "BLOB('other')", "NULL"),
        ("s STRUCT(a STRING, b INT64)", "{{a: '{}', b: 1}}", "{a: 'other', b: 2}", "{a: CAST(NULL AS STRING), b: 3}"),
    ],
)
def test_strings_inside_other_types_are_kept(tmp_path: Path, column: str, value: str, changed: str, new: str) -> None:
    stored = [f"CREATE (:P {{id: {number}, s: {value.format(number)}}})" for number in range(5)]
    steps = [*stored, "CHECKPOINT", f"MATCH (p:P {{id: 2}}) SET p.s = {changed}", "CHECKPOINT"]
    steps += [f"CREATE (:P {{id: 100, s: {new}}})", "CHECKPOINT"]
    for guarded in (False, True):
        folder = tmp_path / str(guarded)
        folder.mkdir()
        status, seen = play(folder, column, steps, guarded=guarded)
        kept = status == 0 and seen[2][:5] == seen[1] and len(seen[2]) == 6
        assert kept is guarded


def test_strings_that_were_set_to_null_before_they_were_stored_are_found_out_and_then_avoided(tmp_path: Path) -> None:
    new = ["CREATE (:P {id: 100, s: 'x'})", "MATCH (p:P {id: 100}) SET p.s = NULL"]
    steps = [*sequence("RETURN 1")[:-2], "REOPEN", *new, "SET ASIDE", "CARELESS", "CHECKPOINT"]
    status, seen = play(tmp_path, "s STRING", steps)
    assert status == 0
    assert seen[-1] == "Scrambled"
    # As the node does it: another process, from the files that were set aside.
    status, seen = play(tmp_path, "s STRING", ["PUT BACK", "CHECKPOINT", "CHECKPOINT"])
    assert (status, seen[-1]) == (0, rows({**STRINGS, 100: None}))


@pytest.mark.parametrize("seed", [4, 5])
def test_random_writes_of_strings_agree_with_a_model_only_with_the_guard(tmp_path: Path, seed: int) -> None:
    for guarded in (True, False):
        folder = tmp_path / str(guarded)
        folder.mkdir()
        kept, said = is_kept(folder, "STRING", seed, guarded=guarded)
        assert kept is guarded, said
