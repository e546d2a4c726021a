"""The command line as a whole, and the one place where what goes wrong becomes an exit code."""

from __future__ import annotations

from importlib import metadata

import click

from kuzu_client.cli.commands import EVERY_COMMAND
from kuzu_client.cli.exits import Exit
from kuzu_client.cli.failures import PROGRAM
from kuzu_client.cli.settings import common_options


def print_version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(f"{PROGRAM} {metadata.version('kuzu-node')}")
        ctx.exit()


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    subcommand_metavar="COMMAND ...",
    params=common_options(),
)
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=print_version, help="Show the version."
)
def program() -> None:
    """Talks to a kuzu-node.

    \b
    Exit codes: 0 done; 1 an error of the statement or the node; 2 a wrong command line; 3 unavailable, try again;
    4 not found; 5 out of time; 6 refused (key, read-only); 130 interrupted.
    """


def run(arguments: list[str] | None = None) -> int:
    """The exit code. What nobody expects leaves as a traceback."""
    for command in EVERY_COMMAND:
        program.add_command(command)
    try:
        code = program.main(args=arguments, prog_name=PROGRAM, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return Exit.USAGE
    except click.Abort:
        return Exit.INTERRUPTED
    except OSError as error:
        click.echo(f"{PROGRAM}: {error}", err=True)
        return Exit.FAILED
    return code if isinstance(code, int) else Exit.OK
