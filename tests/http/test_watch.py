from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing

from kuzu_node.http.watch import Watched, open_watch

pytestmark = pytest.mark.trio


async def never() -> Any:
    await trio.sleep_forever()


async def gone() -> Any:
    return {"type": "http.disconnect"}


async def pass_time(seconds: float) -> None:
    with trio.move_on_after(seconds):
        await trio.sleep_forever()


async def test_a_deadline_is_kept_to_the_instant_however_short(autojump_clock: Any) -> None:
    async with open_watch() as watch:
        for seconds in (0.001, 0.03, 0.049, 0.05, 3):
            began = trio.current_time()
            with watch.over(never) as watched:
                watched.expect(seconds)
                await trio.sleep_forever()
            assert watched.scope.cancelled_caught
            assert trio.current_time() - began == pytest.approx(seconds, abs=1e-6)


async def test_a_deadline_can_be_moved_and_lifted_before_and_after_the_watch_takes_over(autojump_clock: Any) -> None:
    async with open_watch() as watch:
        for pause in (0.01, 0.2):
            with watch.over(never) as watched:
                watched.expect(1)
                await pass_time(pause)
                watched.expect(5)
                watched.relax()
                await pass_time(50)
            assert not watched.scope.cancelled_caught


async def test_the_end_of_a_request_ends_its_listener(autojump_clock: Any) -> None:
    readers = 0

    async def count() -> Any:
        nonlocal readers
        readers += 1
        try:
            await trio.sleep_forever()
        finally:
            readers -= 1

    async with open_watch() as watch:
        with watch.over(count) as watched:
            watched.listen()
            await pass_time(0.1)
            assert readers == 1
        await trio.testing.wait_all_tasks_blocked()
        assert readers == 0


async def test_nobody_listens_before_the_body_is_read(autojump_clock: Any) -> None:
    async with open_watch() as watch:
        with watch.over(gone) as watched:
            watched.expect(1)
            await pass_time(0.5)
            assert not watched.client_gone
            watched.listen()
            await trio.sleep_forever()
        assert watched.client_gone


async def test_requests_that_ended_are_forgotten(autojump_clock: Any) -> None:
    async with open_watch() as watch:
        many: list[Watched] = []
        for _ in range(100):
            with watch.over(gone) as watched:
                watched.listen()
                many.append(watched)
        await pass_time(0.1)
        assert not any(watched.taken or watched.client_gone for watched in many)
        assert len(watch.nursery.child_tasks) == 1
