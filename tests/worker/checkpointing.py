"""A process that writes and checkpoints: the steps it is given, or random ones held against a model."""

from __future__ import annotations

import json
import random
import shutil
import sys
from pathlib import Path
from typing import Any

from kuzu_node.core.messages import Assign
from kuzu_node.worker import engine
from kuzu_node.worker.connection import LaneConnection
from kuzu_node.worker.facts import Facts
from kuzu_node.worker.faults import Scrambled, Unstorable
from kuzu_node.worker.storing import Storing

NAMES = ("graph.kuzu", "graph.kuzu.wal")


class Store:
    """The database in a folder, opened as a worker opens it."""

    def __init__(self, folder: Path, *, guarded: bool) -> None:
        self._folder = folder
        self._guarded = guarded
        self.open()

    def open(self) -> None:
        file = str(self._folder / NAMES[0])
        self.database = engine.open_database(Assign(str(self._folder), file, "", 64 << 20, 1 << 30, 0, 1, "off"))
        self.connection = engine.connect(self.database, 1)
        self.facts = Facts()
        self.lane = LaneConnection(self.database, 1, self.facts)
        self.storing = Storing(self.facts, str(self._folder))

    def close(self) -> None:
        self.lane.connection.close()
        self.connection.close()
        self.database.close()

    def run(self, text: str) -> list[list[Any]]:
        result = self.lane.execute(text, {})
        try:
            found: list[list[Any]] = result.get_all()  # type: ignore[assignment]  # dicts come only on demand
            return found
        finally:
            result.close()

    def checkpoint(self, text: str = "CHECKPOINT") -> None:
        """Or a COMMIT with the CHECKPOINT behind it. Raises Scrambled, Unstorable."""
        if not self._guarded:
            self.run(text)
        elif text == "COMMIT":
            self.storing.commit(self.lane.connection, self.connection)
        else:
            # As a lane does it behind each DDL.
            self.facts.refresh(self.connection)
            self.storing.checkpoint(self.connection)

    def move(self, source: Path, target: Path) -> None:
        for name in NAMES:
            if (source / name).exists():
                shutil.copyfile(source / name, target / name)
            else:
                (target / name).unlink(missing_ok=True)

    def rows(self) -> list[list[Any]]:
        return self.run("MATCH (p:P) RETURN p.id, p.s ORDER BY p.id")


def play(folder: Path, column: str, steps: list[str], guarded: bool) -> None:
    aside, advice = folder / "aside", ""
    store = Store(folder, guarded=guarded) if steps[0] != "PUT BACK" else None
    if store is not None:
        store.run(f"CREATE NODE TABLE P(id INT64, {column}, PRIMARY KEY(id))")
    for step in steps:
        if step == "PUT BACK":
            for name in NAMES:
                shutil.copyfile(aside / name, folder / name)
            store = Store(folder, guarded=guarded)
            continue
        assert store is not None
        if step == "REOPEN":
            store.close()
            store.open()
        elif step.startswith("READ "):
            _tell(json.dumps(store.run(step.removeprefix("READ ")), default=str))
        elif step == "ADVICE":
            store.run(advice[advice.index("MATCH") :] if advice else "RETURN 1")
        elif step == "SET ASIDE":
            aside.mkdir()
            store.move(folder, aside)
        elif step in {"CHECKPOINT", "COMMIT"}:
            try:
                store.checkpoint(step)
                _tell(json.dumps(store.rows(), default=str))
            except (Scrambled, Unstorable) as error:
                advice = str(error)
                _tell(json.dumps(type(error).__name__))
        else:
            store.run(step)


def play_at_random(folder: Path, column: str, seed: int, rounds: int, guarded: bool) -> None:
    """Each round has a table of its own: one NULL among what is stored, and strings are in danger no more."""
    choose = random.Random(seed)
    store = Store(folder, guarded=guarded)
    for number in range(rounds):
        rows = Rows(store, choose, f"P{number}", column)
        rows.create([rows.value() for _ in range(choose.choice([1, 3, 40]))])
        store.checkpoint()
        for _ in range(12):
            rows.take_a_step()
            rows.compare()


class Rows:
    """What a table must hold, and one random step after the other."""

    def __init__(self, store: Store, choose: random.Random, table: str, column: str) -> None:
        self._store = store
        self._choose = choose
        self._table = table
        self._column = column
        self._made = 0
        self._model: dict[int, Any] = {}
        store.run(f"CREATE NODE TABLE {table}(id INT64, s {column}, PRIMARY KEY(id))")

    def value(self) -> Any:
        word = "".join(self._choose.choices("abcdef", k=self._choose.choice([1, 5, 40])))
        number = self._choose.randrange(100)
        return {"STRING": word, "STRING[]": [word], "INT64[]": [number], "DOUBLE[2]": [float(number), 0.5]}[
            self._column
        ]

    def create(self, values: list[Any]) -> None:
        for value in values:
            self._store.run(f"CREATE (:{self._table} {{id: {self._made}, s: {_literal(value)}}})")
            self._model[self._made] = value
            self._made += 1

    def take_a_step(self) -> None:
        choose = self._choose
        step = choose.choice(["create", "nulls", "nulls", "set", "set", "all", "delete", "reopen", *["checkpoint"] * 4])
        value = self.value()
        if step == "create":
            self.create([value] * choose.choice([1, 4]))
        elif step == "nulls":
            self.create([None] * choose.choice([1, 4]))
        elif step == "all":
            for key in self._model:
                self._set(key, self.value())
        elif step == "checkpoint":
            self._store.checkpoint()
        elif step == "reopen":
            self._store.close()
            self._store.open()
        elif self._model:
            key = choose.choice(sorted(self._model))
            if step == "set":
                self._set(key, value)
            else:
                del self._model[key]
                self._store.run(f"MATCH (p:{self._table} {{id: {key}}}) DELETE p")

    def _set(self, key: int, value: Any) -> None:
        self._model[key] = value
        self._store.run(f"MATCH (p:{self._table} {{id: {key}}}) SET p.s = {_literal(value)}")

    def compare(self) -> None:
        found = dict(self._store.run(f"MATCH (p:{self._table}) RETURN p.id, p.s"))
        if found != self._model:
            sys.exit(f"{self._table}: {found} instead of {self._model}")


def _tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _literal(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_literal(item) for item in value) + "]"
    return "NULL" if value is None else engine.text_literal(value) if isinstance(value, str) else str(value)


if __name__ == "__main__":
    order = json.loads(sys.argv[1])
    order["folder"] = Path(order["folder"])
    (play_at_random if "seed" in order else play)(**order)
