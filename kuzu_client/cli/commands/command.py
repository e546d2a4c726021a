"""What makes a function a command: the common options, a terminal, errors as exit codes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from kuzu_client.cli.exits import Exit
from kuzu_client.cli.settings import Settings, common_options
from kuzu_client.cli.terminal import Terminal
from kuzu_client.errors import KuzuAPIError


def command(name: str, **attributes: Any) -> Callable[[Callable[..., Exit | None]], click.Command]:
    """The function gets a Terminal before its parameters; an error of the node that it lets out is told."""

    def make(body: Callable[..., Exit | None]) -> click.Command:
        @wraps(body)
        def carry_out(**given: Any) -> Exit:
            terminal = Terminal.open(Settings.from_context(click.get_current_context()))
            try:
                code = body(terminal, **given) or Exit.OK
                sys.stdout.flush()
                return code
            except KuzuAPIError as error:
                return terminal.fail(error)
            except (ValueError, ImportError) as error:
                # A name that no database can have, a text that is no UTF-8, a format that needs another package.
                raise click.UsageError(str(error)) from error
            except KeyboardInterrupt:
                # Leaving the blocks of the command has closed its connection, which has the node stop its query.
                return terminal.interrupted()
            except BrokenPipeError:
                # Here, since click would make a 1 of it.
                return terminal.unread()

        made: click.Command = click.command(name, cls=click.Command, **attributes)(carry_out)
        made.params.extend(common_options())  # behind its own, which people look for
        return made

    return make
