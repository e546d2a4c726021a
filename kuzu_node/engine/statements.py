"""From a screened text to an answer: which order a statement becomes and which way through the database it takes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any

import attrs
import trio

from kuzu_node.core.messages import KeyTypes, RunBulk, RunQuery, RunTransaction
from kuzu_node.core.screen import Kind, Screen, Screened, Statement, split_ddl
from kuzu_node.engine import replay
from kuzu_node.engine.answer import Answer, collect
from kuzu_node.engine.bulk import BulkStatements
from kuzu_node.engine.checkpoints import Checkpoints, updates_in
from kuzu_node.engine.execution import Execution, Floor, Pin, engine_timeout_ms
from kuzu_node.engine.quarantine import UNSUSPECTED
from kuzu_node.engine.usage import Usage
from kuzu_node.engine.values import Query, Transaction, TransactionStatement
from kuzu_node.errors import Forbidden, NodeError, RequestRefused, StatementFailed

# A text, or text and parameters, longer than this are screened in a thread: the loop has others to serve.
SCREEN_IN_THREAD = 32 * 1024
RUNS_IN_THREAD = 64
SCHEMA_LENGTH = 1_000_000
SCHEMA_TOKENS = 250_000
_MENTIONS_PROJECTION = re.compile("project", re.IGNORECASE)


@attrs.define(eq=False)
class Statements:
    """Runs texts on one database."""

    graph_id: str
    screen: Screen
    floor: Floor
    checkpoints: Checkpoints
    bulk: BulkStatements
    usage: Usage
    projecting_screen: Screen = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.projecting_screen = Screen(self.screen.limits, cache_size=32, allow_projected_graphs=True)

    async def screened(
        self, cypher: str, parameters: Mapping[str, Any], key_types: KeyTypes, *, projecting: bool = False
    ) -> Screened:
        """Off the loop when it may take long. `projecting`: for a session that keeps its lane."""
        own = self.projecting_screen if projecting else self.screen
        if len(cypher) <= SCREEN_IN_THREAD and not is_large(parameters):
            return own.screen(cypher, parameters, key_types)
        # Not `own`: its memory belongs to the loop's thread.
        fresh = Screen(own.limits, cache_size=0, allow_projected_graphs=projecting)
        return await trio.to_thread.run_sync(fresh.screen, cypher, parameters, key_types)

    async def projects_graphs(self, cypher: str) -> bool:
        """Whether the text is for sessions only. Off the loop when it may take long."""
        if _MENTIONS_PROJECTION.search(cypher) is None:
            return False
        own = self.projecting_screen
        if len(cypher) <= SCREEN_IN_THREAD:
            return own.projects(cypher)
        fresh = Screen(own.limits, cache_size=0, allow_projected_graphs=True)
        return await trio.to_thread.run_sync(fresh.projects, cypher)

    async def run(self, query: Query, screened: Screened, execution: Execution) -> Answer:
        """An ordinary text. `execution` stays the caller's to finish."""
        started = trio.current_time()
        texts = [one.text for one in screened.statements]
        seated = await self._seat(execution, () if screened.is_read else texts)
        queue_ms = (trio.current_time() - started) * 1000
        order = RunQuery(
            texts,
            [one.kind is not Kind.READ for one in screened.statements],
            screened.parameters,
            query.form.value,
            query.chunk_size,
            self.graph_id,
            engine_timeout_ms(self.floor.query_timeout),
            has_ddl(screened),
            kept=execution.is_pinned,
        )
        try:
            answer = await self._answer(execution, order, queue_ms, seated=seated)
        except NodeError as error:
            self._explain(error, screened)
            raise
        self._used(answer, () if screened.is_read else texts)
        return answer

    async def _seat(self, execution: Execution, written: Sequence[str]) -> bool:
        """False, with nothing held, where the log may give what is written back as something else."""
        if replay.is_untrue(written, text_indexed=False):
            return False
        worker = await execution.seat()
        if replay.is_untrue(written, text_indexed=worker.text_indexed):
            await execution.finish()
            return False
        return True

    async def _answer(
        self, execution: Execution, order: RunQuery | RunTransaction, queue_ms: float, *, seated: bool
    ) -> Answer:
        if not seated:
            return await self.bulk.run_alone(execution, order)
        return await execution.answer(await execution.perform(order), queue_ms)

    async def run_bulk(self, query: Query, screened: Screened, execution: Execution) -> Answer:
        """A statement with a commit of its own. `execution` stays the caller's to finish."""
        try:
            answer = await self._perform_bulk(query, screened, execution)
        except NodeError as error:
            self._explain(error, screened)
            raise
        # Behind a checkpoint of its own.
        self._used(answer, ())
        return answer

    async def _perform_bulk(self, query: Query, screened: Screened, execution: Execution) -> Answer:
        statement, started = screened.statements[0], trio.current_time()
        form, chunk_size = query.form.value, query.chunk_size
        if statement.kind is Kind.DROP_COLUMN:
            drop = RunQuery(
                [statement.text],
                [True],
                {},
                form,
                chunk_size,
                self.graph_id,
                engine_timeout_ms(self.floor.query_timeout),
                ddl=True,
            )
            table = replay.altered_table(statement.text)
            return await self.bulk.run_alone(execution, drop, checkpoint_first=True, drops_from=table)
        alone = statement.kind is Kind.BULK_INDEX
        if alone:
            replay.refuse_ruinous(statement.text)
        order = RunBulk(
            statement.text,
            screened.parameters,
            not alone,
            form,
            chunk_size,
            self.graph_id,
            engine_timeout_ms(self.floor.query_timeout),
        )
        if alone:
            return await self.bulk.run_alone(execution, order, checkpoint_first=True, swap_after=True)
        outcome = await self.bulk.run(execution, order)
        queue_ms = (trio.current_time() - started) * 1000 - outcome.executed.execute_ms
        return await execution.answer(outcome, max(0.0, queue_ms))

    async def transaction(self, transaction: Transaction) -> Answer:
        """All statements or none. `body` is the JSON array of their results."""
        started = trio.current_time()
        execution = Execution(self.floor, transaction, UNSUSPECTED, write=False)
        worker = await execution.opened()
        try:
            runs = await self._runs_of_all(transaction, worker.key_types)
        except BaseException:
            self.floor.presence.unused()
            raise
        screened = [one for each in runs for one in each]
        write = not all(one.is_read for one in screened)
        fingerprint = fingerprint_of([each[0].statements[0] for each in runs])
        execution = Execution(self.floor, transaction, fingerprint, write=write)
        try:
            texts = [one.statements[0].text for one in screened] if write else []
            seated = await self._seat(execution, texts)
            queue_ms = (trio.current_time() - started) * 1000
            order = RunTransaction(
                [[(one.statements[0].text, one.parameters) for one in each] for each in runs],
                read_only=not write,
                database=self.graph_id,
                timeout_ms=engine_timeout_ms(self.floor.query_timeout),
                ddl=any(has_ddl(one) for one in screened),
            )
            answer = await self._answer(execution, order, queue_ms, seated=seated)
            if answer.body is None:
                answer.body = await collect(answer)
        except NodeError as error:
            self.checkpoints.failed(error)
            raise
        finally:
            await execution.finish()
        self._used(answer, texts)
        return answer

    async def _runs_of_all(self, transaction: Transaction, key_types: KeyTypes) -> list[list[Screened]]:
        if not is_long(transaction.statements):
            return self._screen_all(self.screen, transaction, key_types)
        own = Screen(self.screen.limits)
        return await trio.to_thread.run_sync(self._screen_all, own, transaction, key_types)

    def _screen_all(self, own: Screen, transaction: Transaction, key_types: KeyTypes) -> list[list[Screened]]:
        """For each statement its runs. A refusal names the statement."""
        found: list[list[Screened]] = []
        for index, statement in enumerate(transaction.statements):
            try:
                found.append(_runs(own, statement, key_types, read_only=transaction.read_only))
            except NodeError as error:
                error.statement = index
                raise
        return found

    async def split_ddl(self, ddl: str, *, allow_drop: bool) -> tuple[Statement, ...]:
        """A schema may be longer than a query. Raises NodeError for what is no DDL."""
        limits = attrs.evolve(self.screen.limits, max_length=SCHEMA_LENGTH, max_tokens=SCHEMA_TOKENS)
        split = partial(split_ddl, ddl, limits=limits, allow_drop=allow_drop)
        return split() if len(ddl) <= SCREEN_IN_THREAD else await trio.to_thread.run_sync(split)

    async def apply_ddl(self, statements: tuple[Statement, ...]) -> None:
        """In one transaction, split by `split_ddl`."""
        request = Transaction(statements=())
        execution = Execution(self.floor, request, fingerprint_of(statements), write=True)
        order = RunTransaction([[(one.text, {})] for one in statements], False, self.graph_id, 0, ddl=True)
        try:
            await execution.seat()
            await execution.perform(order)
        finally:
            await execution.finish()
        self.checkpoints.wrote()

    def _used(self, answer: Answer, written: Collection[str]) -> None:
        self.usage.count(answer.timing.queue_ms + answer.timing.execute_ms)
        if written:
            self.checkpoints.wrote(updates_in(written))

    def _explain(self, error: NodeError, screened: Screened) -> None:
        point_into_source(error, screened)
        self.checkpoints.failed(error)


class RunningQuery:
    """`async with` gives the Answer; leaving the block gives everything back, whatever has been read."""

    def __init__(self, statements: Statements, query: Query, *, pin: Pin | None = None) -> None:
        self._statements = statements
        self._query = query
        self._pin = pin
        self._execution: Execution | None = None

    async def __aenter__(self) -> Answer:
        statements, query = self._statements, self._query
        worker = statements.floor.presence.usable()
        if worker is None:
            worker = await Execution(statements.floor, query, UNSUSPECTED, write=False).opened()
        try:
            screened = await statements.screened(
                query.cypher, query.parameters, worker.key_types, projecting=self._pin is not None
            )
            refuse_writing(screened, read_only=query.read_only)
        except BaseException:
            statements.floor.presence.unused()
            raise
        fingerprint, write = fingerprint_of(screened.statements), not screened.is_read
        execution = Execution(statements.floor, query, fingerprint, write=write, pin=self._pin)
        run = statements.run_bulk if screened.is_bulk else statements.run
        try:
            answer = await run(query, screened, execution)
        except BaseException:
            await execution.finish()
            raise
        self._execution = execution
        return answer

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._execution is not None:
            await self._execution.finish()


def refuse_writing(screened: Screened, *, read_only: bool) -> None:
    """A request that promised to read only."""
    if read_only and not screened.is_read:
        detail = "this statement writes, and the request says read_only"
        raise Forbidden(detail, code="read_only", committed=False, is_statement=True)


def fingerprint_of(statements: Sequence[Statement]) -> str:
    """Of all of them: a harmless first one must not be shut out for what a later one has done."""
    if len(statements) == 1:
        return statements[0].fingerprint
    together = "\n".join(one.fingerprint for one in statements)
    return hashlib.blake2b(together.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def has_ddl(screened: Screened) -> bool:
    """Whether the key types may differ afterwards."""
    return any(one.kind in {Kind.DDL, Kind.DROP_COLUMN} for one in screened.statements)


def is_large(parameters: Mapping[str, Any]) -> bool:
    """Whether screening the parameters may take long: by strings and lists, a level deep."""
    total = 0
    for value in parameters.values():
        if isinstance(value, str | list | dict):
            total += len(value) * (1 if isinstance(value, str) else 64)
    return total > SCREEN_IN_THREAD


def is_long(statements: Sequence[TransactionStatement]) -> bool:
    """Whether screening a transaction may take long: by runs, and by what a run of each has to be read."""
    runs = [max(1, len(one.parameter_sets or ())) for one in statements]
    length = sum(len(one.cypher) * times for one, times in zip(statements, runs, strict=True))
    if sum(runs) > RUNS_IN_THREAD or length > SCREEN_IN_THREAD:
        return True
    return any(is_large(each) for one in statements for each in (one.parameters, *(one.parameter_sets or ())))


def point_into_source(error: NodeError, screened: Screened) -> None:
    """The engine speaks of the text that it was given; the caller sent another."""
    if isinstance(error, StatementFailed) and error.line is not None and error.column is not None:
        error.line, error.column = screened.origin(error.statement or 0, error.line, error.column - 1)


def _runs(own: Screen, statement: TransactionStatement, key_types: KeyTypes, *, read_only: bool) -> list[Screened]:
    sets = (statement.parameters,) if statement.parameter_sets is None else statement.parameter_sets
    runs = [own.screen(statement.cypher, parameters, key_types) for parameters in sets]
    for one in runs:
        refuse_writing(one, read_only=read_only)
        if one.is_bulk:
            detail = "this statement has a commit of its own: send it alone to /query, not in a transaction"
            raise RequestRefused(detail, committed=False, is_statement=True)
        if len(one.statements) != 1:
            detail = "each entry of a transaction is one statement: make an entry of each"
            raise RequestRefused(detail, committed=False, is_statement=True)
    if not runs:
        raise RequestRefused("parameter_sets is empty: there is nothing to run", committed=False, is_statement=True)
    return runs
