"""Where a command writes: results to the standard output, everything else to the standard error."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import attrs
import click
import msgspec
from rich.console import Console, RenderableType
from rich.text import Text

from kuzu_client._core.observers import Event, Waits
from kuzu_client.cli import exits
from kuzu_client.cli.client import CommandClient
from kuzu_client.cli.exits import Exit
from kuzu_client.cli.failures import simple, told
from kuzu_client.cli.settings import Settings
from kuzu_client.cli.values import printable
from kuzu_client.errors import KuzuAPIError

# What goes into a pipe or a file is cut off nowhere.
UNBOUNDED_WIDTH = 1_000_000


class PipedConsole(Console):
    """rich would end the process with 1 when the reader has gone; `run` decides that."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


@attrs.define(eq=False)
class Terminal:
    settings: Settings
    out: Console
    err: Console

    @classmethod
    def open(cls, settings: Settings) -> Terminal:
        """Of this process. Characters that its encoding lacks are written as escapes."""
        consoles = []
        for file in (sys.stdout, sys.stderr):
            if hasattr(file, "reconfigure"):
                file.reconfigure(errors="backslashreplace")
            consoles.append(
                PipedConsole(
                    file=file,
                    width=None if file.isatty() else UNBOUNDED_WIDTH,
                    no_color=True if settings.no_color else None,
                    highlight=False,
                    markup=False,
                    emoji=False,
                )
            )
        return cls(settings, *consoles)

    def show(self, what: RenderableType) -> None:
        """On a terminal as wide as that; elsewhere as wide as it is, without blanks at the ends of lines."""
        if self.out.is_terminal:
            self.out.print(what)
            return
        with self.out.capture() as captured:
            self.out.print(what)
        self.out.file.writelines(f"{line.rstrip()}\n" for line in captured.get().splitlines())
        self.out.file.flush()

    def say(self, text: str, style: str = "") -> None:
        """One line of a result; long ones are the terminal's to wrap."""
        self.out.print(Text(printable(text), style=style), soft_wrap=True)

    def note(self, text: str, style: str = "dim") -> None:
        """For people, beside the result."""
        self.err.print(Text(printable(text), style=style), soft_wrap=True)

    def document(self, answer: Any) -> None:
        """As JSON."""
        self.write(msgspec.json.format(msgspec.json.encode(answer), indent=2) + b"\n")

    def write(self, data: bytes) -> None:
        """As it is, and at once."""
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    def fail(self, error: KuzuAPIError, text: str = "", *, writes: bool = False) -> Exit:
        """Tell an error, with the place in the text that it means. The exit code."""
        sys.stdout.flush()
        for line in told(error, text, writes=writes):
            self.err.print(line, soft_wrap=True)
        return exits.of(error)

    def interrupted(self) -> Exit:
        self.err.print(simple("interrupted"))
        return Exit.INTERRUPTED

    def unread(self) -> Exit:
        """Nobody reads the output any more, and the interpreter would complain when it flushes it at the end."""
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), sys.stdout.fileno())
        return Exit.BROKEN_PIPE

    @contextmanager
    def client(self) -> Iterator[CommandClient]:
        """Raises click.UsageError for settings that make no sense."""
        observers = (self._tell_waits,) if self.err.is_terminal else ()
        try:
            client = CommandClient.from_settings(self.settings, observers=observers)
        except ValueError as error:
            raise click.UsageError(str(error)) from error
        with client:
            yield client

    def _tell_waits(self, event: Event) -> None:
        if isinstance(event, Waits):
            self.note(f"{event.error}; trying again in {event.seconds:.1f} s")
