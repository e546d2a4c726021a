"""Where the parameters of a statement stand: in a call, and beside which property of which label."""

from __future__ import annotations

from collections.abc import Sequence

from kuzu_node.core.screen.lexer import CLOSING, OPENING, is_name, plain_name
from kuzu_node.core.screen.parameters import Slot

Span = tuple[int, int]


def slots_of(text: str, tokens: Sequence[str], spans: Sequence[Span]) -> tuple[Slot, ...]:
    """The parameters of one statement, in order; positions are those of `text`, the text as sent."""
    words = [text[start:end] for start, end in spans]
    opened: list[int] = []
    slots: list[Slot] = []
    labels: dict[str, str] | None = None
    for index, token in enumerate(tokens):
        if token in OPENING:
            opened.append(index)
        elif token in CLOSING:
            if opened:
                opened.pop()
        elif token[0] == "$":
            key = _key_in_pattern(words, index, opened)
            if key is None and "=" in tokens[max(index - 1, 0) : index + 2]:
                labels = _labels(words) if labels is None else labels
                key = _key_in_comparison(words, index, labels)
            start, end = spans[index]
            slots.append(Slot(start, end, words[index][1:], key, _in_call(tokens, opened)))
    return tuple(slots)


def _in_call(tokens: Sequence[str], opened: Sequence[int]) -> bool:
    return any(place > 1 and tokens[place] == "(" and tokens[place - 2] == "CALL" for place in opened)


def _key_in_pattern(words: Sequence[str], index: int, opened: Sequence[int]) -> tuple[str, str] | None:
    """`(v:Label {.., key: $p ..})`: the label and the key."""
    if not opened or index < 5 or words[index - 1] != ":" or not is_name(words[index - 2]):
        return None
    brace = opened[-1]
    if words[brace] != "{" or words[index - 3] not in ("{", ",") or brace < 3:
        return None
    label = brace - 1
    if words[label - 1] != ":" or not is_name(words[label]):
        return None
    opening = label - 2 if words[label - 2] == "(" else label - 3
    if opening < 0 or words[opening] != "(":
        return None
    return plain_name(words[label]), plain_name(words[index - 2])


def _key_in_comparison(words: Sequence[str], index: int, labels: dict[str, str]) -> tuple[str, str] | None:
    """`v.key = $p` or `$p = v.key` with a variable of one label."""
    if index >= 4 and words[index - 1] == "=" and words[index - 3] == ".":
        variable, name = words[index - 4], words[index - 2]
        # Behind another dot it is a field of something else.
        free = index == 4 or words[index - 5] != "."
    elif list(words[index + 1 : index + 4 : 2]) == ["=", "."] and index + 4 < len(words):
        variable, name = words[index + 2], words[index + 4]
        free = index + 5 == len(words) or words[index + 5] not in (".", "[", "(")
    else:
        return None
    label = labels.get(plain_name(variable))
    return (label, plain_name(name)) if free and label else None


def _labels(words: Sequence[str]) -> dict[str, str]:
    """Variables of node patterns with exactly one label wherever they are bound; an empty label for others."""
    labels: dict[str, str] = {}
    for index in range(len(words) - 4):
        if words[index] != "(" or words[index + 2] != ":" or not is_name(words[index + 1]):
            continue
        variable, label = plain_name(words[index + 1]), plain_name(words[index + 3])
        single = is_name(words[index + 3]) and words[index + 4] in (")", "{")
        labels[variable] = label if single and labels.get(variable, label) == label else ""
    return labels
