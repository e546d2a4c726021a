"""The rules about the code that a machine can check: who imports whom, what stays where, how long things get."""

from __future__ import annotations

import ast
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

REPOSITORY = Path(__file__).parents[1]
PACKAGE = REPOSITORY / "kuzu_node"

MODULE_LINES = 350
FUNCTION_LINES = 60
FUNCTION_LINES_P90 = 30

# From the bottom to the top: a part may import what stands below it, and itself.
LAYERS = (
    frozenset({"errors"}),
    frozenset({"core", "schemas"}),
    frozenset({"config"}),
    frozenset({"observe"}),
    frozenset({"engine", "aws"}),
    frozenset({"tasks"}),
    frozenset({"node"}),
    frozenset({"http"}),
    frozenset({"serve"}),
    frozenset({"cli"}),
    frozenset({"__main__", "demo"}),
)
# The framing module and the messages inside its frames.
SHARED_WITH_WORKER = frozenset({"kuzu_node.core.frames", "kuzu_node.core.messages", "kuzu_node.core.loading"})
WORKER_LIBRARIES = frozenset({"kuzu", "msgspec", "pyarrow"})
# `groups` is the exception: to unwrap groups is to know trio.Cancelled, and everybody above needs the one helper.
IMPURE_CORE = frozenset({"kuzu_node.core.groups"})
IMPURE = frozenset(
    {"asyncio", "os", "random", "secrets", "select", "socket", "subprocess", "tempfile", "threading", "time", "trio"}
)
# Rule 14: each of these may catch Exception once.
BROAD_SITES = {
    "the ASGI edge": "http/app.py",
    "the connection guard": "http/hypercorn_fixes",
    "the database supervisor": "engine/supervisor.py",
    "the task runner": "tasks/runner.py",
    "the top of the command line": "cli/commands.py",
}


@attrs.frozen
class Module:
    path: Path
    name: str
    text: str
    tree: ast.Module

    @classmethod
    def from_path(cls, path: Path) -> Module:
        parts = path.relative_to(REPOSITORY).with_suffix("").parts
        text = path.read_text(encoding="utf-8")
        return cls(path, ".".join(parts).removesuffix(".__init__"), text, ast.parse(text))

    @property
    def part(self) -> str:
        """`engine` for kuzu_node.engine.gate."""
        return self.name.split(".")[1] if "." in self.name else ""

    def nodes(self) -> Iterator[ast.AST]:
        return ast.walk(self.tree)

    def imports(self) -> Iterator[str]:
        """Full names; for `from a import b` both `a` and `a.b`, since b may be a module."""
        for node in self.nodes():
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{self.path}:{node.lineno} imports relatively"
                yield node.module or ""
                yield from (f"{node.module}.{alias.name}" for alias in node.names)

    def where(self, node: ast.stmt | ast.expr | ast.excepthandler) -> str:
        return f"{self.path.relative_to(REPOSITORY)}:{node.lineno}"


def modules(folder: Path) -> list[Module]:
    return [Module.from_path(path) for path in sorted(folder.rglob("*.py"))]


@pytest.fixture(scope="module")
def package() -> list[Module]:
    found = modules(PACKAGE)
    assert len(found) > 20
    return found


@pytest.fixture(scope="module")
def tests() -> list[Module]:
    return modules(REPOSITORY / "tests")


def top(name: str) -> str:
    return name.split(".", maxsplit=1)[0]


def layer(part: str) -> int:
    for height, parts in enumerate(LAYERS):
        if part in parts:
            return height
    raise AssertionError(f"kuzu_node.{part} has no place in LAYERS")


def test_imports_go_downwards(package: list[Module]) -> None:
    wrong = []
    for module in package:
        if module.part in ("", "worker"):
            continue
        for name in module.imports():
            if not name.startswith("kuzu_node.") or (part := name.split(".")[1]) == module.part:
                continue
            if part == "worker" or layer(part) >= layer(module.part):
                wrong.append(f"{module.name} imports {name}")
    assert wrong == []


def test_the_worker_imports_nothing_but_its_libraries_and_the_frames(package: list[Module]) -> None:
    wrong = []
    for module in package:
        if module.part != "worker":
            continue
        for name in module.imports():
            if top(name) in sys.stdlib_module_names or top(name) in WORKER_LIBRARIES or name == "kuzu_node.core":
                continue
            if any(name == shared or name.startswith(f"{shared}.") for shared in SHARED_WITH_WORKER):
                continue
            if top(name) == "kuzu_node" and (name == "kuzu_node" or name.startswith("kuzu_node.worker")):
                continue
            wrong.append(f"{module.name} imports {name}")
    assert wrong == []


def test_the_engine_is_imported_in_the_worker_alone(package: list[Module]) -> None:
    assert [m.name for m in package if m.part != "worker" and "kuzu" in map(top, m.imports())] == []


def test_no_process_but_the_worker_loads_the_engine_or_its_encoders(package: list[Module]) -> None:
    names = [m.name for m in package if m.part not in ("worker", "demo") and not m.name.endswith("__main__")]
    assert loaded_by(names, {"kuzu", "pyarrow", "polars", "pandas"}) == []


def test_no_worker_loads_the_loop(package: list[Module]) -> None:
    names = [m.name for m in package if m.part == "worker" and not m.name.endswith("__main__")]
    assert loaded_by(names, {"trio", "attrs", "hypercorn", "structlog"}) == []


def loaded_by(names: list[str], unwanted: set[str]) -> list[str]:
    """Which of the packages a fresh process has loaded after it imported the modules."""
    program = "\n".join([f"import {name}" for name in names])
    program += f"\nimport sys\nprint(*sorted({unwanted!r} & set(sys.modules)))"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_core_is_pure(package: list[Module]) -> None:
    core = [module for module in package if module.part == "core" and module.name not in IMPURE_CORE]
    assert [f"{m.name} imports {name}" for m in core for name in m.imports() if top(name) in IMPURE] == []
    awaits = (ast.Await, ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith)
    assert [m.name for m in core for node in m.nodes() if isinstance(node, awaits)] == []


def test_packages_of_processes_start_empty() -> None:
    # Importing kuzu_node.worker runs this file too: whatever stood here would be in every worker.
    assert (PACKAGE / "__init__.py").read_text() == ""


def test_only_the_configuration_reads_the_environment(package: list[Module]) -> None:
    wrong = [
        module.where(node)
        for module in package
        if module.part not in ("config", "demo")  # the demo hands its own on to the node it starts
        for node in module.nodes()
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv")
    ]
    assert wrong == []


def test_exceptions_are_caught_broadly_at_the_named_sites_only(package: list[Module]) -> None:
    found = []
    for module in package:
        for node in module.nodes():
            if isinstance(node, ast.ExceptHandler) and "Exception" in caught(node):
                place = module.path.relative_to(PACKAGE).as_posix()
                sites = [site for site, prefix in BROAD_SITES.items() if (place + "/").startswith(prefix + "/")]
                found.append(sites[0] if sites else module.where(node))
    assert [site for site in found if site not in BROAD_SITES] == []
    assert [site for site, count in Counter(found).items() if count > 1] == []


def test_whoever_catches_everything_raises_it_again(package: list[Module]) -> None:
    wrong = []
    for module in package:
        for node in module.nodes():
            if not isinstance(node, ast.ExceptHandler) or "BaseException" not in caught(node):
                continue
            ends = {ast.unparse(inner.func) for inner in ast.walk(node) if isinstance(inner, ast.Call)}
            if not any(isinstance(inner, ast.Raise) for inner in ast.walk(node)) and "os._exit" not in ends:
                wrong.append(module.where(node))
    assert wrong == []


def caught(handler: ast.ExceptHandler) -> set[str]:
    if handler.type is None:
        return {"BaseException"}
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return {ast.unparse(kind).removeprefix("builtins.") for kind in kinds}


def test_there_is_no_global_state(package: list[Module]) -> None:
    assert [m.where(node) for m in package for node in m.nodes() if isinstance(node, ast.Global)] == []
    wrong = [
        f"{module.where(node)} {target.id}"
        for module in package
        for node in module.tree.body
        for target in assigned(node)
        if isinstance(target, ast.Name) and not is_constant(target.id, node)
    ]
    assert wrong == []


def assigned(node: ast.stmt) -> list[ast.expr]:
    if isinstance(node, ast.Assign):
        return node.targets
    return [node.target] if isinstance(node, ast.AnnAssign) else []


def is_constant(name: str, node: ast.stmt) -> bool:
    """By its spelling, or as a type alias, the process's one output of logs, or a function made from a codec."""
    value = ast.unparse(node.value) if isinstance(node, ast.Assign | ast.AnnAssign) and node.value else ""
    dunder = name.startswith("__") and name.endswith("__")
    alias = not isinstance(getattr(node, "value", None), ast.Call) and name.lstrip("_")[:1].isupper()
    made = ("structlog.get_logger(", "TypeVar(", "NewType(", "msgspec.", "_encoder.", "_decoder(")
    return dunder or name.isupper() or alias or value.startswith(made)


def functions(module: Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in module.nodes():
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def test_modules_and_functions_stay_short(package: list[Module], tests: list[Module]) -> None:
    everything = [*package, *tests]
    assert [
        m.name for m in everything if len(m.text.splitlines()) > MODULE_LINES and m.name != "tests.test_structure"
    ] == []
    assert [m.where(f) for m in everything for f in functions(m) if length(f) > FUNCTION_LINES] == []
    p90 = statistics.quantiles([length(f) for m in package for f in functions(m)], n=10)[8]
    assert p90 <= FUNCTION_LINES_P90


def test_class_names_are_unique_on_each_side_of_the_process_boundary(package: list[Module]) -> None:
    # A lane has an end on both sides, and each side has its own class for it. A Protocol is named as what fits it.
    for side in (True, False):
        names = Counter(
            node.name
            for module in package
            if (module.part == "worker") is side
            for node in module.nodes()
            if isinstance(node, ast.ClassDef) and "Protocol" not in map(ast.unparse, node.bases)
        )
        assert [name for name, count in names.items() if count > 1] == []


def test_tests_neither_mock_nor_sleep(tests: list[Module]) -> None:
    assert [m.name for m in tests if any(n.startswith("unittest") or top(n) == "mock" for n in m.imports())] == []
    sleeps = [
        m.where(node)
        for m in tests
        for node in m.nodes()
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("time.sleep", "trio.sleep", "anyio.sleep")
    ]
    assert sleeps == []
