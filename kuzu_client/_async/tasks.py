"""Tasks of the node: their state, their events, waiting for their end."""

from __future__ import annotations

from kuzu_client._async.base import AsyncEndpoints
from kuzu_client._async.concurrency import now
from kuzu_client._async.monitor import AsyncTaskEvents
from kuzu_client._core import outcomes, requests
from kuzu_client._core.results import as_answer, as_answers
from kuzu_client.answers import Answer, TaskEvent, TaskOutcome, TaskStarted, TaskStatus
from kuzu_client.errors import KuzuAPIError, KuzuServerError


class AsyncTasks(AsyncEndpoints):
    """Tasks go on by themselves, whether anyone waits for them or not."""

    async def get_task_status(self, task_id: str) -> TaskStatus:
        call = requests.task("get_task_status", task_id, "status")
        return as_answer(TaskStatus, await self._caller.call(call))

    async def list_tasks(self, status: str | None = None, limit: int = 100) -> list[TaskStatus]:
        """Newest first."""
        return as_answers(TaskStatus, await self._caller.call(requests.list_tasks(status, limit)))

    async def cancel_task(self, task_id: str) -> Answer:
        """Raises KuzuAPIError with code task_ended when there is nothing left to cancel."""
        return as_answer(Answer, await self._caller.call(requests.cancel_task(task_id)))

    async def get_queue_info(self) -> Answer:
        return as_answer(Answer, await self._caller.call(requests.node("get_queue_info", "/tasks/queue/info")))

    def monitor_task(self, task_id: str, timeout: float | None = None) -> AsyncTaskEvents:
        """Events until the task has ended; KuzuTimeoutError when that takes longer than `timeout` seconds."""
        return AsyncTaskEvents(self._caller, task_id, timeout)

    async def wait_for_task(
        self,
        task_id: str,
        timeout: float | None = None,
    ) -> TaskStatus:
        """The state of a task that has ended, whichever way. Raises as `monitor_task`."""
        async with self.monitor_task(task_id, timeout) as events:
            async for _ in events:
                pass
        return await self.get_task_status(task_id)

    async def _outcome(self, started: TaskStarted, seconds: float) -> TaskOutcome:
        """Wait for a task that has been started. Its failure is told, not raised, and so is that of waiting for it."""
        task_id = started.get("task_id")
        if not isinstance(task_id, str):
            raise KuzuServerError("the answer names no task")
        begun = now()
        last = TaskEvent()
        try:
            async with self.monitor_task(task_id, seconds) as events:
                async for event in events:
                    last = event
        except KuzuAPIError as error:
            return outcomes.unknown(task_id, error, now() - begun)
        return outcomes.from_end(task_id, last, now() - begun)
