"""Bars for what takes long, on a terminal; nothing elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import RenderableType
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)

from kuzu_client._core.sources import Progress as Told
from kuzu_client.answers import TaskEvent
from kuzu_client.cli.terminal import Terminal
from kuzu_client.cli.values import printable


class WhileMoving(ProgressColumn):
    """Shows nothing for what only waits."""

    def __init__(self, column: ProgressColumn) -> None:
        self._column = column
        super().__init__()

    def render(self, task: Task) -> RenderableType:
        return "" if task.fields.get("waits") else self._column(task)


@contextmanager
def bytes_moved(terminal: Terminal, doing: str, then: str = "") -> Iterator[Told]:
    """`then` is what the node does when all is sent."""
    with _bars(terminal, WhileMoving(DownloadColumn(binary_units=True)), WhileMoving(TransferSpeedColumn())) as bars:
        bar = bars.add_task(doing, total=None)

        def told(moved: int, whole: int | None) -> None:
            bars.update(bar, completed=moved, total=whole)
            if then and moved == whole:
                bars.update(bar, visible=False)
                bars.add_task(then, total=None, waits=True)

        yield told


@contextmanager
def task_events(terminal: Terminal, doing: str) -> Iterator[TaskFollower]:
    with _bars(terminal, TaskProgressColumn(), TextColumn("{task.fields[message]}")) as bars:
        yield TaskFollower(bars, doing)


class TaskFollower:
    def __init__(self, bars: Progress, doing: str) -> None:
        self._bars = bars
        self._bar = bars.add_task(doing, total=None, message="")

    def tell(self, event: TaskEvent) -> None:
        percent = event.get("progress_percent")
        if isinstance(percent, int | float) and percent > 0:
            self._bars.update(self._bar, completed=percent, total=100)
        message = event.get("message") or _records(event)
        if message:
            self._bars.update(self._bar, message=printable(str(message)))


def _records(event: TaskEvent) -> str:
    count = event.get("records_processed")
    return f"{count} rows" if isinstance(count, int) and count else ""


def _bars(terminal: Terminal, *columns: ProgressColumn) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        *columns,
        TimeElapsedColumn(),
        console=terminal.err,
        transient=True,
        disable=not terminal.err.is_terminal,
    )
