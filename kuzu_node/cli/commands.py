"""The commands, and the one place where their failures become exit codes."""

from __future__ import annotations

import sys
from importlib import metadata

import click
import structlog
from rich.console import Console

from kuzu_node import config as configuration
from kuzu_node.cli import check as checks
from kuzu_node.cli.client import PassedOn, become_client
from kuzu_node.cli.options import ServingGroup, by_name, setting_options
from kuzu_node.config import LogConfig
from kuzu_node.observe import logs

NOT_CONFIGURED = 2
STANDARD_ERROR = 2
BEFORE_CONFIGURATION = LogConfig(level="INFO", format="text", slow_query_ms=0)


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 0, 1 for a failure or a failed check, 2 for a wrong command line or configuration."""
    logs.configure(BEFORE_CONFIGURATION, descriptor=STANDARD_ERROR)
    try:
        code = kuzu_node.main(args=arguments, prog_name="kuzu-node", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return 130
    except configuration.ConfigurationError as error:
        click.echo(f"kuzu-node: {error}", err=True)
        return NOT_CONFIGURED
    except Exception:
        structlog.get_logger().exception("command_failed")
        return 1


def print_version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(f"kuzu-node {metadata.version('kuzu-node')}")
        ctx.exit()


@click.group(cls=ServingGroup)
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=print_version, help="Show the version."
)
def kuzu_node() -> None:
    """Serves Kuzu graph databases over HTTP. Without a command: serve."""


@kuzu_node.command()
@setting_options
def serve(**given: str | None) -> int:
    """Serve databases until SIGTERM or SIGINT."""
    config = configuration.from_process(by_name(given))
    logs.configure(config.log)
    # Not at the top: `check` has to say what is wrong where the server's own imports fail.
    from kuzu_node.serve import run

    return run(config)


@kuzu_node.command()
@setting_options
def check(**given: str | None) -> int:
    """Look at the configuration and the machine; exit with 1 when a node would not start."""
    findings = checks.examine(by_name(given))
    Console(file=sys.stdout).print(checks.as_table(findings))
    return 1 if any(finding.grade is checks.Grade.ERROR for finding in findings) else 0


@kuzu_node.command("cli", cls=PassedOn)
def client(arguments: tuple[str, ...]) -> None:
    """Talk to a node: what follows goes to kuzu-client."""
    become_client(arguments)
