"""The engine's tokens (Kuzu 0.11.3, Cypher.g4): one regular expression, one pass.

The text is upper-cased first, ASCII letters only, as keywords are: a token that starts with a letter and equals a
keyword is one, and lengths do not change. What the engine's lexer calls Unknown never occurs in a valid text, so a
character outside ASCII may safely count as part of a name unless it is white space, an arrow head or a dash.
"""

from __future__ import annotations

import re

from kuzu_node.core.screen.model import Limits, bad_request, bad_syntax, over_limit

_SPACE = "\\t-\\r\\x1c-\\x20\\u1680\\u180e\\u2000-\\u200a\\u2028\\u2029\\u205f\\u3000\\u00a0\\u202f"
_MARKS = "\\u27e8\\u3008\\ufe64\\uff1c\\u27e9\\u3009\\ufe65\\uff1e\\u00ad\\u2010-\\u2015\\u2212\\ufe58\\ufe63\\uff0d"
_NAME = f"[^\\x00-@\\[-^`{{-\\x7f{_SPACE}{_MARKS}][^\\x00-#%-/:-@\\[-^`{{-\\x7f{_SPACE}{_MARKS}]*+"
# The first class is letters, _ and what lies beyond ASCII; the second adds digits and $.
_QUOTED = "(?:`[^`]*`)++"
# A '*' inside a comment takes the next character with it: `/***/` is still open, as it is for the engine.
_COMMENT = "/\\*(?:[^*]++|\\*[^/])*+\\*/|//[^\\n\\r]*+\\r?(?:\\n|\\Z)"
_ESCAPE = "\\\\(?:[\\\\'\"BFNRTbfnrt]|[Uu][0-9A-Fa-f]{4})"
_STRING = f"'(?:[^'\\\\]++|{_ESCAPE})*+'|\"(?:[^\"\\\\]++|{_ESCAPE})*+\""
_NUMBER = "[0-9]*\\.[0-9]+(?:[Ee]-?[0-9]+)?|[0-9]+[Ee]-?[0-9]+|[0-9]+"
_PARAMETER = f"\\$(?:{_NAME}|{_QUOTED}|(?:0|[1-9][0-9]*+)(?![0-9]|\\.[0-9]|[Ee]-?[0-9]))"
_SIGN = "<>|<=|>=|!=|>>|<<|\\.\\.|=~"

# The empty token at the end keeps a search from starting again inside a trailing comment.
_TOKEN = re.compile(
    f"(?:[{_SPACE}]++|{_COMMENT})*+({_NAME}|{_STRING}|{_QUOTED}|{_PARAMETER}|{_NUMBER}|{_SIGN}|.|\\Z)", re.DOTALL
)
_UNKNOWN = (
    frozenset(chr(code) for code in range(128))
    - frozenset("()[]{},.;:=|<>&+-*/%^!_0123456789")
    - frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
)
OPENING = frozenset("([{")
CLOSING = frozenset(")]}")
MAX_CHAIN = 2000
_SHAPED = OPENING | CLOSING | {"CASE", "END"}
_CHAINED = frozenset("+ - * / % ^ & | >> << . [ AND OR XOR".split())
_PARTING = frozenset(", ; RETURN WITH WHERE MATCH UNWIND SET CREATE MERGE UNION".split())


def tokens_of(text: str) -> list[str]:
    """The tokens without white space, ASCII letters upper-cased. Raises RequestRefused for a lone surrogate."""
    try:
        upper = text.encode().upper().decode()
    except UnicodeEncodeError as error:
        raise bad_request(
            f"the text holds a lone surrogate at character {error.start}, which is not Unicode"
        ) from error
    tokens: list[str] = _TOKEN.findall(upper)
    while tokens and not tokens[-1]:
        tokens.pop()
    if not _UNKNOWN.isdisjoint(tokens):
        place = next(index for index, token in enumerate(tokens) if token in _UNKNOWN)
        raise bad_syntax(_unknown(tokens[place]), text, spans_of(text)[place][0])
    return tokens


def spans_of(text: str) -> list[tuple[int, int]]:
    """(start, end) of each token of `tokens_of(text)`."""
    spans = [match.span(1) for match in _TOKEN.finditer(text)]
    while spans and spans[-1][0] == spans[-1][1]:
        spans.pop()
    return spans


def check_shape(tokens: list[str], limits: Limits) -> None:
    """Refuses what the engine's parser would take minutes over, or not survive. Raises RequestRefused."""
    if len(tokens) > limits.max_tokens:
        raise over_limit("tokens in the text", limits.max_tokens, len(tokens), "KUZU_MAX_TOKENS")
    depth = deepest = cases = deepest_case = 0
    for token in tokens:
        if token not in _SHAPED:
            continue
        if token in OPENING:
            depth += 1
            deepest = max(deepest, depth)
        elif token in CLOSING:
            depth -= 1
        elif token == "CASE":
            cases += 1
            deepest_case = max(deepest_case, cases)
        else:
            cases = max(cases - 1, 0)
    if deepest > limits.max_nesting:
        raise over_limit("depth of brackets", limits.max_nesting, deepest, "KUZU_MAX_NESTING")
    if deepest_case > limits.max_case_depth:
        raise over_limit("depth of CASE", limits.max_case_depth, deepest_case, "KUZU_MAX_CASE_DEPTH")
    if len(tokens) > MAX_CHAIN and longest_chain(tokens) > MAX_CHAIN:
        raise bad_request(
            f"one expression has more than {MAX_CHAIN} operators: use IN with a list, or several statements"
        )


def longest_chain(tokens: list[str]) -> int:
    """The most operators in one expression, brackets included: how deep the engine's recursion may get.

    A sum of 2000 terms is bound in a quarter of a second, one of 4000 in a second; one of 9000 overflows the stack.
    """
    frames = [[0, 0]]
    for token in tokens:
        if token in _CHAINED:
            frames[-1][0] += 1
        if token in OPENING:
            frames.append([0, 0])
        elif token in CLOSING and len(frames) > 1:
            frames[-2][0] += max(frames.pop())
        elif token in _PARTING:
            frame = frames[-1]
            frame[1] = max(frame)
            frame[0] = 0
    return max(max(frame) for frame in frames)


def plain_name(token: str) -> str:
    """The name that a token stands for: without its backticks, which the engine takes off one by one."""
    return token[1:-1] if token.startswith("`") else token


def is_name(token: str) -> bool:
    """A keyword, a bare name or a quoted one."""
    first = token[0]
    return first in "`_" or first.isalpha() or (first > "\x7f" and first not in _MARK_SET)


_MARK_SET = frozenset(
    "\u27e8\u3008\ufe64\uff1c\u27e9\u3009\ufe65\uff1e\u00ad\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d"
)


def _unknown(character: str) -> str:
    if character in "'\"":
        return f"a string that begins with {character} does not end, or holds an escape the engine does not know"
    if character == "`":
        return "a name that begins with ` does not end"
    if character == "$":
        return "$ is not followed by the name or number of a parameter"
    return f"the character {character!r} has no meaning here"
