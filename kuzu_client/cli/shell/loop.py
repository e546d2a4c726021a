"""The dialogue: a prompt, statements, and the shell's own commands, which begin with a colon."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NoReturn

import attrs

from kuzu_client.answers import Table
from kuzu_client.cli import results
from kuzu_client.cli.client import CommandClient
from kuzu_client.cli.commands.node import show_schema
from kuzu_client.cli.exits import Exit
from kuzu_client.cli.failures import simple
from kuzu_client.cli.shell.backends import Backend, Stopped
from kuzu_client.cli.shell.history import Lines
from kuzu_client.cli.shell.statements import Statements
from kuzu_client.cli.tables import pairs
from kuzu_client.cli.terminal import Terminal
from kuzu_client.errors import KuzuAPIError

HELP: Final = (
    ("STATEMENT;", "runs when its semicolon comes, over as many lines as you like"),
    (":schema [TABLE ...]", "the tables and their columns"),
    (":begin [read-only]", "opens a transaction; the statements behind it belong to it"),
    (":commit, :rollback", "end it"),
    (":help", "this"),
    (":quit, Ctrl-D", "leaves; an open transaction is rolled back"),
    ("Ctrl-C", "stops the statement that runs, or drops the one that is being typed"),
)
ABORTED: Final = "transaction_aborted"
KEYWORDS: Final = (
    *("MATCH", "OPTIONAL", "WHERE", "RETURN", "ORDER BY", "LIMIT", "SKIP", "WITH", "UNWIND", "CREATE", "MERGE", "SET"),
    *("DELETE", "DETACH DELETE", "CALL", "NODE TABLE", "REL TABLE", "PRIMARY KEY", "DISTINCT", "UNION ALL", "EXPLAIN"),
)
COMMANDS: Final = ("begin", "commit", "help", "quit", "rollback", "schema")


class Leave(Exception):
    """The shell ends."""


class Failed(Exception):
    """Something has failed, and was told."""

    def __init__(self, code: Exit) -> None:
        super().__init__(code)
        self.code = code


@attrs.define(eq=False)
class Shell:
    """`people`: somebody sits there, who sees prompts and goes on after errors."""

    _terminal: Terminal
    _client: CommandClient
    _backend: Backend
    _graph_id: str
    _lines: Lines
    _people: bool = attrs.field(kw_only=True)
    _statements: Statements = attrs.field(factory=Statements, init=False)
    _typed: list[str] = attrs.field(factory=list, init=False)
    _words: list[str] = attrs.field(factory=list, init=False)

    def run(self) -> Exit:
        if self._people:
            self._greet()
        while True:
            try:
                self._take(self._lines.read(self._prompt()))
            except KeyboardInterrupt:
                if not self._people:
                    raise
                self._drop()
            except (EOFError, Leave) as end:
                return self._end(by_command=isinstance(end, Leave))
            except KuzuAPIError as error:
                code = self._terminal.fail(error)
                if not self._people:
                    return code
            except Failed as failed:
                if not self._people:
                    return failed.code

    def _greet(self) -> None:
        self._lines.complete_with(self._completions)
        self._terminal.note(f"{self._graph_id} on {self._terminal.settings.url}; :help tells more")
        if self._backend.unavailable:
            self._terminal.note(f"each statement commits by itself: {self._backend.unavailable}")

    def _prompt(self) -> str:
        state = "!" if self._backend.aborted else "*" if self._backend.in_transaction else ""
        prompt = f"{self._graph_id}{state}> "
        return "> ".rjust(len(prompt)) if self._statements.pending else prompt

    def _take(self, line: str) -> None:
        """One line: a command, or a part of a statement. What is typed in front of an interrupt is not lost."""
        if not self._statements.pending and line.lstrip().startswith(":"):
            self._lines.remember(line)
            self._command(*line.split())
            return
        self._typed.append(line)
        ended = self._statements.feed(line)
        if not self._statements.pending:
            self._lines.remember("\n".join(self._typed))
            self._typed.clear()
        for statement in ended:
            self._run(statement)

    def _drop(self) -> None:
        self._terminal.err.print()
        self._lines.remember("\n".join(self._typed))
        self._typed.clear()
        self._statements.clear()

    def _run(self, statement: str) -> None:
        try:
            shown = self._backend.query(statement)
        except Stopped:
            self._stopped()
        except KuzuAPIError as error:
            if error.code == ABORTED:
                self._refuse("the transaction is of no use any more, because of the error before: :rollback")
            raise Failed(self._terminal.fail(error, statement, writes=not self._backend.in_transaction)) from error
        else:
            results.show(self._terminal, shown, "add LIMIT, or start the shell with --limit N")

    def _stopped(self) -> None:
        if self._people:
            self._terminal.err.print()  # behind the terminal's ^C
        self._terminal.note("stopped", style="yellow")
        if self._backend.aborted:
            self._terminal.note("the transaction is of no use any more: :rollback", style="yellow")
        raise Failed(Exit.INTERRUPTED)

    def _command(self, name: str, *arguments: str) -> None:
        commands: dict[str, Callable[..., None]] = {
            ":schema": self._schema,
            ":begin": self._begin,
            ":commit": self._commit,
            ":rollback": self._roll_back,
            ":help": self._help,
            ":quit": self._quit,
            ":exit": self._quit,
        }
        if name not in commands:
            self._refuse(f"{name} is no command; :help tells which there are")
        commands[name](*arguments)

    def _refuse(self, text: str) -> NoReturn:
        self._terminal.err.print(simple(text), soft_wrap=True)
        raise Failed(Exit.USAGE)

    def _schema(self, *names: str) -> None:
        tables = self._client.get_schema(self._graph_id)
        self._words = [word for table in tables for word in _names(table)]
        known = {table["name"] for table in tables}
        unknown = [name for name in names if name not in known]
        if unknown:
            self._refuse(f"no table {unknown[0]}")
        show_schema(self._terminal, [table for table in tables if not names or table["name"] in names])

    def _begin(self, *mode: str) -> None:
        self._need_sessions()
        if mode not in ((), ("read-only",)):
            self._refuse(":begin, or :begin read-only")
        if self._backend.in_transaction:
            self._refuse("a transaction is open already")
        self._finish(lambda: self._backend.begin(read_only=bool(mode)))

    def _commit(self) -> None:
        self._need_transaction()
        self._finish(self._backend.commit)
        self._tell("committed")

    def _roll_back(self) -> None:
        self._need_transaction()
        self._finish(self._backend.roll_back)
        self._tell("rolled back")

    def _finish(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Stopped:
            self._stopped()

    def _need_sessions(self) -> None:
        if self._backend.unavailable:
            self._refuse(f"there are no transactions here: {self._backend.unavailable}")

    def _need_transaction(self) -> None:
        self._need_sessions()
        if not self._backend.in_transaction:
            self._refuse("no transaction is open")

    def _tell(self, text: str) -> None:
        if self._people:
            self._terminal.note(text)

    def _help(self) -> None:
        self._terminal.show(pairs(HELP))

    def _quit(self) -> None:
        raise Leave

    def _end(self, *, by_command: bool) -> Exit:
        """What stands behind the last semicolon of a pipe runs as well; what a person has not ended does not."""
        if self._people:
            if not by_command:
                self._terminal.err.print()
        elif not by_command and (rest := self._statements.rest()):
            try:
                self._run(rest)
            except Failed as failed:
                return failed.code
        if self._backend.in_transaction:
            self._terminal.note("the open transaction is rolled back", style="yellow")
            return Exit.OK if self._people else Exit.FAILED
        return Exit.OK

    def _completions(self, line: str) -> list[str]:
        if line.lstrip().startswith(":"):
            return [*COMMANDS, *self._words]
        if not self._words:
            self._words = [word for table in self._client.get_schema(self._graph_id) for word in _names(table)]
        return [*self._words, *KEYWORDS]


def _names(table: Table) -> list[str]:
    return [table["name"], *(column["name"] for column in table["properties"])]
