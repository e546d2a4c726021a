from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kuzu_node.core.screen import Limits, Screen
from kuzu_node.core.screen.lexer import longest_chain, spans_of, tokens_of
from kuzu_node.errors import NodeError
from tests.core.screen.engine import Engine, open_engine

LIMITS = Limits(max_length=1_000_000)
# No surrogates: neither UTF-8 nor the engine has them.
characters = st.characters(exclude_categories=["Cs"])
nasty = st.sampled_from(list("'\"`\\/*;$ \n\r\tabnxu0123()[]{}.,:=-\u00a0\u2028\u3000\u0085\ufeff\u180e\u00e9\u20ac"))
texts = st.text(st.one_of(nasty, nasty, characters), max_size=24)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with open_engine() as engine:
        yield engine


def lexed(text: str) -> list[str] | None:
    try:
        return tokens_of(text)
    except NodeError:
        return None


@given(text=texts)
@settings(max_examples=400)
def test_tokens_and_spans_agree_and_cover_all_but_white_space(text: str) -> None:
    tokens = lexed(text)
    if tokens is None:
        return
    spans = spans_of(text)
    assert len(tokens) == len(spans)
    for token, (start, end) in zip(tokens, spans, strict=True):
        assert token == text[start:end].encode().upper().decode()
    gaps = [
        text[a:b]
        for a, b in zip([0, *(end for _, end in spans)], [*(start for start, _ in spans), len(text)], strict=True)
    ]
    for gap in gaps:
        assert (
            re.sub(r"/\*.*?\*/|//[^\n\r]*\r?\n?", "", gap, flags=re.DOTALL).strip("\u180e").strip() == "" or "/*" in gap
        )


@given(body=st.text(st.one_of(nasty, characters), max_size=20), quote=st.sampled_from("'\""))
@settings(max_examples=300)
def test_a_string_for_the_lexer_is_one_for_the_engine(engine: Engine, body: str, quote: str) -> None:
    """`RETURN <string>` runs in the engine exactly when the lexer sees one string token."""
    text = f"{quote}{body}{quote}"
    tokens = lexed(text)
    is_one = tokens is not None and len(tokens) == 1 and tokens[0][0] in "'\""
    answer = engine.run(f"RETURN {text} AS x")
    assert not answer.died
    if is_one:
        assert not answer.error, (text, answer.error)
    elif tokens is None:
        assert answer.error, text


@given(body=texts)
@settings(max_examples=300)
def test_a_comment_or_space_for_the_lexer_is_one_for_the_engine(engine: Engine, body: str) -> None:
    for text in (f"/*{body}*/", f"//{body}\n", body):
        tokens = lexed(f"RETURN{text}1")
        answer = engine.run(f"RETURN{text}1")
        if tokens == ["RETURN", "1"]:
            assert not answer.error, (text, answer.error)
        elif tokens is None:
            assert answer.error, text
        elif not answer.error and answer.rows == [[1]]:
            # More tokens, and the engine agrees that they are an expression: never just white space.
            assert len(tokens) > 2, text


@given(name=st.text(st.one_of(nasty, characters), min_size=1, max_size=8))
@settings(max_examples=300)
def test_a_name_for_the_engine_is_one_for_the_lexer(engine: Engine, name: str) -> None:
    for text in (name, f"`{name}`"):
        answer = engine.run(f"WITH 1 AS {text} RETURN 2 AS x")
        tokens = lexed(f"WITH 1 AS {text} RETURN 2 AS x")
        if not answer.error and answer.types == ["INT64"] and len(answer.rows) == 1:
            assert tokens is not None, text
            if len(tokens) == 8:
                continue
            # The engine read more clauses out of it, as the lexer did.
            assert len(tokens) > 8, text


@given(
    parts=st.lists(
        st.one_of(
            st.just("RETURN 1"),
            st.just("RETURN ';'"),
            st.just("RETURN 1 /* ; */"),
            st.just('RETURN "\\";"'),
            st.just("RETURN 1 AS `;`"),
            st.just("RETURN 1 // ;\n"),
            st.just("RETURN '\\\\' /***/ ; */"),
        ),
        min_size=1,
        max_size=5,
    )
)
@settings(max_examples=60)
def test_splitting_agrees_with_the_engine(engine: Engine, parts: list[str]) -> None:
    """Each piece runs by itself, and together they are as many statements as the engine finds."""
    text = ";".join(parts)
    statements = Screen(LIMITS).screen(text, {}).statements
    for statement in statements:
        assert not engine.run(statement.text).error, statement.text
    joined = engine.run(text)
    assert not joined.error, text
    assert len(statements) == len(parts)


def test_white_space_is_exactly_that_of_the_engine(engine: Engine) -> None:
    candidates = [
        chr(code) for code in range(0x10000) if unicodedata.category(chr(code)) in ("Zs", "Zl", "Zp", "Cc", "Cf")
    ]
    for character in candidates:
        ours = lexed(f"RETURN{character}1") == ["RETURN", "1"]
        theirs = not engine.run(f"RETURN{character}1").error
        assert ours == theirs, f"U+{ord(character):04X}"


def test_currency_signs_and_combining_marks_are_parts_of_names(engine: Engine) -> None:
    for name in ("a$b", "a\u20acb", "e\u0301x", "\u0939\u093f\u0928\u094d\u0926\u0940", "\u203fx", "\u53d8\u91cf"):
        assert lexed(f"RETURN 1 AS {name}") is not None
        assert not engine.run(f"RETURN 1 AS {name}").error, name


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("1..3", ["1", "..", "3"]),
        ("1.5e-3", ["1.5E-3"]),
        ("a.b", ["A", ".", "B"]),
        ("n.5", ["N", ".5"]),
        ("$a$b", ["$A$B"]),
        ("$`a b`+$12", ["$`A B`", "+", "$12"]),
        ("`a``b`", ["`A``B`"]),
        ("<=~", ["<=", None]),
        ("stra\u00dfe \u017fet", ["STRA\u00dfE", "\u017fET"]),
        ("'a\\'b'\"\\\"\"", ["'A\\'B'", '"\\""']),
    ],
)
def test_tokens(text: str, tokens: list[str | None]) -> None:
    if None in tokens:
        assert lexed(text) is None
    else:
        assert lexed(text) == tokens


@pytest.mark.parametrize(
    "text", ["RETURN 'x", "RETURN `x", 'RETURN "\\x41"', "RETURN $ x", "RETURN #", "RETURN $01", "RETURN \x00"]
)
def test_unknown_characters_are_refused_with_their_place(engine: Engine, text: str) -> None:
    with pytest.raises(NodeError) as caught:
        Screen(LIMITS).screen(text, {})
    assert caught.value.code == "syntax"
    assert (caught.value.line, caught.value.column) == (1, 8)
    assert engine.run(text).error


def test_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(NodeError) as caught:
        Screen(LIMITS).screen("RETURN '\ud800'", {})
    assert caught.value.code == "bad_request"


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ("RETURN " + "(" * 65 + "1" + ")" * 65, "KUZU_MAX_NESTING"),
        ("RETURN " + "[" * 65 + "]" * 65, "KUZU_MAX_NESTING"),
        ("RETURN " + "CASE WHEN true THEN " * 11 + "1" + " END" * 11, "KUZU_MAX_CASE_DEPTH"),
        ("RETURN [" + "1," * 10_000 + "1]", "KUZU_MAX_TOKENS"),
        ("RETURN '" + "x" * 1_000_000 + "'", "KUZU_MAX_QUERY_LENGTH"),
        ("RETURN " + "1+" * 2001 + "1", "operators"),
        ("RETURN " + "(" * 30 + ("1" + "+1" * 150 + ")") * 30, "operators"),
    ],
    ids=lambda value: value[:24],
)
def test_what_the_engine_would_not_survive_is_refused(text: str, setting: str) -> None:
    with pytest.raises(NodeError) as caught:
        Screen(LIMITS).screen(text, {})
    assert caught.value.code == "bad_request"
    assert setting in caught.value.detail


def test_what_is_just_within_the_limits_ends_soon(engine: Engine) -> None:
    for text in (
        "RETURN " + "(" * 64 + "1" + ")" * 64,
        "RETURN " + "[" * 64 + "1" + "]" * 64,
        "RETURN " + "{a:" * 64 + "1" + "}" * 64,
        "RETURN " + "CASE WHEN true THEN " * 10 + "1" + " END" * 10,
        "RETURN " + "1+" * 1999 + "1",
    ):
        Screen(LIMITS).screen(text, {})
        assert not engine.run(text).error


def test_chains_are_counted_an_expression_not_a_list() -> None:
    assert longest_chain(tokens_of("[1+1, 1+1, 1+1+1]")) == 3
    assert longest_chain(tokens_of("RETURN 1+1 AS a, 1+1 AS b")) == 1
    assert longest_chain(tokens_of("((1+1)+1)+(1+1)")) == 4
