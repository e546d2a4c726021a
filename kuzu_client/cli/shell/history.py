"""Where lines come from: a person, with readline and a history of their own, or a pipe."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Final, Protocol

import attrs

from kuzu_client.config import history_path

LENGTH: Final = 1000
DELIMITERS: Final = " \t\n()[]{}.,;:|<>=\"'`-"


class Lines(Protocol):
    def read(self, prompt: str) -> str:
        """Without its end. Raises EOFError behind the last one."""

    def remember(self, statement: str) -> None: ...

    def complete_with(self, words: Callable[[str], list[str]]) -> None:
        """`words` gets the line as far as it is typed."""


class PipedLines:
    def read(self, prompt: str) -> str:
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line.rstrip("\n")

    def remember(self, statement: str) -> None:
        """Nobody will ask for it."""

    def complete_with(self, words: Callable[[str], list[str]]) -> None:
        """Nobody presses tab."""


class TypedLines(PipedLines):
    """Of a person whose Python has no readline."""

    def read(self, prompt: str) -> str:
        return input(prompt)


@attrs.frozen
class EditedLines:
    """A statement of several lines is one entry of the history. One that begins with a space is not remembered."""

    _readline: ModuleType

    def read(self, prompt: str) -> str:
        return input(prompt)

    def remember(self, statement: str) -> None:
        if statement[:1].isspace():
            return
        # A comment that ends with its line would swallow the rest of the entry.
        entries = statement.splitlines() if "//" in statement else [" ".join(statement.splitlines())]
        for entry in entries:
            last = self._readline.get_current_history_length()
            if entry.strip() and (not last or self._readline.get_history_item(last) != entry):
                self._readline.add_history(entry)

    def complete_with(self, words: Callable[[str], list[str]]) -> None:
        def complete(begun: str, index: int) -> str | None:
            found = [word for word in words(self._readline.get_line_buffer()) if word.lower().startswith(begun.lower())]
            return found[index] if index < len(found) else None

        self._readline.set_completer(complete)
        self._readline.set_completer_delims(DELIMITERS)
        self._readline.parse_and_bind("tab: complete")


@contextmanager
def piped_lines() -> Iterator[Lines]:
    yield PipedLines()


@contextmanager
def edited_lines() -> Iterator[Lines]:
    """The history is read at the begin and written at the end; without a place for it there is none."""
    try:
        readline = importlib.import_module("readline")
    except ModuleNotFoundError:  # some builds of Python
        yield TypedLines()
        return
    path = history_path()
    readline.set_auto_history(False)
    readline.set_history_length(LENGTH)
    with suppress(OSError):
        readline.read_history_file(path)
    try:
        yield EditedLines(readline)
    finally:
        with suppress(OSError):
            _save(readline, path)


def _save(readline: ModuleType, path: Path) -> None:
    """Statements hold values that are nobody else's business."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    path.chmod(0o600)
    readline.write_history_file(path)
