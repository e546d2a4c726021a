"""Calls whose body can be read a single time."""

from __future__ import annotations

import pytest

from kuzu_client._core.calls import Replay
from tests.client.test_retry import Reply, Run, answered, lost


@pytest.mark.parametrize("reply", [answered(503, committed=False), answered(429), lost(sent=False), lost(sent=True)])
def test_a_body_that_may_have_been_read_is_not_sent_again(reply: Reply) -> None:
    run = Run([reply, answered()], replay=Replay.ONCE)
    assert run() is not None
    assert (run.sent, run.waited) == (1, [])
