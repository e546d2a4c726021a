"""The commands, by what they are about."""

from __future__ import annotations

from typing import Final

import click

from kuzu_client.cli.commands.archives import backup, restore, task
from kuzu_client.cli.commands.loading import ingest
from kuzu_client.cli.commands.node import create, databases, health, info, schema
from kuzu_client.cli.commands.querying import query
from kuzu_client.cli.commands.shell import shell

EVERY_COMMAND: Final[tuple[click.Command, ...]] = (
    *(health, info, databases, create, schema),
    *(query, shell, ingest, task, backup, restore),
)
