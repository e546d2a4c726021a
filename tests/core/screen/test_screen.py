from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kuzu_node.core.screen import Kind, Limits, Screen, screen, split_ddl
from kuzu_node.core.screen.words import RESERVED
from kuzu_node.errors import Forbidden, NodeError, RequestRefused
from tests.attacks.corpus import SCHEMA
from tests.core.screen.engine import Engine, open_engine

LIMITS = Limits(max_length=100_000)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with open_engine(*SCHEMA) as engine:
        yield engine


def rewritten(text: str) -> str:
    return screen(text, {}, limits=LIMITS).statements[0].text


# Names that are keywords: where they stand decides whether they begin a clause.
_NAMES = st.sampled_from(["set", "delete", "merge", "as", "return", "call", "load", "match", "n", "`set`"])
_CLAUSES = st.sampled_from(
    [
        "MATCH ({a}:Person)",
        "MATCH ({a}:Person) WHERE {a}.id = 1",
        "MATCH ({a}:Person {{id: 1}})",
        "WITH {a}",
        "WITH {a} AS {b}",
        "WITH {a}.name AS {b}",
        "WITH 1 AS {b}",
        "UNWIND [1] AS {b}",
        "SET {a}.name = 'x'",
        "SET {a}.load = 'x', {a}.copy = 'y'",
        "DELETE {a}",
        "DETACH DELETE {a}",
        "MERGE ({b}:Load {{id: 3}})",
        "MERGE ({b}:Load {{id: 3}}) ON MATCH SET {b}.export = 'q'",
        "CREATE ({b}:Load {{id: 3}})",
        "RETURN {a}",
        "RETURN {a} AS {b}",
        "RETURN {a}.name AS {b} ORDER BY {b}",
        "RETURN {a}.load, {a}.copy AS {b}",
        "RETURN nextval('ids')",
        "RETURN 1 AS {b} UNION RETURN 2 AS {b}",
    ]
)


@given(clauses=st.lists(_CLAUSES, min_size=1, max_size=5), a=_NAMES, b=_NAMES)
@settings(max_examples=700)
def test_a_read_never_writes(engine: Engine, clauses: list[str], a: str, b: str) -> None:
    """The engine refuses writes in a read-only transaction: it must refuse none of our reads."""
    text = " ".join(clauses).format(a=a, b=b)
    try:
        screened = screen(text, {}, limits=LIMITS)
    except NodeError:
        return
    engine.run("BEGIN TRANSACTION READ ONLY")
    answer = engine.run(screened.statements[0].text)
    engine.run("ROLLBACK")
    if "read-only transaction" in answer.error:
        assert screened.kind is not Kind.READ, text


def test_the_read_only_transaction_of_the_test_above_does_refuse(engine: Engine) -> None:
    engine.run("BEGIN TRANSACTION READ ONLY")
    answer = engine.run("CREATE (:Load {id: 99})")
    engine.run("ROLLBACK")
    assert "read-only transaction" in answer.error


_PIECES = st.sampled_from(
    [
        *"LOAD FROM LOAD FROM WITH HEADERS COPY TO RETURN MATCH UNION ALL CALL AS Load load".split(),
        *"UNWIND EXPLAIN PROFILE ; ( ) , = .".split(),
        "'{secret}'",
        "'{secret}'",
        "RETURN *",
        "RETURN 1 AS column0",
        "MATCH (n:Person)",
        "(n:Load)",
        "WITH 1 AS load",
        "CREATE NODE TABLE IF NOT EXISTS Stolen AS",
        "/*",
        "*/",
        "/***/",
        "'",
        '"',
        "`",
        "//",
        "\n",
    ]
)


@given(pieces=st.lists(_PIECES, min_size=2, max_size=9), space=st.sampled_from([" ", "/**/", "\u00a0", "\n"]))
@settings(max_examples=400)
def test_nothing_that_passes_reads_a_file(
    engine: Engine, tmp_path_factory: pytest.TempPathFactory, pieces: list[str], space: str
) -> None:
    secret = tmp_path_factory.getbasetemp() / "secret.csv"
    secret.write_text("top-secret\ntop-secret\n")
    text = space.join(pieces).replace("{secret}", str(secret))
    try:
        screened = screen(text, {}, limits=LIMITS)
    except NodeError:
        return
    for statement in screened.statements:
        assert "top-secret" not in str(engine.run(statement.text).rows), text


@pytest.mark.parametrize("word", sorted(RESERVED))
def test_every_reserved_word_is_taken_as_an_alias(engine: Engine, word: str) -> None:
    name = word.lower()
    assert engine.run(f"RETURN 1 AS {name}").error
    for text in (
        f"RETURN 1 AS {name}",
        f"WITH 2 AS x RETURN x AS {name}, 1 AS y",
        f"RETURN 'a' AS x, 2 AS {name} ORDER BY x",
    ):
        answer = engine.run(rewritten(text))
        assert not answer.error, (text, answer.error)
    if word not in ("CASE", "DISTINCT", "FALSE", "NOT", "NULL", "TRUE"):
        for text in (
            f"WITH 1 AS {name} RETURN {name}",
            f"UNWIND [1, 1] AS {name} RETURN {name} + 0 AS x, count(*) ORDER BY x DESC",
            f"UNWIND [1, 2] AS {name} WITH {name} WHERE {name} = 1 RETURN {name} AS {name} ORDER BY {name} ASC",
        ):
            answer = engine.run(rewritten(text))
            assert not answer.error, (text, answer.error)
            assert answer.rows[0][0] == 1


@pytest.mark.parametrize(
    "word", ["from", "to", "yield", "load", "copy", "match", "count", "set", "as", "limit", "skip", "key"]
)
def test_words_that_are_not_reserved_stay_as_they_are(engine: Engine, word: str) -> None:
    text = f"RETURN 1 AS {word}"
    assert rewritten(text) == text
    assert not engine.run(text).error


@pytest.mark.parametrize(
    "text",
    [
        "RETURN CAST(1 AS STRING)",
        "RETURN CAST(1 AS UNION(a INT64, b STRING))",
        "MATCH (n:Person) WITH n AS as WHERE as.id = 1 RETURN as",
        "UNWIND [1] AS y WITH 1 AS x WHERE x = 1 RETURN x",
        "WITH 1 AS x RETURN x",
        "CREATE NODE TABLE T1 AS UNWIND [1] AS x RETURN x",
        "CREATE NODE TABLE T2 AS WITH 1 AS x RETURN x",
        "CREATE NODE TABLE T3 AS OPTIONAL MATCH (n:Person) RETURN n.id",
        "RETURN 'AS order' AS x ORDER BY x",
    ],
)
def test_quoting_touches_nothing_that_was_right(engine: Engine, text: str) -> None:
    assert rewritten(text) == text
    assert not engine.run(text).error


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("WITH 1 AS x WHERE x = 1 RETURN x", [[1]]),
        ("with 1 AS exists WHERE exists = 1 RETURN exists", [[1]]),
        ("WITH 1 AS x WITH x WHERE x = 2 RETURN *", []),
        ("WITH count(*) AS c WHERE c = 1 RETURN c", [[1]]),
        ("WITH DISTINCT 1 AS x WHERE x = 1 MATCH (n:Person) RETURN n.id", [[1], [2]]),
        ("RETURN 1 AS x UNION ALL WITH 2 AS x WHERE x = 2 RETURN x", [[1], [2]]),
        ("COPY Load(id) FROM (WITH 500 AS x WHERE x = 500 RETURN x)", None),
        ("CREATE NODE TABLE FromWith AS WITH 7 AS x WHERE x = 7 RETURN x", None),
        ("EXPLAIN LOGICAL WITH 1 AS x WHERE x = 1 RETURN x", None),
        ("PROFILE WITH 1 AS x WHERE x = 1 RETURN x", None),
    ],
)
def test_a_query_that_begins_with_a_filtered_projection_does_not_end_the_engine(
    engine: Engine, text: str, rows: list[list[object]] | None
) -> None:
    answer = engine.run(rewritten(text))
    assert not answer.error
    assert rows is None or answer.rows == rows


def test_subqueries_stay_subqueries_behind_an_alias_exists(engine: Engine) -> None:
    text = "MATCH (n:Person) WHERE EXISTS { MATCH (n)-[:Knows]->() } WITH n.id AS exists RETURN exists ORDER BY exists"
    assert engine.run(rewritten(text)).rows == [[1]]


def test_statements_are_split_and_stand_as_sent() -> None:
    text = " /* ; */ CREATE (:A {s: ';'}) ;; // ;\n RETURN `;` ; "
    screened = screen(text, {}, limits=LIMITS)
    assert [one.text for one in screened.statements] == ["CREATE (:A {s: ';'})", "RETURN `;`"]
    assert [one.kind for one in screened.statements] == [Kind.WRITE, Kind.READ]
    assert screened.kind is Kind.WRITE
    assert not screened.is_read


@pytest.mark.parametrize("text", ["", "  ", ";", "; ;", "/* RETURN 1 */", "// RETURN 1", "\u00a0\n;"])
def test_a_text_without_a_statement_is_empty(text: str) -> None:
    with pytest.raises(RequestRefused) as caught:
        screen(text, {}, limits=LIMITS)
    assert caught.value.code == "empty_query"


@pytest.mark.parametrize(
    "text",
    [
        "COPY T FROM (MATCH (n:T) RETURN n.id)",
        "CREATE NODE TABLE T AS MATCH (n:T) RETURN n.id",
        "CREATE REL TABLE IF NOT EXISTS T(FROM A TO B) AS MATCH (a:A) RETURN a.id, a.id",
        "CALL CREATE_FTS_INDEX('T', 'i', ['v'])",
        "CALL drop_vector_index('T', 'i')",
        "ALTER TABLE T DROP c",
        "ALTER TABLE T DROP IF EXISTS c",
        "ALTER TABLE `x DROP` DROP c",
    ],
)
def test_bulk_statements_and_dropped_columns_are_alone_in_their_request(text: str) -> None:
    assert screen(text + ";", {}, limits=LIMITS).is_bulk
    for both in (f"{text}; RETURN 1", f"RETURN 1; {text}", f"{text}; {text}"):
        with pytest.raises(RequestRefused) as caught:
            screen(both, {}, limits=LIMITS)
        assert caught.value.code == "bad_request"
        assert "only statement" in caught.value.detail


def test_tables_and_columns_with_the_names_of_keywords_are_not_bulk() -> None:
    for text in (
        "CREATE NODE TABLE as(id INT64 PRIMARY KEY)",
        "CREATE NODE TABLE T(id INT64 PRIMARY KEY, as STRING DEFAULT CAST(1 AS STRING))",
        "CREATE REL TABLE if(FROM A TO B, as INT64)",
        "ALTER TABLE DROP ADD c INT64",
        "DROP TABLE copy",
    ):
        assert screen(text, {}, limits=LIMITS).kind is Kind.DDL, text


def test_parameters_go_with_one_statement() -> None:
    with pytest.raises(RequestRefused) as caught:
        screen("RETURN $p; RETURN 1", {"p": 1}, limits=LIMITS)
    assert caught.value.code == "bad_request"


def test_the_fingerprint_is_that_of_the_shape() -> None:
    def mark(text: str) -> str:
        return screen(text, {"p": "x"} if "$p" in text else {}, limits=LIMITS).statements[0].fingerprint

    assert (
        mark("MATCH (n {id: 1}) RETURN n")
        == mark("match /* x */ (n {id:'abc'})\nreturn n")
        == mark("MATCH (n {id: $p}) RETURN n")
    )
    assert mark("RETURN [1,2,3]") == mark("RETURN ['a']")
    assert mark("MATCH (n {id: 1}) RETURN n") != mark("MATCH (m {id: 1}) RETURN m")


def test_a_remembered_text_answers_as_a_new_one() -> None:
    kept = Screen(LIMITS, cache_size=2)
    texts = ["RETURN $p AS x", "RETURN $p AS exists", "RETURN 1", "RETURN $p AS x"]
    for text in texts * 2:
        for value in (1, [2, "x"][1], None):
            parameters = {"p": value} if "$p" in text else {}
            assert kept.screen(text, parameters) == screen(text, parameters, limits=LIMITS)
    with pytest.raises(Forbidden):
        kept.screen("CHECKPOINT", {})
    with pytest.raises(Forbidden):
        kept.screen("CHECKPOINT", {})


def test_places_in_a_rewritten_text_lead_back_to_the_text_as_sent() -> None:
    text = "RETURN 0;\nMATCH (n {id: 1})\nRETURN n AS exists, n.id AS wrong"
    screened = screen(text, {}, limits=LIMITS)
    two = screened.statements[1].text
    line, offset = two.count("\n") + 1, len(two.split("\n")[-1]) - len("wrong")
    assert screened.origin(1, line, offset) == (3, 29)
    text = "RETURN $a + $b AS exists,\n $a AS wrong"
    screened = screen(text, {"a": 1234567, "b": -1}, limits=LIMITS)
    assert screened.origin(0, 1, 0) == (1, 1)
    assert screened.origin(0, 1, 10) == (1, 8)
    assert screened.origin(0, 1, screened.statements[0].text.index("(-1)")) == (1, 13)
    assert screened.origin(0, 2, len(" 1234567 AS ")) == (2, 8)


def test_the_engines_offsets_are_those_that_origin_takes(engine: Engine) -> None:
    text = "RETURN $a AS exists,\n'\u00e9\U0001f600' ]"
    screened = screen(text, {"a": 1234567}, limits=LIMITS)
    error = engine.run(screened.statements[0].text).error
    words = error[error.index("(line: ") :].split(")")[0].replace("(line: ", "").replace(" offset: ", "").split(",")
    assert screened.origin(0, int(words[0]), int(words[1])) == (2, 6)


def test_a_schema_takes_schema_statements_only() -> None:
    text = """
        CREATE NODE TABLE A(id INT64 PRIMARY KEY); -- x
    """
    with pytest.raises(NodeError):
        split_ddl(text, limits=LIMITS)
    text = (
        "CREATE NODE TABLE A(id INT64, PRIMARY KEY(id)); CREATE REL TABLE R(FROM A TO A); ALTER TABLE A ADD b STRING;"
    )
    assert len(split_ddl(text + "COMMENT ON TABLE A IS ';'; CREATE SEQUENCE s", limits=LIMITS)) == 5
    for bad in (
        "MATCH (n) RETURN n",
        "CREATE (:A {id: 1})",
        "COPY A FROM (RETURN 1)",
        "CREATE NODE TABLE B AS RETURN 1",
    ):
        with pytest.raises(Forbidden):
            split_ddl(bad, limits=LIMITS)
    with pytest.raises(Forbidden) as caught:
        split_ddl(text + "MATCH (n) RETURN n", limits=LIMITS)
    assert caught.value.statement == 3
    with pytest.raises(Forbidden):
        split_ddl("DROP TABLE A", limits=LIMITS)
    assert split_ddl("DROP TABLE A", limits=LIMITS, allow_drop=True)[0].kind is Kind.DDL
    assert split_ddl("ALTER TABLE A DROP b", limits=LIMITS)[0].kind is Kind.DROP_COLUMN
    with pytest.raises(RequestRefused):
        split_ddl("ALTER TABLE A DROP b; ALTER TABLE A ADD c INT64", limits=LIMITS)
    with pytest.raises(RequestRefused):
        split_ddl("CREATE NODE TABLE A(id INT64 DEFAULT $p, PRIMARY KEY(id))", limits=LIMITS)
