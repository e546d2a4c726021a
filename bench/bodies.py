"""JSON bodies near the limit that are hard on whoever reads them: millions of values, or one that is very long."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

MIB: Final = 1024 * 1024
QUERY: Final = "UNWIND $rows AS r RETURN count(r) AS n"
COUNT: Final = "RETURN size($rows) AS n"
ROW: Final = b"{" + b",".join(b'"f%d":%d' % (i, i) for i in range(10)) + b"}"


def query(value: bytes, cypher: str = QUERY) -> bytes:
    return b'{"cypher":"%b","parameters":{"rows":%b}}' % (cypher.encode(), value)


def listed(item: bytes, size: int, most: int | None = None) -> bytes:
    """A list of the item, as many as fit."""
    count = (size - 200) // (len(item) + 1)
    return b"[" + b",".join([item] * min(count, most or count)) + b"]"


def keyed(value: bytes, size: int) -> bytes:
    """An object with as many different keys as fit."""
    return b"{" + b",".join(b'"k%06d":%b' % (i, value) for i in range((size - 200) // (11 + len(value)))) + b"}"


def transaction(statements: bytes) -> bytes:
    return b'{"statements":%b}' % statements


def queries(size: int = 10 * MIB) -> Iterator[tuple[str, bytes]]:
    """For /query."""
    items: dict[str, bytes] = {
        "integers": b"0",
        "fractions": b"0.5",
        "long integers": b"9" * 4000,
        "strings": b'"a"',
        "escaped strings": b'"\\u00e9\\n"',
        "empty lists": b"[]",
        "short lists": b"[0]",
        "empty objects": b"{}",
        "small objects": b'{"a":1}',
        "nulls": b"null",
        "lists 30 deep": b"[" * 30 + b"]" * 30,
        "a mixture": b'1,"a",[2],{"b":null},0.5',
    }
    for name, item in items.items():
        yield name, query(listed(item, size))
    yield "100 000 rows of 10 fields", query(listed(ROW, size, 100_000))
    yield "a list of 1 000 000", query(listed(b"0", size, 1_000_000))
    yield "a list of a list of 1 000 000", query(b"[" + listed(b"0", size, 1_000_000) + b"]")
    yield "200 000 pairs", query(listed(b"[1,2]", size, 200_000))
    yield "many parameters", b'{"cypher":"RETURN 1","parameters":%b}' % keyed(b"0", size)
    yield "many lists as parameters", b'{"cypher":"RETURN 1","parameters":%b}' % keyed(b"[]", size)
    yield "an object of many keys", query(keyed(b"0", size))
    yield "many unknown fields", keyed(b"0", size)
    yield "brackets and nothing else", b"[" * size
    yield "deep parameters", query(b"[" * 900 + listed(b"0", size) + b"]" * 900)
    yield from strings(size)
    yield from broken(size)


def strings(size: int) -> Iterator[tuple[str, bytes]]:
    """One value is long."""
    many: dict[str, Callable[[], bytes]] = {
        "one string": lambda: b'"' + b"x" * (size - 200) + b'"',
        "one string of escapes": lambda: b'"' + b"\\n" * (size // 2 - 200) + b'"',
        "one string of accents": lambda: b'"' + "é".encode() * (size // 2 - 200) + b'"',
        "one string of brackets": lambda: b'"' + b"[,]" * (size // 3 - 200) + b'"',
    }
    for name, make in many.items():
        yield name, query(make(), COUNT)
    yield "a long text of a query", b'{"cypher":"RETURN %b"}' % (b"1+" * (size // 2 - 200) + b"1")


def broken(size: int) -> Iterator[tuple[str, bytes]]:
    """No JSON, or none of ours, as one finds out late."""
    yield "white space", b" " * size
    yield "white space and a number", b" " * (size - 1) + b"1"
    yield "an end that is missing", query(listed(b"0", size))[:-3]
    yield "a letter behind the end", query(listed(b"[]", size)) + b"x"
    yield "no UTF-8 at the end", query(listed(b'"a"', size)[:-2] + b'\xff"]')
    yield "a number out of range at the end", query(listed(b"0", size)[:-2] + b"1e400]")
    yield "a list where an object should be", listed(b"0", size)
    yield "a text that is a list", b'{"cypher":%b}' % listed(b"[]", size)
    yield "an unknown field behind it", query(listed(b"[]", size))[:-1] + b',"x":1}'


def transactions(size: int = 10 * MIB) -> Iterator[tuple[str, bytes]]:
    """For /transaction."""
    yield "statements", transaction(listed(b'{"cypher":"RETURN 1"}', size))
    yield "statements that are numbers", transaction(listed(b"0", size))
    yield "statements without a text", transaction(listed(b"{}", size))
    one = b'[{"cypher":"RETURN $a","parameter_sets":%b}]'
    yield "sets of parameters", transaction(one % listed(b'{"a":1}', size))
    yield "sets of lists", transaction(one % listed(b'{"a":[1,2]}', size))
    yield "20 000 sets of parameters", transaction(one % listed(b'{"a":1}', size, 20_000))
    rows = b'{"cypher":"%b","parameters":{"rows":%b}}' % (QUERY.encode(), listed(ROW, size, 2000))
    yield "statements with 2000 rows each", transaction(listed(rows, size))
