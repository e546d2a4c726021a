"""How a task that was waited for has ended, from what the node told of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kuzu_client.answers import TaskEvent, TaskOutcome

ENDED = frozenset({"completed", "failed", "cancelled"})


def from_status(status: Mapping[str, Any]) -> TaskEvent:
    """What the event would have said, had it come."""
    state = status.get("status")
    name = "progress" if state not in ENDED else "completed" if state == "completed" else "failed"
    return TaskEvent({**status, "event": name})


def from_end(task_id: str, event: Mapping[str, Any], waited: float) -> TaskOutcome:
    """`event` is the last one of the task; `waited` stands in where it does not say how long the task took."""
    result = event.get("result")
    result = result if isinstance(result, Mapping) else {}
    loaded = result.get("records_loaded", event.get("records_processed", 0))
    seconds = event.get("duration_seconds")
    outcome = TaskOutcome(
        status="completed" if event.get("event") == "completed" else "failed",
        task_id=task_id,
        records_loaded=loaded if isinstance(loaded, int) else 0,
        duration_seconds=seconds if isinstance(seconds, int | float) else round(waited, 3),
        result=dict(result),
    )
    if outcome["status"] == "failed":
        state = event.get("status")
        outcome["error"] = event.get("error") or event.get("message") or f"the task has ended as {state}"
    return outcome


def unknown(task_id: str, error: Exception, waited: float) -> TaskOutcome:
    """The client has stopped waiting; the task goes on."""
    return TaskOutcome(
        status="failed",
        task_id=task_id,
        records_loaded=0,
        duration_seconds=round(waited, 3),
        result={},
        error=f"{error}; the task may still go on",
    )
