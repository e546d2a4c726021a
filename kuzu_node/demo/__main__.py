"""The demo: a node, a year of flights, five questions. `--keep` leaves the node running."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import click
import httpx
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table

from kuzu_node.demo.data import SCHEMA, TableFile, table_files
from kuzu_node.demo.questions import QUESTIONS, Question
from kuzu_node.demo.server import RunningNode, running_node

DATABASE = "flights"
UPLOAD_CHUNK = 256 * 1024


@click.command()
@click.option("--keep", is_flag=True, help="Leave the node running and print its URL; Ctrl-C stops it.")
def main(keep: bool) -> None:
    """Load 336 776 flights into a fresh node and ask five questions."""
    console = Console()
    with tempfile.TemporaryDirectory(prefix="kuzu-demo-") as folder, running_node(folder) as node:
        with httpx.Client(base_url=node.url, timeout=120) as client:
            create(client, console)
            upload(client, table_files(), console)
            for question in QUESTIONS:
                ask(client, question, console)
        if keep:
            wait(node, console)


def create(client: httpx.Client, console: Console) -> None:
    body = {"graph_id": DATABASE, "schema_type": "custom", "custom_schema_ddl": SCHEMA}
    checked(client.post("/databases", json=body))
    console.print(f"created the database [bold]{DATABASE}[/bold]")


def upload(client: httpx.Client, files: list[TableFile], console: Console) -> None:
    """Each table as one streamed Parquet body. The bar is what has been sent; the rows are what the node says."""
    columns = (TextColumn("{task.description:12}"), BarColumn(), TextColumn("{task.fields[state]}"))
    started, rows = time.perf_counter(), 0
    with Progress(*columns, console=console) as progress:
        for file in files:
            task = progress.add_task(file.table, total=len(file.content), state="sending")
            begun = time.perf_counter()
            answer = checked(
                client.put(
                    f"/databases/{DATABASE}/tables/{file.table}/rows",
                    content=chunks(file.content, progress, task),
                    headers={"content-type": "application/vnd.apache.parquet"},
                )
            )
            inserted = answer["rows_inserted"]
            if inserted != file.rows:
                raise click.ClickException(f"{file.table}: {inserted} of {file.rows} rows went in")
            progress.update(task, state=f"{inserted:9,} rows in {time.perf_counter() - begun:.2f} s")
            rows += inserted
    seconds = time.perf_counter() - started
    console.print(f"{rows:,} rows in {seconds:.1f} s ({rows / seconds:,.0f} rows/s)\n")


def chunks(content: bytes, progress: Progress, task: TaskID) -> Iterator[bytes]:
    for start in range(0, len(content), UPLOAD_CHUNK):
        part = content[start : start + UPLOAD_CHUNK]
        yield part
        progress.advance(task, len(part))
    progress.update(task, state="loading")


def ask(client: httpx.Client, question: Question, console: Console) -> None:
    started = time.perf_counter()
    if question.streamed:
        rows, size = count_rows(client, question)
        seconds = time.perf_counter() - started
        console.print(f"[bold]{question.title}[/bold]")
        console.print(f"{rows:,} rows, {size / 1e6:.1f} MB in {seconds:.2f} s ({rows / seconds:,.0f} rows/s)\n")
        return
    body = {"cypher": question.cypher, "parameters": question.parameters}
    answer = checked(client.post(f"/databases/{DATABASE}/query", json=body))
    milliseconds = (time.perf_counter() - started) * 1000
    table = Table(title=question.title, caption=f"{milliseconds:.1f} ms", title_justify="left", caption_justify="left")
    for name in answer["columns"]:
        table.add_column(name)
    for row in answer["data"]:
        table.add_row(*(shown(row[name]) for name in answer["columns"]))
    console.print(table, "")


def count_rows(client: httpx.Client, question: Question) -> tuple[int, int]:
    """Rows and bytes of a body that is read as it comes and never held."""
    rows = size = 0
    headers = {"accept": "application/jsonl"}
    body = {"cypher": question.cypher, "parameters": question.parameters}
    with client.stream("POST", f"/databases/{DATABASE}/query", json=body, headers=headers) as response:
        response.raise_for_status()
        for part in response.iter_bytes():
            rows += part.count(b"\n")
            size += len(part)
    return rows, size


def shown(value: Any) -> str:
    if isinstance(value, list):
        return " - ".join(map(str, value))
    return "" if value is None else str(value)


def checked(response: httpx.Response) -> Any:
    """The JSON body; an error is said in the node's own words."""
    body = response.json()
    if response.is_error:
        raise click.ClickException(f"{response.request.url}: {response.status_code} {body.get('detail')}")
    return body


def wait(node: RunningNode, console: Console) -> None:
    console.print(
        f"the node runs at [bold]{node.url}[/bold] (its API is described at {node.url}/docs); Ctrl-C stops it"
    )
    with contextlib.suppress(KeyboardInterrupt):
        node.process.wait()


main()
