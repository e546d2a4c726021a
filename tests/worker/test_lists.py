"""Lists through checkpoints, with the guard and, to see that it is needed, without."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.worker.playing import is_kept, play


def both(folder: Path, column: str, steps: list[str]) -> list[tuple[int, list[Any]]]:
    """Without the guard and with it."""
    found = []
    for guarded in (False, True):
        (folder / str(guarded)).mkdir()
        found.append(play(folder / str(guarded), column, steps, guarded=guarded))
    return found


@pytest.mark.parametrize(
    ("column", "first", "second", "changed", "new"),
    [
        ("INT64[]", "[11, 12]", "[89]", "[24]", "[73]"),
        ("DOUBLE[2]", "[0.5, 1.5]", "[2.5, 3.5]", "[4.5, 5.5]", "[6.5, 7.5]"),
        ("STRUCT(l INT64[])", "{l: [11]}", "{l: [89]}", "{l: [24]}", "{l: [73]}"),
    ],
)
def test_new_lists_beside_changed_ones_are_their_own(
    tmp_path: Path, column: str, first: str, second: str, changed: str, new: str
) -> None:
    steps = [f"CREATE (:P {{id: 1, s: {first}}})", f"CREATE (:P {{id: 2, s: {second}}})", "CHECKPOINT"]
    steps += [f"CREATE (:P {{id: 3, s: {new}}})", f"MATCH (p:P {{id: 2}}) SET p.s = {changed}"]
    (_, without), (status, seen) = both(tmp_path, f"s {column}", [*steps, "CHECKPOINT", "REOPEN", "CHECKPOINT"])
    assert status == 0
    [[_, one], [_, two], [_, three]] = seen[-1]
    assert len({str(each) for each in (one, two, three)}) == 3
    assert without[-1][:2] == [[1, one], [2, two]]
    assert without[-1][2] != [3, three]


def test_lists_of_a_copy_beside_changed_ones_are_their_own(tmp_path: Path) -> None:
    steps = ["CREATE (:P {id: 1, s: [11]})", "CREATE (:P {id: 2, s: [89]})", "CHECKPOINT"]
    steps += ["MATCH (p:P {id: 2}) SET p.s = [24]", "BEGIN TRANSACTION"]
    copy = "COPY P(id, s) FROM (UNWIND range(3, 4) AS x RETURN x, [x, 70 + x])"
    (_, without), (status, seen) = both(tmp_path, "s INT64[]", [*steps, copy, "COMMIT", "REOPEN", "CHECKPOINT"])
    expected = [[1, [11]], [2, [24]], [3, [3, 73]], [4, [4, 74]]]
    assert (status, seen[-1]) == (0, expected)
    assert without[-1] != expected


@pytest.mark.parametrize(
    ("column", "value"),
    [("MAP(STRING, INT64)", "map(['a'], [7])"), ("STRUCT(a INT64)[]", "[{a: 7}]"), ("INT64[][]", "[[7]]")],
)
@pytest.mark.parametrize("write", ["CREATE (:P {{id: 3, s: {}}})", "MATCH (p:P) SET p.s = {}"])
@pytest.mark.parametrize("first", ["NULL", "[]"])
def test_rows_without_items_leave_room_for_items(
    tmp_path: Path, column: str, value: str, write: str, first: str
) -> None:
    """Else what is written to them becomes zeros. The row that held one for a while holds again what it held."""
    empty = "NULL" if first == "NULL" else "map([], [])" if "MAP" in column else f"CAST([] AS {column})"
    rows = [f"CREATE (:P {{id: {number}, s: {empty}}})" for number in (1, 2)]
    steps = [*rows, "CHECKPOINT", write.format(value), "CHECKPOINT", "REOPEN", "CHECKPOINT"]
    (_, without), (status, seen) = both(tmp_path, f"s {column}", steps)
    assert "7" not in str(without[1])
    assert status == 0
    assert [value for _, value in seen[0]] == [None if first == "NULL" else {} if "MAP" in column else []] * 2
    assert str(seen[-1]).count("7") == (1 if write.startswith("CREATE") else 2)


def test_rows_of_a_copy_without_items_leave_room_for_them(tmp_path: Path) -> None:
    steps = ["BEGIN TRANSACTION", "COPY P(id) FROM (UNWIND range(1, 3) AS x RETURN x)", "COMMIT"]
    steps += ["MATCH (p:P {id: 2}) SET p.s = [[7]]", "CHECKPOINT", "REOPEN", "CHECKPOINT"]
    status, seen = play(tmp_path, "s INT64[][]", steps)
    assert (status, seen[0], seen[-1]) == (0, [[1, None], [2, None], [3, None]], [[1, None], [2, [[7]]], [3, None]])


@pytest.mark.parametrize(
    "inner",
    [
        *("BOOL", "INT8", "UINT64", "INT128", "FLOAT", "DECIMAL(9, 2)", "STRING", "BLOB", "DATE", "INTERVAL", "UUID"),
        *("TIMESTAMP", "TIMESTAMP_NS", "TIMESTAMP_TZ", "INT64[3]", "MAP(STRING, INT64[])"),
        "STRUCT(a INT64, c STRUCT(d MAP(INT64, DATE)))",
    ],
)
def test_an_item_is_found_for_every_type(tmp_path: Path, inner: str) -> None:
    steps = ["CREATE (:P {id: 1})", "CHECKPOINT", "MATCH (p:P) SET p.m = map(['a'], [7])", "CHECKPOINT"]
    kept = "READ MATCH (p:P) RETURN p.s IS NULL, p.m"
    status, seen = play(tmp_path, f"s STRUCT(z {inner})[], m MAP(STRING, INT64)", [*steps, kept])
    assert (status, seen[-1]) == (0, [[True, {"a": 7}]])


@pytest.mark.parametrize(
    ("column", "value"),
    [("MAP(STRING, INT64)", "map(['a'], [7])"), ("STRUCT(a INT64)[]", "[{a: 7}]"), ("INT64[][]", "[[7]]")],
)
@pytest.mark.parametrize("write", ["CREATE (:Q {{id: 2, m: {}}})", "MATCH (q:Q) SET q.m = {}"])
def test_what_would_become_zeros_is_refused_and_can_be_taken_out(
    tmp_path: Path, column: str, value: str, write: str
) -> None:
    """A column that is added to stored rows has no items, and cannot be given one."""
    steps = ["CREATE NODE TABLE Q(id INT64, PRIMARY KEY(id))", "CREATE (:Q {id: 1})", "CHECKPOINT"]
    steps += [f"ALTER TABLE Q ADD m {column}", "CHECKPOINT", write.format(value), "CHECKPOINT", "ADVICE", "CHECKPOINT"]
    steps += ["READ MATCH (q:Q) RETURN q.m"]
    (_, without), (status, seen) = both(tmp_path, "s STRING", steps)
    assert "7" not in str(without[-1])
    assert (status, seen[2]) == (0, "Unstorable")
    assert [value for [value] in seen[-1]] == [None] * len(seen[-1])


def test_a_map_that_has_had_an_item_takes_others(tmp_path: Path) -> None:
    steps = ["CREATE (:P {id: 1, s: map(['a'], [7])})", "CHECKPOINT", "CREATE (:P {id: 2})", "CHECKPOINT"]
    steps += ["MATCH (p:P) SET p.s = map(['b'], [8])", "CHECKPOINT", "REOPEN", "CHECKPOINT"]
    status, seen = play(tmp_path, "s MAP(STRING, INT64)", steps)
    assert (status, seen[-1]) == (0, [[1, {"b": 8}], [2, {"b": 8}]])


@pytest.mark.parametrize("column", ["INT64[]", "DOUBLE[2]"])
def test_random_writes_of_lists_agree_with_a_model_only_with_the_guard(tmp_path: Path, column: str) -> None:
    for guarded in (True, False):
        folder = tmp_path / str(guarded)
        folder.mkdir()
        kept, said = is_kept(folder, column, 3, guarded=guarded)
        assert kept is guarded, said


def test_a_map_of_relationships_that_would_become_zeros_is_refused_and_can_be_taken_out(tmp_path: Path) -> None:
    steps = ["CREATE REL TABLE K(FROM P TO P, m MAP(STRING, INT64))", "CREATE (:P {id: 1})-[:K]->(:P {id: 2})"]
    steps += ["CHECKPOINT", "MATCH ()-[k:K]->() SET k.m = map(['a'], [7])", "CHECKPOINT"]
    status, seen = play(tmp_path, "s STRING", [*steps, "ADVICE", "CHECKPOINT", "READ MATCH ()-[k:K]->() RETURN k.m"])
    assert (status, seen[1], seen[-1]) == (0, "Unstorable", [[None]])


def test_names_with_backticks_and_quotes_are_looked_after(tmp_path: Path) -> None:
    table, words, lists, maps = "`a``'\"b`", '`s``"`', "`l``'`", "`m```` `"
    columns = f"{words} STRING, {lists} INT64[], {maps} MAP(STRING, INT64), `u``` UUID"

    def new(number: int) -> str:
        return f"CREATE (:{table} {{id: {number}, {words}: 'v', {lists}: [{number}]}})"

    steps = [f"CREATE NODE TABLE {table}(id INT64, {columns}, PRIMARY KEY(id))", new(1), new(2), "CHECKPOINT"]
    steps += [f"MATCH (t:{table} {{id: 2}}) SET t.{words} = 'x', t.{lists} = [9]", "CHECKPOINT"]
    steps += [f"MATCH (t:{table} {{id: 1}}) SET t.{lists} = [8]", new(3), f"CREATE (:{table} {{id: 4}})"]
    steps += ["CHECKPOINT", f"MATCH (t:{table} {{id: 1}}) SET t.{maps} = map(['a'], [7])", "CHECKPOINT"]
    steps += ["CHECKPOINT", f"READ MATCH (t:{table}) RETURN t.id, t.{words}, t.{lists}, t.{maps} ORDER BY t.id"]
    status, seen = play(tmp_path, "s STRING", steps)
    expected = [[1, "v", [8], {"a": 7}], [2, "x", [9], None], [3, "v", [3], None], [4, None, None, None]]
    assert (status, seen[-1]) == (0, expected)


@pytest.mark.parametrize(
    ("column", "stored", "value"),
    [
        ("STRUCT(m MAP(STRING, INT64), s STRING)", "{m: map([], []), s: 'a'}", "{m: map(['a'], [7]), s: 'b'}"),
        ("STRUCT(q STRUCT(`l` INT64[][]))", "{q: {l: cast([] AS INT64[][])}}", "{q: {l: [[7]]}}"),
        ("UNION(n INT64, l INT64[][])", "union_value(n := 5)", "union_value(l := [[7]])"),
    ],
)
def test_what_is_inside_a_struct_or_union_is_looked_for_too(
    tmp_path: Path, column: str, stored: str, value: str
) -> None:
    steps = [f"CREATE (:P {{id: 1, s: {stored}}})", "CHECKPOINT", f"CREATE (:P {{id: 2, s: {value}}})"]
    (_, without), (status, seen) = both(tmp_path, f"s {column}", [*steps, "CHECKPOINT", "ADVICE", "CHECKPOINT"])
    assert "7" not in str(without[1])
    assert (status, seen[1]) == (0, "Unstorable")
    assert [value is None for _, value in seen[-1]] == [False, True]


def test_lists_beside_those_of_lists_are_their_own(tmp_path: Path) -> None:
    """The inner lists are more than the rows."""
    stored = "CREATE (:P {{id: {}, s: {}, n: [[1], [2], [3], [4]]}})"
    steps = [stored.format(1, "[11, 12]"), stored.format(2, "[89]"), "CHECKPOINT", "MATCH (p:P {id: 2}) SET p.s = [24]"]
    steps += ["CREATE (:P {id: 3, s: [73], n: [[5], []]})", "CHECKPOINT"]
    (_, without), (status, seen) = both(tmp_path, "s INT64[], n INT64[][]", steps)
    expected = [[1, [11, 12]], [2, [24]], [3, [73]]]
    assert (status, seen[-1]) == (0, expected)
    assert without[-1] != expected
