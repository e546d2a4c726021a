"""Every attack of the corpus given to a real worker with no screen in front: the sandbox alone has to hold.

The reverse, the screen without a sandbox, is `tests/core/screen/test_forbidden.py`.
"""

from __future__ import annotations

import importlib.util
import shutil
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import attrs
import kuzu
import psutil
import pytest
import trio

from kuzu_node.core.frames import FrameKind
from kuzu_node.core.messages import Assign, RunQuery
from kuzu_node.engine.lanes import Lane, LaneFailed
from kuzu_node.engine.process import WorkerDied
from kuzu_node.engine.spares import Spares, open_spares
from kuzu_node.engine.worker import Worker, open_worker
from kuzu_node.worker import sandbox
from tests.attacks.corpus import ATTACKS, SCHEMA, Attack

pytestmark = [
    pytest.mark.trio,
    pytest.mark.skipif(not sandbox.probe().complete, reason="this kernel cannot confine a worker"),
]

SECRET = "what-only-the-neighbour-knows"
PATIENCE = 30
DIED = "the worker died"


@attrs.frozen
class Places:
    """`mine` is the attacker's folder, `other` a neighbour's, `outside` one of the machine's."""

    base: Path
    mine: Path
    other: Path
    outside: Path
    port: int

    def text(self, attack: Attack) -> str:
        # What is imported has to be there, what is exported must not.
        outside = self.other if attack.text.startswith("IMPORT") else self.outside
        text = attack.filled(
            secret=str(self.other / "secret.csv"), outside=str(outside), other=str(self.other / "graph.kuzu")
        )
        # An index whose creation has failed leaves its name behind.
        text = text.replace("'Person', 'i'", f"'Person', 'i{ATTACKS.index(attack)}'")
        return text.replace("http://127.0.0.1:9/", f"http://127.0.0.1:{self.port}/")

    def neighbourhood(self) -> dict[str, bytes]:
        """What must not change: every file but the attacker's own, and those with which spares warm up."""
        own = (self.mine, self.base / ".node")
        files = [path for path in self.base.rglob("*") if path.is_file() and not any(map(path.is_relative_to, own))]
        return {str(path): path.read_bytes() for path in files}


@attrs.frozen
class Outcome:
    """`failed`: the engine said no, or died of it."""

    said: bytes
    failed: bool

    def tells(self, secret: str, text: str) -> bool:
        """Whether the answer holds the secret otherwise than by repeating the statement."""
        return secret in self.said.decode(errors="replace").replace(text, "")


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


@pytest.fixture
def places(tmp_path: Path, listener: socket.socket) -> Places:
    base = tmp_path / "base"
    found = Places(base, base / "mine", base / "other", tmp_path / "outside", listener.getsockname()[1])
    for folder in (found.mine, found.other, found.outside):
        folder.mkdir(parents=True)
    (found.other / "secret.csv").write_text(f"7|{SECRET}\n")
    (found.outside / "rows.csv").write_text(f"8,{SECRET}\n")
    library = importlib.util.find_spec("_ctypes")
    assert library is not None
    assert library.origin is not None
    shutil.copy(library.origin, found.outside / "evil.so")
    neighbour = kuzu.Database(str(found.other / "graph.kuzu"), buffer_pool_size=64 << 20, max_db_size=1 << 30)
    connection = kuzu.Connection(neighbour)
    connection.execute("CREATE NODE TABLE Theirs(id INT64 PRIMARY KEY, word STRING)")
    connection.execute(f"CREATE (:Theirs {{id: 1, word: '{SECRET}'}})")
    connection.execute(f"EXPORT DATABASE '{found.other}/dump'")
    connection.close()
    neighbour.close()
    return found


@contextmanager
def no_caller(listener: socket.socket) -> Iterator[None]:
    """Fails when somebody has connected meanwhile: connections wait in the listener's queue."""
    yield
    with pytest.raises(BlockingIOError):
        listener.accept()


@attrs.define(eq=False)
class Attacker:
    """Statements straight to a lane of the worker, as if the screen had let them through."""

    worker: Worker
    lane: Lane

    async def run(self, text: str) -> Outcome:
        order = RunQuery([text], [True], {}, "json", 1000, "mine", 10_000)
        said = b""
        try:
            frame = await self.lane.run(self.worker.next_request_id(), order)
            said += frame.payload
            while frame.kind not in (FrameKind.RESULT, FrameKind.END):
                frame = await self.lane.receive(streaming=True)
                said += frame.payload
        except LaneFailed as error:
            return Outcome(said + error.failed.detail.encode(), True)
        except WorkerDied:
            return Outcome(said + DIED.encode(), True)
        return Outcome(said, False)


@asynccontextmanager
async def attacker(spares: Spares, places: Places, mode: str) -> AsyncIterator[Attacker]:
    """A fresh worker on the attacker's database; it must open, whatever the last one went through."""
    mine = places.mine
    assign = Assign(
        directory=str(mine),
        file=str(mine / "graph.kuzu"),
        owner=str(mine / "owner.lock"),
        pool_size=64 << 20,
        max_db_size=1 << 30,
        max_threads=2,
        threads=1,
        sandbox=mode,
    )
    async with spares.worker() as process, open_worker(process, assign, slots=1, kill_grace=2) as worker:
        assert worker.confined is (mode == "required")
        yield Attacker(worker, await worker.lanes.take())


async def set_up(spares: Spares, places: Places, mode: str) -> None:
    async with attacker(spares, places, mode) as tenant:
        for text in SCHEMA:
            assert not (await tenant.run(text)).failed, text


async def test_no_attack_of_the_corpus_leaves_the_database(places: Places, listener: socket.socket) -> None:
    before = places.neighbourhood()
    waiting = list(ATTACKS)
    with trio.fail_after(PATIENCE), no_caller(listener):
        async with open_spares("required", places.base) as spares:
            await set_up(spares, places, "required")
            while waiting:
                async with attacker(spares, places, "required") as tenant:
                    await attack_until_it_dies(tenant, places, waiting)
            async with attacker(spares, places, "required") as tenant:
                await check_that_nothing_was_stolen(tenant)
    assert places.neighbourhood() == before
    assert {path.name for path in places.outside.iterdir()} == {"rows.csv", "evil.so"}
    assert {path.name for path in places.base.iterdir()} == {".node", "mine", "other"}


async def attack_until_it_dies(tenant: Attacker, places: Places, waiting: list[Attack]) -> None:
    process = psutil.Process(tenant.worker.process.pid)
    while waiting:
        attack = waiting.pop(0)
        text = places.text(attack)
        outcome = await tenant.run(text)
        assert not outcome.tells(SECRET, text), attack.name
        assert b"ARROW_DEFAULT_MEMORY_POOL" not in outcome.said, attack.name
        if outcome.said.endswith(DIED.encode()):
            return
        assert outcome.failed or not attack.leaves, (attack.name, outcome.said)
        try:
            assert process.children(recursive=True) == [], attack.name
            assert str(places.outside) not in " ".join(part.path for part in process.memory_maps()), attack.name
        except psutil.NoSuchProcess:
            # Some end the worker behind its answer, as one does whose log could not be written.
            return
        # Some leave a transaction open, which the next attack must not depend on.
        await tenant.run("ROLLBACK")


async def check_that_nothing_was_stolen(tenant: Attacker) -> None:
    for text in ("MATCH (n) RETURN n", "CALL show_tables() RETURN *", "MATCH ()-[r]->() RETURN r"):
        outcome = await tenant.run(text)
        assert not outcome.failed, outcome.said
        assert SECRET.encode() not in outcome.said, text
    assert b'"Ann"' in (await tenant.run("MATCH (n:Person {id: 1}) RETURN n.name")).said


async def test_without_a_sandbox_the_same_attacks_do_leave(places: Places, listener: socket.socket) -> None:
    """Guards the test above: what it looks for is what these attacks do where nothing holds them."""
    names = {"load from", "copy to", "export", "attach", "install from", "import", "stopwords from a file, in pieces"}
    outcomes: dict[str, Outcome] = {}
    callers: list[str] = []
    with trio.fail_after(PATIENCE):
        async with open_spares("off", places.base) as spares, trio.open_nursery() as nursery:
            await set_up(spares, places, "off")
            nursery.start_soon(hang_up, listener, callers)
            for attack in ATTACKS:
                if attack.name in names:
                    async with attacker(spares, places, "off") as tenant:
                        outcomes[attack.name] = await tenant.run(places.text(attack))
            nursery.cancel_scope.cancel()
    assert outcomes["load from"].tells(SECRET, "")
    assert (places.outside / "out.csv").exists()
    assert (places.outside / "dump").exists()
    assert not outcomes["attach"].failed
    assert not outcomes["import"].failed
    assert not outcomes["stopwords from a file, in pieces"].failed
    assert callers


async def hang_up(listener: socket.socket, callers: list[str]) -> None:
    while True:
        await trio.lowlevel.wait_readable(listener)
        connection, address = listener.accept()
        connection.close()
        callers.append(str(address))
