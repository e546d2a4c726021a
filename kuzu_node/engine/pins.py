"""Lanes that sessions keep, because a projected graph belongs to its Connection."""

from __future__ import annotations

from contextlib import suppress

import trio

from kuzu_node.core.messages import Renew
from kuzu_node.engine.execution import Execution, Floor, Pin
from kuzu_node.engine.lanes import LaneFailed
from kuzu_node.engine.process import WorkerDied
from kuzu_node.engine.quarantine import UNSUSPECTED
from kuzu_node.engine.translate import pool_exhausted
from kuzu_node.engine.values import Query

RENEW_SECONDS = 60.0


async def keep_lane(floor: Floor, pin: Pin) -> None:
    """The session's own from now on, beside those that are lent. Raises NodeError with nothing kept."""
    execution = Execution(floor, Query(cypher=""), UNSUSPECTED, write=False, pin=pin)
    worker = await execution.seat()
    if not worker.lanes.keep():
        execution.leave()
        raise pool_exhausted("as many sessions as may have projected graphs on this database")
    floor.presence.enter(trio.current_time())
    worker.enter()
    pin.worker, pin.lane = worker, execution.lane
    execution.leave()


async def leave_lane(floor: Floor, pin: Pin) -> None:
    """The lane is lent to others again, with a fresh Connection, or to nobody. The caller shields."""
    worker, lane = pin.worker, pin.lane
    if worker is None or lane is None:
        return
    fresh = False
    try:
        if not lane.request_id:
            with suppress(LaneFailed, WorkerDied), trio.fail_after(RENEW_SECONDS):
                await lane.run(worker.next_request_id(), Renew())
                fresh = True
    except trio.TooSlowError:
        worker.process.kill()
    finally:
        pin.worker = pin.lane = None
        if fresh:
            worker.lanes.lend_again(lane)
        else:
            worker.lanes.retire()
        worker.leave()
        floor.presence.leave(trio.current_time())
