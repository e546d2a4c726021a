from __future__ import annotations

from collections.abc import Iterator

import pytest

from kuzu_node.core.screen import Kind, Limits, Screen
from kuzu_node.errors import Forbidden, NodeError
from tests.attacks.corpus import ATTACKS, HONEST, SCHEMA, Attack, Honest
from tests.core.screen.engine import Engine, open_engine

LIMITS = Limits(max_length=100_000)
PLACES = {"secret": "/srv/secret.csv", "outside": "/srv/out", "other": "/srv/other.kuzu"}


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with open_engine(*SCHEMA) as engine:
        yield engine


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_what_leaves_the_database_is_refused_and_says_what_to_use(attack: Attack) -> None:
    with pytest.raises(Forbidden) as caught:
        Screen(LIMITS).screen(attack.filled(**PLACES), {})
    assert caught.value.code == "forbidden_statement"
    assert caught.value.committed is False
    assert caught.value.is_statement
    assert len(caught.value.detail) > 30


def mangled(text: str) -> Iterator[str]:
    """The same tokens in other clothes."""
    if not {"'", '"', "$", "`"} & set(text):
        yield text.swapcase()
    if '"' not in text and "/" not in text.replace(PLACES["secret"], ""):
        yield text.replace(" ", "/*;*/")
        yield text.replace(" ", "\u2003\n//'\r\n")
    yield f"  \u00a0/***x*/ {text}\n;; "
    yield f"RETURN 1; {text}"


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_comments_spaces_and_company_do_not_help_an_attack(attack: Attack) -> None:
    for text in mangled(attack.filled(**PLACES)):
        with pytest.raises(Forbidden):
            Screen(LIMITS).screen(text, {})


@pytest.mark.parametrize("prefix", ["EXPLAIN ", "PROFILE ", "EXPLAIN LOGICAL "])
def test_explain_and_profile_hide_nothing(prefix: str) -> None:
    for attack in ATTACKS:
        if attack.text.lstrip("; ").upper().startswith(("EXPLAIN", "PROFILE")):
            continue
        with pytest.raises(Forbidden):
            Screen(LIMITS).screen(prefix + attack.filled(**PLACES).lstrip("; "), {})


def test_honest_texts_pass_with_their_kind_and_run(engine: Engine) -> None:
    """In order: later texts use what earlier ones made."""
    for honest in HONEST:
        screened = Screen(LIMITS).screen(honest.text, honest.parameters)
        assert screened.kind is Kind(honest.kind), honest.text
        for statement in screened.statements:
            answer = engine.run(statement.text, screened.parameters)
            assert not answer.error, (honest.text, statement.text, answer.error)


@pytest.mark.parametrize("honest", [one for one in HONEST if one.kind == "read"], ids=lambda honest: honest.text)
def test_honest_words_survive_being_only_strings(honest: Honest) -> None:
    quoted = "'" + honest.text.replace("\\", "\\\\").replace("'", "\\'") + "'"
    assert Screen(LIMITS).screen(f"RETURN {quoted} AS x", {}).is_read


def test_attacks_in_parameters_are_only_values(engine: Engine) -> None:
    for attack in ATTACKS:
        text = attack.filled(**PLACES)
        for value in (text, [text, 1.5 and text], {"a": text, "b": 1}, f"'; {text} //"):
            screened = Screen(LIMITS).screen("RETURN $p AS x", {"p": value})
            assert screened.is_read
            assert engine.run(screened.statements[0].text, screened.parameters).value == value


def test_an_attack_in_a_label_or_alias_is_only_a_name(engine: Engine) -> None:
    for attack in ATTACKS:
        name = attack.filled(**PLACES).replace("`", "")
        screened = Screen(LIMITS).screen(f"RETURN 1 AS `{name}`", {})
        assert engine.run(screened.statements[0].text).value == 1


@pytest.mark.parametrize(
    "text", ["FOO", "SKIP 1", "'x'", "(1)", "RETURNS 1", "CREATE", "CREATE x", "EXPLAIN", "GRAPH g"]
)
def test_what_begins_no_statement_is_a_syntax_error_with_its_place(text: str) -> None:
    with pytest.raises(NodeError) as caught:
        Screen(LIMITS).screen("\n  " + text, {})
    assert caught.value.code == "syntax"
    assert caught.value.line == 2
    assert caught.value.column is not None
    assert caught.value.column >= 3


def refusal_of(text: str) -> str:
    try:
        Screen(LIMITS).screen(text, {})
    except NodeError as refusal:
        return refusal.detail
    return ""


def test_the_engine_knows_no_statement_that_the_screen_has_not_heard_of(engine: Engine) -> None:
    """The engine lists what it expects at the start of a statement; each is allowed or forbidden by name."""
    error = engine.run(";").error
    expected = error[error.index("{") + 1 : error.index("}")].split(", ")
    assert "MATCH" in expected
    for word in expected:
        if word in ("EXPLAIN", "PROFILE", "SP"):
            continue
        assert word == "CREATE" or "no statement begins like this" not in refusal_of(f"{word} x y z"), word


def test_projected_graphs_are_for_sessions_and_their_strings_are_looked_at() -> None:
    session = Screen(LIMITS, allow_projected_graphs=True)
    assert session.screen("CALL PROJECT_GRAPH('g', {'Person': 'n.age > 1'}, ['Knows'])", {}).is_read
    assert session.screen("CALL PROJECT_GRAPH_CYPHER('g', 'MATCH (n:Person) RETURN n')", {}).is_read
    assert session.screen("CALL drop_projected_graph('g')", {}).is_read
    for text in (
        "CALL PROJECT_GRAPH_CYPHER('g', 'LOAD FROM \"x\" RETURN *')",
        "CALL PROJECT_GRAPH_CYPHER('g', '\\u004cOAD FROM \"x\" RETURN *')",
        "CALL PROJECT_GRAPH('g', {'Person': 'n.age > 1 RETURN 1; DROP TABLE Person'}, [])",
        "CALL PROJECT_GRAPH_CYPHER('g', $text)",
    ):
        with pytest.raises(Forbidden):
            session.screen(text, {"text": "x"} if "$" in text else {})
