"""A process that writes and checkpoints: the steps it is given, or random ones held against a model."""

from __future__ import annotations

import json
import random
import shutil
import sys
from pathlib import Path
from typing import Any

import kuzu

from kuzu_node.worker import dictionaries, engine

NAMES = ("graph.kuzu", "graph.kuzu.wal")


class Store:
    """The database in a folder, opened as a worker opens it."""

    def __init__(self, folder: Path, *, guarded: bool) -> None:
        self._folder = folder
        self._guarded = guarded
        self.touched = 0
        self.open()

    def open(self) -> None:
        self.database = kuzu.Database(
            str(self._folder / NAMES[0]), buffer_pool_size=64 << 20, max_db_size=1 << 30, auto_checkpoint=False
        )
        self.connection = engine.connect(self.database, 1)
        self.dictionaries = dictionaries.Dictionaries()

    def close(self) -> None:
        self.connection.close()
        self.database.close()

    def run(self, text: str) -> list[list[Any]]:
        return engine.rows(self.connection, text)

    def checkpoint(self, *texts: str) -> None:
        """`texts` checkpoint by themselves. Raises Scrambled."""
        found = self.dictionaries.protect(self.connection) if self._guarded else []
        self.touched += len(found)
        for text in texts:
            self.run(text)
        dictionaries.verify(self.connection, found)

    def move(self, source: Path, target: Path) -> None:
        for name in NAMES:
            if (source / name).exists():
                shutil.copyfile(source / name, target / name)
            else:
                (target / name).unlink(missing_ok=True)

    def rows(self) -> list[list[Any]]:
        return self.run("MATCH (p:P) RETURN p.id, p.s ORDER BY p.id")


def play(folder: Path, column: str, steps: list[str], guarded: bool) -> None:
    aside = folder / "aside"
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
        elif step == "SET ASIDE":
            aside.mkdir()
            store.move(folder, aside)
        elif step == "CARELESS":
            store.dictionaries = dictionaries.Dictionaries(careful=False)
        elif step in {"CHECKPOINT", "COMMIT"}:
            try:
                store.checkpoint(*dict.fromkeys([step, "CHECKPOINT"]))
                _tell(json.dumps(store.rows(), default=str))
            except dictionaries.Scrambled as error:
                _tell(json.dumps(type(error).__name__))
        else:
            store.run(step)


def play_at_random(folder: Path, seed: int, rounds: int) -> None:
    """Each round has a table of its own: one NULL among what is stored, and nothing is in danger any more.

    Prints how often something was.
    """
    choose = random.Random(seed)
    store = Store(folder, guarded=True)
    for number in range(rounds):
        rows = Rows(store, choose, f"P{number}")
        rows.create([str(each) for each in range(choose.choice([1, 3, 40]))])
        store.checkpoint("CHECKPOINT")
        for _ in range(12):
            rows.take_a_step()
            rows.compare()
    _tell(str(store.touched))


class Rows:
    """What a table must hold, and one random step after the other."""

    def __init__(self, store: Store, choose: random.Random, table: str) -> None:
        self._store = store
        self._choose = choose
        self._table = table
        self._made = 0
        self._model: dict[int, str | None] = {}
        store.run(f"CREATE NODE TABLE {table}(id INT64, s STRING, PRIMARY KEY(id))")

    def create(self, values: list[str] | list[None]) -> None:
        for value in values:
            self._store.run(f"CREATE (:{self._table} {{id: {self._made}, s: {_literal(value)}}})")
            self._model[self._made] = value
            self._made += 1

    def take_a_step(self) -> None:
        choose = self._choose
        step = choose.choice(["create", "nulls", "nulls", "set", "set", "all", "delete", "reopen", *["checkpoint"] * 4])
        word = "".join(choose.choices("abcdef", k=choose.choice([1, 5, 40])))
        if step == "create":
            self.create([word] * choose.choice([1, 4]))
        elif step == "nulls":
            self.create([None] * choose.choice([1, 4]))
        elif step == "all":
            self._store.run(f"MATCH (p:{self._table}) SET p.s = concat('n', cast(p.id AS STRING))")
            self._model = {key: f"n{key}" for key in self._model}
        elif step == "checkpoint":
            self._store.checkpoint("CHECKPOINT")
        elif step == "reopen":
            self._store.close()
            self._store.open()
        elif self._model:
            key = choose.choice(sorted(self._model))
            if step == "set":
                self._model[key] = word
                self._store.run(f"MATCH (p:{self._table} {{id: {key}}}) SET p.s = {_literal(word)}")
            else:
                del self._model[key]
                self._store.run(f"MATCH (p:{self._table} {{id: {key}}}) DELETE p")

    def compare(self) -> None:
        found = dict(self._store.run(f"MATCH (p:{self._table}) RETURN p.id, p.s"))
        if found != self._model:
            sys.exit(f"{self._table}: {found} instead of {self._model}")


def _tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _literal(value: str | None) -> str:
    return "NULL" if value is None else engine.text_literal(value)


if __name__ == "__main__":
    order = json.loads(sys.argv[1])
    if "seed" in order:
        play_at_random(Path(order["folder"]), order["seed"], order["rounds"])
    else:
        play(Path(order["folder"]), order["column"], order["steps"], order["guarded"])
