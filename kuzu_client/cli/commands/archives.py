"""Archives of a database, and the tasks of the node."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click
from rich.console import RenderableType
from rich.text import Text

from kuzu_client.answers import TaskStatus
from kuzu_client.cli.client import CommandClient
from kuzu_client.cli.commands.command import command
from kuzu_client.cli.exits import Exit
from kuzu_client.cli.progress import bytes_moved, task_events
from kuzu_client.cli.tables import pairs, text_of
from kuzu_client.cli.terminal import Terminal
from kuzu_client.cli.values import cell, size

STYLES: Final = {"completed": "bold green", "failed": "bold red", "cancelled": "bold yellow"}


@command("backup")
@click.argument("graph")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def backup(terminal: Terminal, graph: str, file: Path) -> None:
    """Fetch an archive of GRAPH.

    FILE appears when it is whole.
    """
    with terminal.client() as client, bytes_moved(terminal, f"fetching {graph}") as progress:
        count = client.save_archive(graph, file, progress, terminal.settings.timeout)
    if terminal.settings.as_json:
        terminal.document({"database": graph, "path": str(file), "size_bytes": count})
    else:
        terminal.say(f"{file}, {size(count)}")


@command("restore")
@click.argument("graph")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Put it in the place of an existing database.")
@click.option("--no-system-backup", is_flag=True, help="Keep no backup of the one that is replaced.")
@click.option("--detach", is_flag=True, help="Do not wait for the end of the task.")
def restore(
    terminal: Terminal, graph: str, file: Path, *, force: bool, no_system_backup: bool, detach: bool
) -> Exit | None:
    """Make an archive the database GRAPH.

    FILE is sent, and the task that restores it waited for.
    """
    with terminal.client() as client:
        with bytes_moved(terminal, f"sending {file.name}", "the node takes it") as progress:
            started = client.send_archive(
                graph,
                file,
                progress,
                create_system_backup=not no_system_backup,
                force_overwrite=force,
                timeout=terminal.settings.timeout,
            )
        if detach:
            if terminal.settings.as_json:
                terminal.document(started)
            else:
                terminal.say(started["task_id"])
            return None
        return _watch(terminal, client, started["task_id"])


@command("task")
@click.argument("task_id", metavar="ID")
@click.option("--watch", is_flag=True, help="Until it has ended. Ctrl-C leaves it running.")
def task(terminal: Terminal, task_id: str, watch: bool) -> Exit | None:
    """How a task of the node stands. With --watch 1 for one that has failed or was cancelled."""
    with terminal.client() as client:
        if watch:
            return _watch(terminal, client, task_id)
        _show(terminal, client.get_task_status(task_id))
    return None


def _watch(terminal: Terminal, client: CommandClient, task_id: str) -> Exit:
    try:
        _follow(terminal, client, task_id)
    except KeyboardInterrupt:
        terminal.note(f"the task goes on: kuzu-client task {task_id} --watch", style="yellow")
        raise
    status = client.get_task_status(task_id)
    _show(terminal, status)
    return Exit.OK if status.get("status") == "completed" else Exit.FAILED


def _follow(terminal: Terminal, client: CommandClient, task_id: str) -> None:
    with (
        task_events(terminal, f"task {task_id}") as follower,
        client.monitor_task(task_id, terminal.settings.timeout) as events,
    ):
        for event in events:
            follower.tell(event)


def _show(terminal: Terminal, status: TaskStatus) -> None:
    if terminal.settings.as_json:
        return terminal.document(status)
    rows: list[tuple[str, RenderableType]] = []
    for name, value in status.items():
        if value is None or value in ({}, []):
            continue
        style = STYLES.get(str(value), "bold") if name == "status" else "red" if name == "error" else ""
        text = Text(cell(value), style=style) if style else text_of(value)
        rows.append((name.replace("_", " "), text))
    return terminal.show(pairs(rows))
