"""The demo: a node, a year of flights, five questions. `--keep` leaves the node running."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table

from kuzu_client import KuzuAPIError, KuzuClient
from kuzu_node.demo.data import SCHEMA, TableFile, table_files
from kuzu_node.demo.questions import QUESTIONS, Question
from kuzu_node.demo.server import RunningNode, running_node

DATABASE = "flights"


@click.command()
@click.option("--keep", is_flag=True, help="Leave the node running and print its URL; Ctrl-C stops it.")
def main(keep: bool) -> None:
    """Load 336 776 flights into a fresh node and ask five questions."""
    console = Console()
    with tempfile.TemporaryDirectory(prefix="kuzu-demo-") as folder, running_node(folder) as node:
        try:
            with KuzuClient(node.url, graph_id=DATABASE, timeout=120) as client:
                client.create_database(DATABASE, schema_type="custom", custom_schema_ddl=SCHEMA)
                console.print(f"created the database [bold]{DATABASE}[/bold]")
                upload(client, table_files(), console)
                for question in QUESTIONS:
                    ask(client, question, console)
        except KuzuAPIError as error:
            raise click.ClickException(str(error)) from error
        if keep:
            wait(node, console)


def upload(client: KuzuClient, files: list[TableFile], console: Console) -> None:
    """Each table as one streamed Parquet body. The bar is what has been sent; the rows are what the node says."""
    columns = (TextColumn("{task.description:12}"), BarColumn(), TextColumn("{task.fields[state]}"))
    started, rows = time.perf_counter(), 0
    with Progress(*columns, console=console) as progress:
        for file in files:
            task = progress.add_task(file.table, total=len(file.content), state="sending")
            begun = time.perf_counter()
            answer = client.upload_rows(
                DATABASE, file.table, file.content, format="parquet", progress=shows(progress, task)
            )
            if answer.rows_inserted != file.rows:
                raise click.ClickException(f"{file.table}: {answer.rows_inserted} of {file.rows} rows went in")
            progress.update(task, state=f"{answer.rows_inserted:9,} rows in {time.perf_counter() - begun:.2f} s")
            rows += answer.rows_inserted
    seconds = time.perf_counter() - started
    console.print(f"{rows:,} rows in {seconds:.1f} s ({rows / seconds:,.0f} rows/s)\n")


def shows(progress: Progress, task: TaskID) -> Callable[[int, int | None], None]:
    def show(sent: int, total: int | None) -> None:
        progress.update(task, completed=sent, state="loading" if sent == total else "sending")

    return show


def ask(client: KuzuClient, question: Question, console: Console) -> None:
    started = time.perf_counter()
    if question.streamed:
        rows, size = count_rows(client, question)
        seconds = time.perf_counter() - started
        console.print(f"[bold]{question.title}[/bold]")
        console.print(f"{rows:,} rows, {size / 1e6:.1f} MB in {seconds:.2f} s ({rows / seconds:,.0f} rows/s)\n")
        return
    answer = client.query(question.cypher, parameters=question.parameters, read_only=True)
    milliseconds = (time.perf_counter() - started) * 1000
    table = Table(title=question.title, caption=f"{milliseconds:.1f} ms", title_justify="left", caption_justify="left")
    for name in answer.columns:
        table.add_column(name)
    for row in answer.data:
        table.add_row(*(shown(row[name]) for name in answer.columns))
    console.print(table, "")


def count_rows(client: KuzuClient, question: Question) -> tuple[int, int]:
    """Rows and bytes of an answer that is read as it comes and never held."""
    rows = size = 0
    with client.stream_arrow(question.cypher, parameters=question.parameters) as batches:
        for batch in batches:
            rows += batch.num_rows
            size += batch.nbytes
    return rows, size


def shown(value: Any) -> str:
    if isinstance(value, list):
        return " - ".join(map(str, value))
    return "" if value is None else str(value)


def wait(node: RunningNode, console: Console) -> None:
    console.print(
        f"the node runs at [bold]{node.url}[/bold] (its API is described at {node.url}/docs); Ctrl-C stops it"
    )
    with contextlib.suppress(KeyboardInterrupt):
        node.process.wait()


main()
