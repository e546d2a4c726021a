from __future__ import annotations

from typing import Any

import pytest

from kuzu_client.cli import values


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a=1", 1),
        ("a=1.5", 1.5),
        ("a=true", True),
        ("a=null", None),
        ('a="1"', "1"),
        ("a=[1,2]", [1, 2]),
        ("a=Ada", "Ada"),
        ("a=", ""),
        ("a=x=y", "x=y"),
        ("a=NaN", "NaN"),
        ("a=9223372036854775807", 2**63 - 1),
    ],
)
def test_a_parameter_is_json_where_it_can_be(text: str, value: Any) -> None:
    assert values.parameter(text) == ("a", value)
    assert type(values.parameter(text)[1]) is type(value)


@pytest.mark.parametrize("text", ["a", "=1", ""])
def test_a_parameter_has_a_name(text: str) -> None:
    with pytest.raises(ValueError, match="NAME=VALUE"):
        values.parameter(text)


def test_data_cannot_steer_the_terminal() -> None:
    assert values.cell("\x1b[2Jgone\x07\u202e\x9b") == "\\x1b[2Jgone\\x07\\u202e\\x9b"
    assert values.cell("a\nb\tc") == "a\\nb\\tc"
    assert "\x1b" not in values.cell({"_id": {}, "_label": "\x1b[0m", "x": "\x1b"})
    assert values.cell("Müller 数") == "Müller 数"


def test_nodes_relationships_and_paths_are_drawn_as_in_cypher() -> None:
    one, two = {"offset": 0, "table": 0}, {"offset": 1, "table": 0}
    ada = {"_id": one, "_label": "P", "id": 1, "name": "Ada", "none": None}
    bob = {"_id": two, "_label": "P", "id": 2}
    knows = {"_src": two, "_dst": one, "_label": "KNOWS", "_id": {}, "odd name": 3}
    assert values.cell(ada) == '(:P {id: 1, name: "Ada"})'
    assert values.cell(knows) == "-[:KNOWS {`odd name`: 3}]->"
    path = {"_nodes": [ada, bob], "_rels": [knows]}
    assert values.cell(path) == '(:P {id: 1, name: "Ada"})<-[:KNOWS {`odd name`: 3}]-(:P {id: 2})'
    assert values.cell({"a": [1, None]}) == '{"a":[1,null]}'


def test_sizes_and_times_are_for_people() -> None:
    assert [values.size(n) for n in (0, 1023, 1536, 5 << 30)] == ["0 B", "1023 B", "1.5 KiB", "5.0 GiB"]
    assert [values.duration(s) for s in (0.0012, 5, 125, 3700, 90000)] == [
        *("1.2 ms", "5.0 s", "2 min 5 s", "1 h 1 min", "1 d 1 h"),
    ]
