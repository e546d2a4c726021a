"""CALL: an allow-list of functions, and what their strings may say: the engine builds Cypher out of some."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kuzu_node.core.screen import words
from kuzu_node.core.screen.lexer import is_name, plain_name, tokens_of
from kuzu_node.core.screen.model import Kind, forbidden
from kuzu_node.errors import NodeError

_PLAIN_STRING = re.compile(r"""(?:"[\w -]*"|'[\w -]*')""")
_WORD_STRING = re.compile(r"""(?:"\w*"|'\w*')""")
_NAMING = frozenset(". : ( [ { , | = <> < > <= >= != =~ + / % ^ & >> << ..".split())


def call_kind(tokens: Sequence[str], index: int, start: int, allow_projected_graphs: bool) -> Kind:
    """The kind of the call at `index`, READ when CALL is a name there. Raises Forbidden."""
    following = tokens[index + 1] if index + 1 < len(tokens) else ""
    after = tokens[index + 2] if index + 2 < len(tokens) else ""
    if not following or not is_name(following):
        return Kind.READ
    if after == "=":
        if _is_name_here(tokens, index, start):
            return Kind.READ
        raise forbidden(words.CALL_SETTING)
    if after != "(" or following in words.AFTER_A_NAME or following in words.RESERVED:
        return Kind.READ
    name = plain_name(following)
    if name in words.READING_CALLS:
        return Kind.READ
    if name in words.INDEX_CALLS:
        _check_index_strings(tokens, index + 2, name)
        return Kind.BULK_INDEX
    if name in words.GRAPH_CALLS:
        if not allow_projected_graphs:
            raise forbidden(words.CALL_GRAPH.format(name=name.lower()))
        _check_graph_strings(tokens, index + 2, name)
        return Kind.READ
    raise forbidden(words.CALL_FUNCTION.format(name=name.lower()))


def _is_name_here(tokens: Sequence[str], index: int, start: int) -> bool:
    return index > start and tokens[index - 1] in _NAMING


def _check_index_strings(tokens: Sequence[str], opening: int, name: str) -> None:
    """Index names end up inside Cypher that the engine writes, and stopwords may name any file or address."""
    for place in range(opening, len(tokens)):
        token = tokens[place]
        if token[0] == "$" or (token[0] in "'\"" and not _PLAIN_STRING.fullmatch(token)):
            raise forbidden(words.INDEX_TEXT.format(name=name.lower()))
        if plain_name(token) == "STOPWORDS" and tokens[place + 1 : place + 3] == [":", "="]:
            value = tokens[place + 3] if place + 3 < len(tokens) else ""
            ends = tokens[place + 4 : place + 5] in ([","], [")"])
            if not ends or not _WORD_STRING.fullmatch(value):
                raise forbidden(words.INDEX_TEXT.format(name=name.lower()))


def _check_graph_strings(tokens: Sequence[str], opening: int, name: str) -> None:
    """Each string may become a query or a condition: nothing in it may leave the database, write or end early."""
    for token in tokens[opening:]:
        if token[0] == "$":
            raise forbidden(words.GRAPH_TEXT.format(name=name.lower()))
        if token[0] not in "'\"":
            continue
        body = token[1:-1].replace("\\'", "'").replace('\\"', '"')
        if "\\" in body:
            raise forbidden(words.GRAPH_TEXT.format(name=name.lower()))
        try:
            inner = tokens_of(body)
        except NodeError as error:
            raise forbidden(words.GRAPH_TEXT.format(name=name.lower())) from error
        if not _REFUSED_INSIDE.isdisjoint(plain_name(word) for word in inner):
            raise forbidden(words.GRAPH_TEXT.format(name=name.lower()))


_REFUSED_INSIDE = frozenset("; LOAD CALL COPY CREATE MERGE SET DELETE DROP ALTER NEXTVAL ATTACH".split())
