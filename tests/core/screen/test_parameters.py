from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kuzu_node.core.screen import KeyTypes, Limits, Screen, Screened, literal
from kuzu_node.core.screen.shapes import Survey
from kuzu_node.errors import NodeError, StatementFailed
from tests.core.screen.engine import Answer, Engine, open_engine

LIMITS = Limits(max_length=100_000)
KEYS: KeyTypes = {"Big": ("id", "INT64"), "Small": ("id", "INT32"), "Text": ("id", "STRING"), "Real": ("id", "DOUBLE")}
SCHEMA = (
    "CREATE NODE TABLE Big(id INT64 PRIMARY KEY, v INT64)",
    "CREATE NODE TABLE Small(id INT32 PRIMARY KEY, v INT64)",
    "CREATE NODE TABLE Tiny(id UINT8 PRIMARY KEY, v INT64)",
    "CREATE NODE TABLE Text(id STRING PRIMARY KEY, v INT64)",
    "CREATE NODE TABLE Real(id DOUBLE PRIMARY KEY, v INT64)",
    "CREATE NODE TABLE Row(id INT64 PRIMARY KEY, name STRING, x DOUBLE, tags STRING[])",
    "UNWIND range(0, 99) AS i CREATE (:Big {id: i, v: i}), (:Small {id: CAST(i AS INT32), v: i})",
    "UNWIND range(0, 99) AS i CREATE (:Tiny {id: CAST(i AS UINT8), v: i}), (:Text {id: CAST(i AS STRING), v: i})",
    "UNWIND range(0, 99) AS i CREATE (:Real {id: CAST(i AS DOUBLE), v: i})",
)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with open_engine(*SCHEMA) as engine:
        yield engine


def screened(text: str, **parameters: object) -> Screened:
    return Screen(LIMITS).screen(text, parameters, {**KEYS, "Tiny": ("id", "UINT8")})


def ask(engine: Engine, text: str, **parameters: object) -> Answer:
    one = screened(text, **parameters)
    return engine.run(one.statements[0].text, one.parameters)


def same(one: object, other: object) -> bool:
    """Equal as JSON, where 1 and 1.0 are one number and a missing key reads as null."""
    if isinstance(one, dict) and isinstance(other, dict):
        return all(same(one.get(name), other.get(name)) for name in {*one, *other})
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, bool) or isinstance(other, bool) or one is None or other is None:
        return one is other
    if isinstance(one, str) and isinstance(other, int):
        # INT128 comes as a Decimal, and so as text.
        return int(one) == other
    return one == other


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
integers = st.one_of(st.integers(-300, 300), st.integers(-(2**63), 2**63 - 1))
floats = st.floats(allow_nan=False, allow_infinity=False)
names = st.one_of(
    st.sampled_from(["a", "b", "id", "match", "order", "key", "value", "A b", "x'y", 'q"', "`", "\\"]), texts
)


def shaped(children: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    """Lists of values of one type, objects, and lists of objects with the same fields, some of them null."""
    return st.one_of(st.lists(children, max_size=4), st.dictionaries(names, children, min_size=1, max_size=4))


scalars = st.one_of(st.none(), st.booleans(), integers, floats, texts)
values = st.recursive(scalars, shaped, max_leaves=12)
rows = st.lists(
    st.fixed_dictionaries(
        {"id": integers, "name": st.one_of(st.none(), texts)},
        optional={
            "x": st.one_of(st.none(), floats),
            "tags": st.lists(texts, max_size=2),
            "at": st.fixed_dictionaries({"n": integers}),
        },
    ),
    min_size=1,
    max_size=5,
)


@given(value=scalars)
@settings(max_examples=300)
def test_a_scalar_comes_back_as_it_went(engine: Engine, value: object) -> None:
    assert same(ask(engine, "RETURN $p AS x", p=value).value, value)
    assert same(engine.run(f"RETURN {literal(value)} AS x").value, value)


@given(value=values)
@settings(max_examples=300)
def test_any_value_comes_back_as_it_went_or_is_refused(engine: Engine, value: object) -> None:
    try:
        one = screened("RETURN $p AS x", p=value)
    except StatementFailed:
        return
    answer = engine.run(one.statements[0].text, one.parameters)
    assert not answer.died
    if not answer.error:
        assert same(answer.value, value), one.statements[0].text


@given(value=rows)
@settings(max_examples=40)
def test_rows_come_back_as_they_went_by_literal_and_by_cast(engine: Engine, value: list[dict[str, object]]) -> None:
    for part in (value, value * 20):
        one = screened("RETURN $p AS x", p=part)
        answer = engine.run(one.statements[0].text, one.parameters)
        assert not answer.error, (answer.error, one.statements[0].text)
        assert same(answer.value, part)
        counted = screened("UNWIND $p AS r RETURN count(*), min(r.id)", p=part)
        assert engine.run(counted.statements[0].text, counted.parameters).rows[0][0] == len(part)


@given(value=st.lists(st.one_of(st.none(), integers), min_size=0, max_size=200))
@settings(max_examples=100)
def test_lists_of_integers_keep_their_type(engine: Engine, value: list[int | None]) -> None:
    answer = ask(engine, "RETURN $p AS x", p=value)
    assert answer.types == ["INT64[]"]
    assert answer.value == value


@pytest.mark.parametrize(
    "value",
    [
        [{"a": 1}, None],
        [{"a": 1}, {"a": None}],
        [None, {"a": 1}] * 60,
        [{"a": {"b": 1}}, {"a": None}] * 60,
        [{"a": 1}, {"b": 1}],
        [{"a": "x", "b": "y"}, {"b": "y", "a": "x"}],
        [{"a": "x", "b": "y"}, {"b": "y", "a": "x"}] * 60,
        [[1], None] * 60,
        {"a": None},
        {"a": []},
        {"a": {"b": None}},
        {"key": ["a"], "value": ["b"]},
        [{"key": ["a"], "value": ["b"]}] * 60,
        [],
        [[]],
        [None],
        [None] * 100,
        [[], ["a"]],
        [{"a": []}, {"a": ["x"]}],
        [{"a": []}] * 100,
        [{"a": 1, "b": None}] * 100,
        [{"a": 1, "b": [None]}] * 100,
        {"rows": [{"id": i, "n": None} for i in range(100)], "name": "x", "none": None},
        [1, 2.5],
        [{"a": 1}, {"a": 0.5}] * 60,
        [9223372036854775808, 1],
        [[None, None], [None, True]],
        [[None], [], [["x"]]],
        [[None, None], ["x"]] * 60,
        [{"n": -170141183460469231731687303715884105728}, {"n": 1}],
        {"A": 1, "a b": 2, "exists": 3, "null": 4, "\u00e9": 5},
        [{"order": 1, "limit": 2}] * 60,
        "\x00'\\\\n\"`${}\n\r\t\u2028",
        ["\\", "'", "\\'"],
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_the_engine_would_garble_or_die_of_is_bound_right(engine: Engine, value: object) -> None:
    answer = ask(engine, "RETURN $p AS x", p=value)
    assert not answer.died
    assert same(answer.value, value)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({}, "parameters.p:"),
        ([{"a": {}}], "parameters.p[0].a:"),
        ([1, "a"], "parameters.p[1]:"),
        ([{"a": "x"}, "y"], "parameters.p[1]:"),
        ([["x"], "y"], "parameters.p[1]:"),
        ([True, 1], "parameters.p[1]:"),
        ([{"a": 1}, {"a": True}], "parameters.p[1].a:"),
        ([[1], {"a": 1}], "parameters.p[1]:"),
        ([9007199254740993, 0.5], "parameters.p[0]:"),
        (math.nan, "parameters.p:"),
        ([{"x": math.inf}], "parameters.p[0].x:"),
        ("\ud800", "parameters.p:"),
        ({"\udfff": 1}, "parameters.p:"),
        (2**127, "parameters.p:"),
        ([-(2**127) - 1], "parameters.p[0]:"),
        (b"x", "parameters.p:"),
    ],
)
def test_what_has_no_meaning_in_the_engine_is_refused_with_its_path(value: object, path: str) -> None:
    with pytest.raises(StatementFailed) as caught:
        screened("RETURN $p", p=value)
    assert caught.value.code == "parameter"
    assert caught.value.committed is False
    assert caught.value.detail.startswith(path)


def test_limits_on_parameters_name_their_setting() -> None:
    deep: object = 1
    for _ in range(5000):
        deep = [deep]
    odd = [{"a b": i} for i in range(9000)]
    for value, setting in (
        (deep, "KUZU_MAX_NESTING"),
        ("x" * (8 << 20), "KUZU_MAX_PARAMETER_BYTES"),
        (odd, "KUZU_MAX_TOKENS"),
    ):
        with pytest.raises(NodeError) as caught:
            screened("RETURN $p", p=value)
        assert caught.value.code == "bad_request"
        assert setting in caught.value.detail


@pytest.mark.parametrize("label", ["Big", "Small", "Tiny", "Real"])
@pytest.mark.parametrize(
    "text",
    [
        "MATCH (n:{} {{id: $p}}) RETURN n.v",
        "MATCH (n : `{}` {{ v: $p, id : $p }}) RETURN n.v",
        "MATCH (:{} {{id: $p}}) RETURN $p",
        "MATCH (n:{}) WHERE n.id = $p RETURN n.v",
        "MATCH (n:{}) WHERE $p = n.id RETURN n.v",
        "MATCH (n:{}) WHERE n.v = 7 AND n.`id` = $p RETURN n.v",
    ],
)
def test_an_integer_finds_its_node_by_the_key_index(engine: Engine, label: str, text: str) -> None:
    cypher = text.format(label)
    assert ask(engine, cypher, p=7).rows == [[7]]
    plan = str(ask(engine, "EXPLAIN " + cypher, p=7).value)
    assert "PRIMARY_KEY_SCAN" in plan or "INDEX_LOOK_UP" in plan, plan


@pytest.mark.parametrize("value", [7, -7, 300, 2**31, 2**63 - 1, 2**64])
@pytest.mark.parametrize("label", ["Big", "Small", "Tiny", "Real", "Text"])
def test_a_typed_key_changes_no_answer(engine: Engine, label: str, value: int) -> None:
    if label == "Text":
        assert screened("MATCH (n:Text {id: $p}) RETURN n.v", p=7).statements[0].text.endswith("{id: 7}) RETURN n.v")
        return
    expected = [[7]] if value == 7 else []
    answer = ask(engine, f"MATCH (n:{label} {{id: $p}}) RETURN n.v", p=value)
    assert answer.rows == expected or "Overflow" in answer.error or "Cast failed" in answer.error


def test_variables_of_two_labels_get_plain_literals() -> None:
    for text in (
        "MATCH (n:Small|Big) WHERE n.id = $p RETURN n.v",
        "MATCH (n:Small), (m) WHERE m.id = $p RETURN 1",
        "MATCH (n:Small) WITH n MATCH (n:Big) WHERE n.id = $p RETURN 1",
        "MATCH (n:Small) WHERE n.v = $p RETURN n.v",
        "MATCH (n:Small) WHERE n.id > $p RETURN n.v",
        "MATCH (n:Small) WHERE x.n.id = $p RETURN n.v",
    ):
        assert "= 7" in screened(text, p=7).statements[0].text.replace("> 7", "= 7")


def test_integers_do_not_overflow_and_negatives_are_in_brackets(engine: Engine) -> None:
    assert ask(engine, "RETURN $a + $b", a=100, b=100).value == 200
    assert ask(engine, "RETURN 5-$a", a=-3).value == 8
    assert screened("RETURN 5-$a", a=-3).statements[0].text == "RETURN 5-(-3)"
    assert ask(engine, "UNWIND $rows AS r RETURN max(r.n * 100000000)", rows=[{"n": 100}] * 200).value == 10_000_000_000


def test_used_names_are_dropped_and_others_stay() -> None:
    one = screened("RETURN $i, $s, $f, $n, $b", i=1, s="x", f=0.5, n=None, b=True)
    assert one.parameters == {"s": "x", "f": 0.5, "n": None, "b": True}
    assert one.statements[0].text == "RETURN 1, $s, $f, $n, $b"


def test_quoted_and_numbered_parameters_are_found(engine: Engine) -> None:
    assert ask(engine, "RETURN $`a b`", **{"a b": "x"}).value == "x"
    assert ask(engine, "RETURN $1", **{"1": "x"}).value == "x"
    assert ask(engine, "RETURN $`a b` + 1", **{"a b": 1}).value == 2


def test_a_parameter_that_is_missing_or_too_many_is_refused() -> None:
    for text, parameters, name in (
        ("RETURN $p", {}, "p"),
        ("RETURN 1", {"q": 1}, "q"),
        ("RETURN $p", {"p": 1, "q": 1}, "q"),
    ):
        with pytest.raises(StatementFailed) as caught:
            screened(text, **parameters)
        assert caught.value.code == "parameter"
        assert caught.value.detail.startswith(f"parameters.{name}: Parameter {name} not found")


def test_a_literal_never_grows_together_with_what_stands_before_it(engine: Engine) -> None:
    one = screened("RETURN 1$p", p=5)
    assert engine.run(one.statements[0].text).error
    assert engine.run("RETURN 1$p", {"p": "x"}).error


def test_call_arguments_are_literals_not_casts() -> None:
    one = screened("CALL QUERY_VECTOR_INDEX('Row', 'v', $p, $k) RETURN *", p=list(range(300)), k=3)
    assert "CAST" not in one.statements[0].text
    assert one.parameters == {}
    one = screened("CALL QUERY_VECTOR_INDEX('Row', 'v', $p, 3) RETURN *", p=[0, 0.5] * 200)
    assert one.parameters == {"p": [0.0, 0.5] * 200}


def test_large_rows_are_written_with_nulls_and_missing_fields(engine: Engine) -> None:
    rows_ = [
        {"id": i, "x": None, "tags": ["t"]} if i % 2 else {"tags": [], "id": i, "name": f"n{i}"} for i in range(400)
    ]
    text = "UNWIND $rows AS r CREATE (:Row {id: r.id, name: r.name, x: r.x, tags: r.tags})"
    assert not ask(engine, text, rows=rows_).error
    assert engine.run(
        "MATCH (r:Row) RETURN count(*), count(r.name), count(r.x), CAST(sum(size(r.tags)) AS INT64)"
    ).rows == [[400, 200, 0, 200]]


@given(value=st.lists(rows, min_size=1, max_size=3))
def test_long_lists_have_the_types_that_a_walk_finds(value: list[list[dict[str, object]]]) -> None:
    """A batch is looked at by column; in halves too short for that it is walked, with the same outcome."""
    batch = [row for part in value for row in part]
    walked = Survey(LIMITS).shape_of(batch[:16], "p")
    assert Survey(LIMITS).shape_of(batch[:16] * 17, "p") == walked


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({f"k{i}": 1 for i in range(1001)}, "more than 1000 keys"),
        ([{f"k{i}": 1} for i in range(20_000)], "more than 1000 different keys"),
        ([[{f"k{i}": 1}] for i in range(20_000)], "more than 1000 different keys"),
        ([{f"k{i % 900}": 1} for i in range(20_000)], "KUZU_MAX_PARAMETER_BYTES"),
        ([[{f"k{i % 900}": 1}] for i in range(20_000)], "KUZU_MAX_PARAMETER_BYTES"),
    ],
)
def test_objects_that_differ_in_most_of_their_keys_are_refused(value: object, message: str) -> None:
    """The engine has one set of fields for all objects of a list, so each of them would get all."""
    with pytest.raises(NodeError, match=message):
        Screen(LIMITS).screen("RETURN $p", {"p": value})
