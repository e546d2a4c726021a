"""Relationships through checkpoints behind a DELETE, with the guard and, to see that it is needed, without."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.worker.playing import play

# Two regions of one group, and another group.
NODES = "COPY P(id) FROM (UNWIND range(0, 140000) AS x RETURN x)"
READ = [
    "READ MATCH (a:P)-[k:K]->(b:P) WHERE offset(id(k)) >= 0 RETURN a.id, b.id ORDER BY a.id",
    "READ MATCH (b:P)<-[k:K]-(a:P) WHERE offset(id(k)) >= 0 RETURN a.id, b.id ORDER BY a.id",
]


def relate(*pairs: tuple[int, int]) -> list[str]:
    return [f"MATCH (a:P {{id: {one}}}), (b:P {{id: {other}}}) CREATE (a)-[:K]->(b)" for one, other in pairs]


def unrelate(one: int) -> str:
    return f"MATCH (a:P {{id: {one}}})-[k:K]->() DELETE k"


def left(folder: Path, properties: str, steps: list[str], *, guarded: bool) -> list[object] | None:
    """What both directions hold in the end; None where the process has died of it."""
    ddl = f"CREATE REL TABLE K(FROM P TO P{properties})"
    folder.mkdir()
    status, seen = play(folder, "s STRING", [ddl, NODES, *steps, *READ], guarded=guarded)
    return seen[-2:] if status == 0 else None


@pytest.mark.parametrize("properties", ["", ", n INT64", ", m MAP(STRING, INT64)", ", MANY_ONE"])
def test_deleting_the_last_of_a_region_leaves_those_of_the_others(tmp_path: Path, properties: str) -> None:
    steps = [*relate((1, 2), (15000, 15001), (135000, 15002)), "CHECKPOINT", unrelate(1), "CHECKPOINT", "REOPEN"]
    expected = [[15000, 15001], [135000, 15002]]
    assert left(tmp_path / "with", properties, steps, guarded=True) == [expected, expected]
    assert left(tmp_path / "without", properties, steps, guarded=False) != [expected, expected]


@pytest.mark.parametrize("properties", ["", ", n INT64"])
def test_what_is_created_and_deleted_between_checkpoints_leaves_a_process_that_can_read_them(
    tmp_path: Path, properties: str
) -> None:
    steps = [*relate((1, 2)), "CHECKPOINT", *relate((3, 4)), unrelate(3), "CHECKPOINT"]
    expected = [[1, 2]]
    assert left(tmp_path / "with", properties, steps, guarded=True) == [expected, expected]
    assert left(tmp_path / "without", properties, steps, guarded=False) is None


def test_groups_of_which_nothing_is_left_may_go(tmp_path: Path) -> None:
    steps = [*relate((1, 2), (135000, 135001)), "CHECKPOINT", unrelate(1), unrelate(135000), "CHECKPOINT"]
    assert left(tmp_path / "all", "", [*steps, *relate((5, 6)), "CHECKPOINT"], guarded=True) == [[[5, 6]], [[5, 6]]]


def test_a_copy_behind_a_delete_leaves_relationships_as_they_are(tmp_path: Path) -> None:
    steps = [*relate((1, 2), (15000, 15001)), "CHECKPOINT", unrelate(1), "BEGIN TRANSACTION"]
    copy = "COPY K FROM (UNWIND range(7, 8) AS x RETURN x, x + 1)"
    expected = [[7, 8], [8, 9], [15000, 15001]]
    assert left(tmp_path / "with", "", [*steps, copy, "COMMIT"], guarded=True) == [expected, expected]


def test_tables_between_several_tables_and_strange_names_are_kept(tmp_path: Path) -> None:
    ddl = ['CREATE NODE TABLE `q``"é`(`or``der` INT64, PRIMARY KEY(`or``der`))', "DROP TABLE K"]
    ddl += ['CREATE REL TABLE `k``\'`(FROM P TO `q``"é`, FROM `q``"é` TO P, `group` INT64)']
    nodes = 'UNWIND range(0, 20000) AS x CREATE (:`q``"é` {`or``der`: x})'
    to = "MATCH (a:P {{id: {0}}}), (b:`q``\"é` {{`or``der`: {0}}}) CREATE (a)-[:`k``'` {{`group`: {0}}}]->(b)"
    back = "MATCH (a:P {{id: {0}}}), (b:`q``\"é` {{`or``der`: {0}}}) CREATE (b)-[:`k``'` {{`group`: -{0}}}]->(a)"
    steps = [*ddl, nodes, *(way.format(number) for way in (to, back) for number in (1, 15000)), "CHECKPOINT"]
    steps += ["MATCH (:P {id: 1})-[k]->() DELETE k", "MATCH (:P {id: 1})<-[k]-() DELETE k", "CHECKPOINT", "REOPEN"]
    read = "READ MATCH (a)-[k:`k``'`]->() RETURN k.`group` ORDER BY k.`group`"
    start = ["CREATE REL TABLE K(FROM P TO P)", NODES]
    status, seen = play(tmp_path, "s STRING", [*start, *steps, read], guarded=True)
    assert (status, seen[-1]) == (0, [[-15000], [15000]])
