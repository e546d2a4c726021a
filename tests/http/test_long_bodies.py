"""Long JSON bodies are read in pieces; in their meaning, and in what is said of faults, they are like short ones."""

from __future__ import annotations

import json
import random
from contextlib import nullcontext
from typing import Any

import attrs
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.bodies import MIB, listed, query, transaction
from kuzu_node.core.json_text import PIECE, Grower, JsonText
from kuzu_node.errors import NodeError
from kuzu_node.http.long_body import MOST_CONTAINERS, MOST_MEMBERS, read_long
from kuzu_node.http.models import MOST_RUNS, CreateDatabaseBody, QueryBody, SchemaBody, TransactionBody
from kuzu_node.http.request import NOT_JSON, READ_IN_THREAD, decode_json, not_json
from kuzu_node.http.structure import Bodies
from tests.core.json_values import values
from tests.http.exchange import call, served
from tests.http.fakes import FakeNode, node_config

BODIES = Bodies()
MODELS: tuple[type[Any], ...] = (QueryBody, TransactionBody, CreateDatabaseBody, SchemaBody)
PARAMETERS = st.dictionaries(st.text("abé", max_size=3), values(), max_size=4)
STATEMENTS = st.fixed_dictionaries(
    {"cypher": st.sampled_from(["RETURN 1", 'RETURN "{"', "", 1])},
    optional={"parameters": PARAMETERS | values(), "parameter_sets": st.lists(PARAMETERS) | values(), "x": values()},
)
DOCUMENTS = st.one_of(
    STATEMENTS,
    st.fixed_dictionaries({"statements": st.lists(STATEMENTS, max_size=4) | values(), "timeout": values()}),
    st.fixed_dictionaries({"graph_id": st.just("g"), "custom_schema_ddl": values()}),
    st.fixed_dictionaries({"type": values(), "metadata": st.fixed_dictionaries({"extensions": values()})}),
    values(),
)


def grown(value: Any) -> Any:
    """With values in the place of texts."""
    if isinstance(value, JsonText):
        return Grower(value.encode()).value(0)[0]
    if isinstance(value, dict):
        return {name: grown(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(grown, value))
    if attrs.has(type(value)):
        return attrs.evolve(value, **{one.name: grown(getattr(value, one.name)) for one in attrs.fields(type(value))})
    return value


def outcome(body: bytes, model: type[Any], piece: int | None) -> tuple[Any, ...]:
    """The model, or what is said of the faults; as a short body is read, or in pieces."""
    try:
        if piece is None:
            document = decode_json(body)
        else:
            try:
                document = read_long(body, model, nullcontext(), piece)
            except NOT_JSON as error:
                raise not_json(body, error) from error
        return (repr(grown(BODIES.read(document, model))),)
    except NodeError as error:
        return type(error), error.code, error.detail, error.faults


@settings(max_examples=300)
@given(DOCUMENTS, st.integers(1, 60), st.booleans())
def test_a_body_means_the_same_at_any_length(document: Any, piece: int, ascii_only: bool) -> None:
    body = json.dumps(document, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    for model in MODELS:
        assert outcome(body, model, piece) == outcome(body, model, None)


@settings(max_examples=300)
@given(DOCUMENTS, st.integers(1, 60), st.randoms(use_true_random=False))
def test_what_is_no_json_is_refused_in_the_same_words_at_any_length(
    document: Any, piece: int, chance: random.Random
) -> None:
    body = bytearray(json.dumps(document).encode())
    place = chance.randrange(len(body))
    spoilt = chance.choice([b"", b",", b"]", b"}", b'"', b"\\", b"\xff", b"1e999", b"NaN", b"9" * 4400, b"\x00", b"[["])
    body[place : place + chance.randrange(3)] = spoilt
    for model in (QueryBody, TransactionBody):
        assert outcome(bytes(body), model, piece) == outcome(bytes(body), model, None)


@pytest.mark.parametrize(
    ("rest", "code"),
    [(b'"\xff"', "bad_request"), (b"1e999", "bad_request"), (b"9" * 4400, "bad_request"), (b"NaN", "bad_request")],
)
def test_what_cannot_be_a_value_is_found_in_parameters_before_they_are_needed(rest: bytes, code: str) -> None:
    body = query(b"[%b,%b]" % (b",".join([b"0"] * 20_000), rest))
    assert len(body) > READ_IN_THREAD
    assert outcome(body, QueryBody, 1000)[1] == code
    assert outcome(body, QueryBody, 1000) == outcome(body, QueryBody, None)


@pytest.mark.parametrize(
    ("body", "model"),
    [
        (query(listed(b"[]", MIB // 2)), QueryBody),
        (query(listed(b'{"a":[1]}', MIB)), QueryBody),
        (transaction(listed(b'{"cypher":"x","parameters":{"a":[[1],[2]]}}', MIB)), TransactionBody),
    ],
)
def test_what_the_model_leaves_open_stays_text(body: bytes, model: type[Any]) -> None:
    """So that a request which waits for its turn is no million of objects."""
    document = read_long(body, model, nullcontext())
    assert open_containers(document) == 0
    assert grown(document) == msgspec.json.decode(body)


def open_containers(document: Any) -> int:
    """Arrays and objects inside of parameters."""
    statements = document.get("statements", [document])
    return sum(isinstance(value, (list, dict)) for one in statements for value in one.get("parameters", {}).values())


@pytest.mark.parametrize(
    "body",
    [
        query(listed(b"[]", MIB)),
        transaction(listed(b'{"cypher":"x"}', 4 * MIB)),
        b'{"cypher":"x","parameters":{%b}}' % b",".join(b'"k%d":0' % i for i in range(MOST_MEMBERS + 1)),
        b"{%b}" % b",".join(b'"k%d":0' % i for i in range(MOST_MEMBERS + 1)),
    ],
)
def test_too_many_arrays_objects_or_members_are_413_and_say_what_to_use(body: bytes) -> None:
    model = TransactionBody if body.startswith(b'{"s') else QueryBody
    found = outcome(body, model, PIECE)
    assert found[1] == "too_large"
    assert "/rows" in found[2]


def test_brackets_in_strings_count_for_nothing() -> None:
    body = query(b'["%b"]' % (b"[{" * MOST_CONTAINERS))
    assert outcome(body, QueryBody, PIECE)[0].startswith("QueryBody")


def test_more_runs_than_a_transaction_takes_are_422_and_say_what_to_use() -> None:
    sets = b'[{"cypher":"RETURN $a","parameter_sets":[%b]}]'
    for count, fits in ((MOST_RUNS, True), (MOST_RUNS + 1, False)):
        found = outcome(transaction(sets % b",".join([b'{"a":1}'] * count)), TransactionBody, PIECE)
        assert (len(found) == 1) is fits
    assert found[3][0].path == "statements"
    assert "UNWIND" in found[2]


@pytest.mark.trio
@pytest.mark.parametrize("length", [10, READ_IN_THREAD * 2])
async def test_a_request_gives_the_database_its_parameters(length: int) -> None:
    async with served(FakeNode(config=node_config(max_request_size=MIB))) as (app, node):
        body = b'{"cypher":"RETURN $rows","parameters":{"rows":[%b],"n":1}}' % b",".join([b"7"] * length)
        assert (await call(app, "POST", "/databases/g1/query", body)).status == 200
    [asked] = node.g1.queries
    assert grown(asked.parameters) == {"rows": [7] * length, "n": 1}
    assert isinstance(asked.parameters["rows"], JsonText) is (length > 10)


@pytest.mark.trio
async def test_a_long_body_that_is_no_json_says_where() -> None:
    async with served(FakeNode(config=node_config(max_request_size=MIB))) as (app, _):
        reply = await call(app, "POST", "/databases/g1/query", query(listed(b"0", 100_000)) + b"x")
    assert (reply.status, reply.json["code"]) == (400, "bad_request")
    assert f"(byte {len(query(listed(b'0', 100_000))) + 1})" in reply.json["detail"]
