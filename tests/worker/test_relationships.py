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


# The region of 7168 to 8191 has no room, so the engine joins it to the one before.
CROWDED = [(1305, 6211), (6390, 254), (2207, 3872), (7537, 7199), (6456, 7545)]


def numbered(*pairs: tuple[int, int]) -> list[str]:
    return [f"{text[:-9]}[:K {{n: {one}}}]->(b)" for (one, _), text in zip(pairs, relate(*pairs), strict=True)]


def test_setting_a_property_that_would_move_relationships_is_put_back_and_avoided(tmp_path: Path) -> None:
    ddl = ["CREATE REL TABLE K(FROM P TO P, n INT64)", "UNWIND range(0, 8000) AS x CREATE (:P {id: x})", "CHECKPOINT"]
    steps = [*ddl, *numbered((7445, 6860)), "CHECKPOINT", *numbered(*CROWDED), "CHECKPOINT"]
    steps += ["MATCH ()-[k:K]->() WHERE k.n = 7445 SET k.n = -1"]
    read = "READ MATCH (a:P)-[k:K]->(b:P) HINT a JOIN (k JOIN b) RETURN a.id, b.id, k.n ORDER BY a.id"
    related = sorted([*([one, other, one] for one, other in CROWDED), [7445, 6860, -1]])
    (tmp_path / "without").mkdir()
    _, seen = play(tmp_path / "without", "s STRING", [*steps, "CHECKPOINT", read], guarded=False)
    assert seen[-1] != related
    status, seen = play(tmp_path, "s STRING", [*steps, "SET ASIDE", "CHECKPOINT"])
    assert (status, seen[-1]) == (0, "Scrambled")
    status, seen = play(tmp_path, "s STRING", ["PUT BACK", read, "CHECKPOINT", read, "REOPEN", "CHECKPOINT", read])
    assert (status, seen[0], seen[2], seen[-1]) == (0, related, related, related)


def test_lists_of_relationships_that_would_go_to_others_are_put_back_and_wait(tmp_path: Path) -> None:
    ddl = ["CREATE REL TABLE K(FROM P TO P, l INT64[])", "UNWIND range(0, 8000) AS x CREATE (:P {id: x})"]
    new = "MATCH (a:P {{id: {0}}}), (b:P {{id: {1}}}) CREATE (a)-[:K {{l: [{0}]}}]->(b)"
    pairs = [(3000, 6000), (1, 2001), (7002, 2), (2003, 6003), (3004, 6004), (3005, 5), (3006, 2006), (2007, 3007)]
    steps = [*ddl, *(new.format(*pair) for pair in pairs[:6]), "CHECKPOINT", *(new.format(*pair) for pair in pairs[6:])]
    read = "READ MATCH (a:P)-[k:K]->(b:P) HINT (a JOIN k) JOIN b RETURN a.id, b.id, k.l ORDER BY a.id"
    related = sorted([one, other, [one]] for one, other in pairs)
    (tmp_path / "without").mkdir()
    _, seen = play(tmp_path / "without", "s STRING", [*steps, "CHECKPOINT", read], guarded=False)
    assert seen[-1] != related
    status, seen = play(tmp_path, "s STRING", [*steps, "SET ASIDE", "CHECKPOINT"])
    assert (status, seen[-1]) == (0, "Scrambled")
    status, seen = play(tmp_path, "s STRING", ["PUT BACK", "CHECKPOINT", read, "REOPEN", "CHECKPOINT", read])
    assert (status, seen) == (0, ["Unstorable", related, "Unstorable", related])
