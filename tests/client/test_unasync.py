from __future__ import annotations

import pytest

from kuzu_client import _unasync


def test_the_sync_client_is_what_the_async_one_makes_it() -> None:
    assert [twin.target.name for twin in _unasync.twins() if not twin.is_right()] == []
    assert _unasync.strays() == []


@pytest.mark.parametrize(
    ("source", "twin"),
    [
        ("async def f(): await g()", "def f(): g()"),
        ("async with a as b, c:\n    pass", "with a as b, c:\n    pass"),
        ("x = [y async for y in z]", "x = [y for y in z]"),
        ("class AsyncCaller(AsyncBase): ...", "class Caller(Base): ..."),
        ("async def __aenter__(self) -> Self: ...", "def __enter__(self) -> Self: ..."),
        ("raise StopAsyncIteration", "raise StopIteration"),
        ("f: Callable[[A], Awaitable[list[B]]]", "f: Callable[[A], list[B]]"),
        ("f: Awaitable[A] | list[Awaitable[B]]", "f: A | list[B]"),
        ("from kuzu_client._async.x import AsyncY", "from kuzu_client._sync.x import Y"),
        ("from c import AsyncIterator, Awaitable, Callable, Iterator", "from c import Iterator, Callable"),
        ("from c import AsyncExitStack, asynccontextmanager", "from c import ExitStack, contextmanager"),
        ("import x  # async and await stay in comments", "import x  # async and await stay in comments"),
        ("'await AsyncKuzuClient()'", "'await KuzuClient()'"),
        ("asynchronous = awaited", "asynchronous = awaited"),
        ("x: AsyncGenerator", "x: Generator"),
        ("httpx.AsyncByteStream | httpx.AsyncBaseTransport", "httpx.SyncByteStream | httpx.BaseTransport"),
        ("é = await x.aclose(); y = await z", "é = x.close(); y = z"),
    ],
)
def test_words_and_what_becomes_of_them(source: str, twin: str) -> None:
    assert _unasync.converted(source + "\n") == twin + "\n"


def test_line_feeds_and_text_behind_stay_where_they_were() -> None:
    source = 'async def f() -> None:\n    """Async.\n\n    await this."""\n    await g(\n        await h(),\n    )\n'
    assert _unasync.converted(source).count("\n") == source.count("\n")
    compile(_unasync.converted(source), "twin", "exec")
