"""The entry: a text and its parameters in, statements ready for the engine out, or a refusal."""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from collections.abc import Mapping

import attrs

from kuzu_node.core.screen.aliases import reserved_names
from kuzu_node.core.screen.keys import slots_of
from kuzu_node.core.screen.lexer import check_shape, plain_name, spans_of, tokens_of
from kuzu_node.core.screen.model import (
    Edit,
    KeyTypes,
    Kind,
    Limits,
    Screened,
    Statement,
    bad_parameter,
    bad_request,
    bad_syntax,
    forbidden,
    over_limit,
)
from kuzu_node.core.screen.parameters import Binder, Slot
from kuzu_node.core.screen.repairs import ONE_ROW, bare_withs
from kuzu_node.core.screen.statements import NotAStatement, Verdict, judge
from kuzu_node.core.screen.words import GRAPH_CALLS
from kuzu_node.errors import RequestRefused

# Longer texts are looked at again each time, so that a cache of them stays small.
_CACHED_LENGTH = 16 * 1024
_RUN_OF_LITERALS = re.compile(r"\?(?:\x1f,\x1f\?)+")


@attrs.frozen
class Look:
    """What a text says without its parameters. Slots and quotes are in positions of the text as sent."""

    statements: tuple[Statement, ...]
    slots: tuple[tuple[Slot, ...], ...]
    names: frozenset[str]
    tokens: int
    kind: Kind
    drops_table: bool
    projects: bool


@attrs.define(eq=False)
class Screen:
    """Looks at texts and remembers the last `cache_size` of them: a repeated text costs only its parameters.

    Errors are those of the contract: Forbidden `forbidden_statement`, StatementFailed `syntax` and `parameter`,
    RequestRefused `empty_query` and `bad_request`; all of them before anything ran.
    """

    limits: Limits
    cache_size: int = 256
    allow_projected_graphs: bool = False
    _looks: OrderedDict[str, Look] = attrs.field(factory=OrderedDict, init=False)

    def screen(self, cypher: str, parameters: Mapping[str, object], key_types: KeyTypes | None = None) -> Screened:
        """The statements to run, in order, and what to bind. `key_types` is a frozen look at the schema."""
        look = self._look(cypher)
        if not parameters and not look.names:
            return Screened(look.statements, {}, look.kind, cypher)
        if len(look.statements) > 1:
            raise bad_request(
                "a request with parameters takes one statement: send each on its own, or use /transaction"
            )
        binder = Binder(self.limits, key_types or {}, parameters, self.limits.max_tokens - look.tokens)
        statement = _substituted(look.statements[0], look.slots[0], cypher, binder)
        for name in parameters:
            if name not in look.names and f"`{name}`" not in look.names:
                raise bad_parameter(f"parameters.{name}", f"Parameter {name} not found: the text does not use it")
        return Screened((statement,), binder.bound, look.kind, cypher)

    def projects(self, cypher: str) -> bool:
        """Whether the text makes or drops a projected graph. Raises as `screen` does."""
        return self._look(cypher).projects

    def _look(self, cypher: str) -> Look:
        looks = self._looks
        look = looks.get(cypher)
        if look is not None:
            looks.move_to_end(cypher)
            return look
        look = look_at(cypher, self.limits, allow_projected_graphs=self.allow_projected_graphs)
        if self.cache_size and len(cypher) <= _CACHED_LENGTH:
            looks[cypher] = look
            if len(looks) > self.cache_size:
                looks.popitem(last=False)
        return look


def screen(
    cypher: str, parameters: Mapping[str, object], *, limits: Limits, key_types: KeyTypes | None = None
) -> Screened:
    """One look without a memory; see `Screen`."""
    return Screen(limits, cache_size=0).screen(cypher, parameters, key_types)


def split_ddl(text: str, *, limits: Limits, allow_drop: bool = False) -> tuple[Statement, ...]:
    """The statements of a schema. Raises as `Screen.screen` does, also for what is no plain schema statement."""
    look = look_at(text, limits, allow_projected_graphs=False)
    if look.names:
        raise bad_request("a schema takes no parameters")
    for place, statement in enumerate(look.statements):
        if statement.kind is Kind.DROP_COLUMN:
            # Alone it is taken; `look_at` has refused it in company.
            continue
        if statement.kind is not Kind.DDL:
            raise forbidden(
                "only schema statements are taken here (CREATE NODE TABLE, CREATE REL TABLE, ALTER TABLE, "
                "CREATE SEQUENCE, COMMENT ON): run others at /databases/{id}/query",
                statement=place,
            )
    if look.drops_table and not allow_drop:
        raise forbidden("DROP needs allow_drop: true in the request")
    return look.statements


def look_at(cypher: str, limits: Limits, *, allow_projected_graphs: bool) -> Look:
    """Everything that can be said of a text alone. Raises as `Screen.screen` does."""
    if len(cypher) > limits.max_length:
        raise over_limit("characters in the text", limits.max_length, len(cypher), "KUZU_MAX_QUERY_LENGTH")
    tokens = tokens_of(cypher)
    check_shape(tokens, limits)
    parts = _parts(tokens)
    if not parts:
        raise RequestRefused("the text holds no statement", code="empty_query", committed=False, is_statement=True)
    # Finding the places of the tokens takes longer than all the rest, and most texts stand as they were sent.
    spans = spans_of(cypher) if len(parts) > 1 or ";" in tokens or "$" in cypher else []
    statements: list[Statement] = []
    slots: list[tuple[Slot, ...]] = []
    drops_table = False
    for first, last in parts:
        own = tokens[first:last]
        try:
            verdict = judge(own, allow_projected_graphs=allow_projected_graphs)
        except NotAStatement as error:
            start, end = spans_of(cypher)[first + error.index]
            detail = f"no statement begins like this, at {cypher[start:end][:40]!r}"
            raise bad_syntax(detail, cypher, start) from None
        statements.append(_statement(cypher, own, spans[first:last], verdict))
        slots.append(slots_of(cypher, own, spans[first:last]) if "$" in cypher else ())
        drops_table = drops_table or verdict.drops_table
    kind = max((one.kind for one in statements), key=lambda one: one.strength)
    if kind.is_bulk and len(statements) > 1:
        raise bad_request(f"{_BULK_WORDS[kind]} must be the only statement of its request")
    names = frozenset(slot.name for part in slots for slot in part)
    projects = allow_projected_graphs and any(
        tokens[place - 1] == "CALL" and plain_name(tokens[place]) in GRAPH_CALLS for place in range(1, len(tokens))
    )
    return Look(tuple(statements), tuple(slots), names, len(tokens), kind, drops_table, projects)


_BULK_WORDS = {
    Kind.BULK_COPY: "COPY",
    Kind.BULK_TABLE: "CREATE TABLE .. AS",
    Kind.BULK_INDEX: "the creation or removal of an index",
    Kind.DROP_COLUMN: "ALTER TABLE .. DROP",
}


def _parts(tokens: list[str]) -> list[tuple[int, int]]:
    """(first, last) of the tokens of each statement; empty ones are none."""
    if ";" not in tokens:
        return [(0, len(tokens))] if tokens else []
    ends = [place for place, token in enumerate(tokens) if token == ";"]
    starts = [0, *(end + 1 for end in ends)]
    return [(first, last) for first, last in zip(starts, [*ends, len(tokens)], strict=True) if last > first]


def _statement(cypher: str, tokens: list[str], spans: list[tuple[int, int]], verdict: Verdict) -> Statement:
    """`spans` is empty for a text that is one statement."""
    quotes = reserved_names(tokens, verdict.query_as) if "AS" in tokens else []
    rows = bare_withs(tokens, verdict.query_as) if "WHERE" in tokens and "WITH" in tokens else []
    edits: tuple[Edit, ...] = ()
    if quotes or rows:
        spans = spans or spans_of(cypher)
        quoting = [Edit(spans[at][0], spans[at][1], f"`{cypher[slice(*spans[at])]}`") for at in quotes]
        adding = [Edit(spans[at][0], spans[at][0], ONE_ROW) for at in rows]
        edits = tuple(sorted(quoting + adding, key=lambda edit: edit.start))
    start, end = (spans[0][0], spans[-1][1]) if spans else (0, len(cypher))
    return Statement(_edited(cypher, start, end, edits), verdict.kind, _fingerprint(tokens), start, edits)


def _substituted(statement: Statement, slots: tuple[Slot, ...], cypher: str, binder: Binder) -> Statement:
    edits = list(statement.edits)
    for slot in slots:
        text = binder.replacement(slot)
        if text is not None:
            # Written straight behind a digit, a literal would become a part of that number.
            space = " " if slot.start and cypher[slot.start - 1].isalnum() else ""
            edits.append(Edit(slot.start, slot.end, space + text))
    if len(edits) == len(statement.edits):
        return statement
    edits.sort(key=lambda edit: edit.start)
    text = _edited(cypher, statement.start, _end(statement), tuple(edits))
    return attrs.evolve(statement, text=text, edits=tuple(edits))


def _end(statement: Statement) -> int:
    """Where the statement ends in the text as sent."""
    grown = sum(len(edit.text) - (edit.end - edit.start) for edit in statement.edits)
    return statement.start + len(statement.text) - grown


def _edited(cypher: str, start: int, end: int, edits: tuple[Edit, ...]) -> str:
    if not edits:
        return cypher[start:end]
    pieces: list[str] = []
    for edit in edits:
        pieces.append(cypher[start : edit.start])
        pieces.append(edit.text)
        start = edit.end
    pieces.append(cypher[start:end])
    return "".join(pieces)


def _fingerprint(tokens: list[str]) -> str:
    """A hash of the tokens with `?` for each literal or parameter, and for each row of them."""
    shape = "\x1f".join(["?" if token[0] in "'\"0123456789$" else token for token in tokens])
    if "?\x1f,\x1f?" in shape:
        shape = _RUN_OF_LITERALS.sub("?", shape)
    return hashlib.blake2b(shape.encode(), digest_size=12).hexdigest()
