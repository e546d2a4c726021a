"""A real engine in a child process, asked one statement at a time: some inputs end the process that runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import attrs

_CHILD = """
import json, sys, kuzu
database = kuzu.Database(":memory:", buffer_pool_size=256 << 20, max_db_size=1 << 30)
connection = kuzu.Connection(database, num_threads=1)
for line in sys.stdin:
    text, parameters = json.loads(line)
    try:
        result = connection.execute(text, parameters) if parameters else connection.execute(text)
        results = result if isinstance(result, list) else [result]
        answer = {"rows": [one.get_all() for one in results], "types": results[-1].get_column_data_types()}
    except BaseException as error:
        answer = {"error": str(error)}
    print(json.dumps(answer, default=str), flush=True)
"""


@attrs.frozen
class Answer:
    """`rows` are those of the last statement; `error` is empty when it ran, `died` when the process ended."""

    rows: list[list[object]]
    types: list[str]
    error: str = ""

    @property
    def value(self) -> object:
        assert not self.error, self.error
        return self.rows[0][0]

    @property
    def died(self) -> bool:
        return self.error == "died"


@attrs.define(eq=False)
class Engine:
    schema: Sequence[str]
    _process: subprocess.Popen[str] | None = None

    def run(self, text: str, parameters: Mapping[str, object] | None = None) -> Answer:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _CHILD],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            for statement in self.schema:
                error = self.run(statement).error
                assert not error, error
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps([text, dict(parameters or {})]) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            self.close()
            return Answer([], [], "died")
        answer = json.loads(line)
        if "error" in answer:
            return Answer([], [], answer["error"] or "an error without words")
        return Answer(answer["rows"][-1], answer["types"])

    def close(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


@contextmanager
def open_engine(*schema: str) -> Iterator[Engine]:
    engine = Engine(schema)
    try:
        yield engine
    finally:
        engine.close()
