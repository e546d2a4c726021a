"""The node and its databases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, BinaryIO, Final

import click
from rich.console import RenderableType
from rich.text import Text

from kuzu_client.answers import Answer, Table
from kuzu_client.cli.commands.command import command
from kuzu_client.cli.tables import pairs, plain_table, text_of
from kuzu_client.cli.terminal import Terminal
from kuzu_client.cli.values import cell, duration, size

STATUS_STYLES: Final = {"healthy": "bold green", "degraded": "bold yellow", "draining": "bold red"}


@command("health")
def health(terminal: Terminal) -> None:
    """Whether the node is well. 3 while it drains."""
    with terminal.client() as client:
        answer = client.health_check()
    if terminal.settings.as_json:
        return terminal.document(answer)
    status = str(answer.get("status"))
    rows: list[tuple[str, RenderableType]] = [("status", Text(cell(status), style=STATUS_STYLES.get(status, "bold")))]
    rows += [("up for", duration(answer["uptime_seconds"]))] if "uptime_seconds" in answer else []
    rows += [("databases", text_of(answer["database_count"]))] if "database_count" in answer else []
    if "memory_usage_mb" in answer:
        share = answer.get("memory_percent")
        told = size(answer["memory_usage_mb"] * 1024 * 1024)
        rows.append(("memory", f"{told} ({share:g} % of the machine is in use)" if share is not None else told))
    return terminal.show(pairs(rows))


@command("info")
def info(terminal: Terminal) -> None:
    """What the node is and how it is configured."""
    with terminal.client() as client:
        answer = client.get_info()
    if terminal.settings.as_json:
        return terminal.document(answer)
    return terminal.show(pairs((name, _described(name, value)) for name, value in _flat(answer)))


def _flat(answer: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in answer.items():
        if isinstance(value, Mapping):
            found += _flat(value, f"{prefix}{name}.")
        else:
            found.append((f"{prefix}{name}", value))
    # The outer keys are what people look for.
    return found if prefix else sorted(found, key=lambda entry: entry[0].count("."))


def _described(name: str, value: Any) -> Text:
    if isinstance(value, list):
        return Text(", ".join(map(cell, value)) or "none")
    if name == "uptime_seconds" and isinstance(value, int | float):
        return Text(duration(value))
    return text_of(value)


@command("databases")
def databases(terminal: Terminal) -> None:
    """The databases of the node."""
    with terminal.client() as client:
        answer = client.list_databases()
    if terminal.settings.as_json:
        return terminal.document(answer)
    table = plain_table("name", "size", "health", "created", "last used", right=("size",))
    for entry in answer["databases"]:
        well = entry.get("is_healthy", True)
        state = Text("ok", style="green") if well else Text("unhealthy", style="bold red")
        table.add_row(
            Text(cell(entry["graph_id"]), style="bold"),
            size(entry.get("size_bytes", 0)),
            Text("read-only", style="yellow") if well and entry.get("read_only") else state,
            _moment(entry.get("created_at")),
            _moment(entry.get("last_accessed")),
        )
    terminal.show(table)
    if terminal.err.is_terminal:
        count, free = len(answer["databases"]), answer.get("node_capacity", {}).get("capacity_remaining")
        more = f", room for {free} more" if free is not None else ""
        terminal.note(f"{count} database{'' if count == 1 else 's'}{more}")
    return None


def _moment(text: Any) -> Text:
    if not isinstance(text, str):
        return Text("never", style="dim")
    return Text(cell(text[:19].replace("T", " ")))


@command("create")
@click.argument("graph")
@click.option("--schema", "schema_type", type=click.Choice(["entity", "shared", "custom"]), help="[default: entity]")
@click.option("--repository", metavar="NAME", help="Of a shared schema.")
@click.option("--ddl", type=click.File("rb"), metavar="FILE", help="The tables, as Cypher; - is the standard input.")
@click.option("--if-not-exists", is_flag=True, help="An existing one is left as it is.")
def create(
    terminal: Terminal,
    graph: str,
    *,
    schema_type: str | None,
    repository: str | None,
    ddl: BinaryIO | None,
    if_not_exists: bool,
) -> None:
    """Create the database GRAPH; all or nothing."""
    if ddl is not None and schema_type not in (None, "custom"):
        raise click.UsageError("--ddl is a schema of its own: leave --schema out, or say custom")
    kind = schema_type or ("entity" if ddl is None else "custom")
    text = None if ddl is None else ddl.read().decode()
    with terminal.client() as client:
        if if_not_exists and client.database_exists(graph):
            answer = Answer(status="exists", graph_id=graph)
        else:
            answer = client.create_database(graph, kind, repository, text)
    if terminal.settings.as_json:
        terminal.document(answer)
    else:
        terminal.say(f"{graph} {'exists already' if answer['status'] == 'exists' else 'is there'}")


@command("schema")
@click.argument("graph")
def schema(terminal: Terminal, graph: str) -> None:
    """The tables of GRAPH."""
    with terminal.client() as client:
        tables = client.get_schema(graph)
    if terminal.settings.as_json:
        return terminal.document({"database": graph, "tables": tables})
    return show_schema(terminal, tables)


def show_schema(terminal: Terminal, tables: list[Table]) -> None:
    if not tables:
        return terminal.note("no tables")
    shown = plain_table("table", "", "columns")
    for table in tables:
        ends = [Text(cell(f"{end['from']} → {end['to']}")) for end in table.get("connections", ())]
        columns = Text(", ").join(map(_column, table["properties"]))
        name = Text(cell(table["name"]), style="bold")
        shown.add_row(name, Text("\n").join(ends) if ends else Text("node", style="dim"), columns)
    return terminal.show(shown)


def _column(described: Mapping[str, Any]) -> Text:
    text = Text(cell(described["name"]), style="bold" if described.get("primary_key") else "")
    text.append(f" {cell(described['type'])}", style="not bold dim")
    return text.append(" key", style="not bold green") if described.get("primary_key") else text
