"""The rules about the client's code that a machine can check; those of the node are in tests/test_structure.py."""

from __future__ import annotations

import ast
import statistics
from collections import Counter

import pytest

from tests import test_structure as node
from tests.test_structure import Module, modules, top

PACKAGE = node.REPOSITORY / "kuzu_client"
# A part may import itself and these. What is generated keeps to the rules of its source.
ALLOWED = {
    "errors": {"errors"},
    "answers": {"answers"},
    "config": {"config"},
    "_core": {"_core", "errors", "answers", "config"},
    "observers": {"observers", "_core", "errors"},
    "_async": {"_async", "_core", "errors", "answers", "config", "observers", "session"},
    "_sync": {"_sync", "_core", "errors", "answers", "config", "observers"},
    "session": {"session", "_core", "errors", "answers", "config"},
}
# Those are at the top, or stand alone.
FREE = frozenset({"", "aio", "cli", "__main__", "_unasync"})
# Who imports which library at all; elsewhere only for type checkers.
HOMES = {
    "anyio": ("_async/concurrency.py",),
    "trio": ("session/", "cli/"),
    "trio_websocket": ("session/", "cli/"),
    "rich": ("cli/",),
    "click": ("cli/",),
}
# httpx itself loads rich, click and trio where they are.
OPTIONAL = {"pyarrow", "pandas", "polars", "trio_websocket", "kuzu", "kuzu_node"}
BROAD_SITES = ("_core/observers.py", "cli/")


def place(module: Module) -> str:
    return module.path.relative_to(PACKAGE).as_posix()


@pytest.fixture(scope="module")
def package() -> list[Module]:
    found = modules(PACKAGE)
    assert len(found) > 20
    return found


@pytest.fixture(scope="module")
def written(package: list[Module]) -> list[Module]:
    """Without what is generated."""
    return [module for module in package if module.part != "_sync" or module.path.name == "concurrency.py"]


def test_imports_of_the_client_go_downwards(package: list[Module]) -> None:
    wrong = [
        f"{module.name} imports {name}"
        for module in package
        if module.part not in FREE
        for name in module.imports()
        if name.startswith("kuzu_client.") and name.split(".")[1] not in ALLOWED[module.part]
    ]
    assert wrong == []


def test_client_and_node_do_not_know_each_other(package: list[Module]) -> None:
    assert [m.name for m in package if "kuzu_node" in map(top, m.imports())] == []
    users = [m for m in modules(node.PACKAGE) if "kuzu_client" in map(top, m.imports())]
    assert [m.name for m in users if m.part != "demo"] == []


@pytest.mark.parametrize("library", HOMES)
def test_libraries_stay_at_home(library: str, package: list[Module]) -> None:
    users = [place(m) for m in package if library in map(top, m.imports()) and not is_for_types(m, library)]
    assert [user for user in users if not user.startswith(HOMES[library])] == []


def is_for_types(module: Module, library: str) -> bool:
    """Whether each import of it stands under `if TYPE_CHECKING`."""
    guarded = {
        inner
        for branch in module.nodes()
        if isinstance(branch, ast.If) and "TYPE_CHECKING" in ast.unparse(branch.test)
        for inner in ast.walk(branch)
    }
    found = [
        statement
        for statement in module.nodes()
        if (isinstance(statement, ast.Import) and library in [top(alias.name) for alias in statement.names])
        or (isinstance(statement, ast.ImportFrom) and top(statement.module or "") == library)
    ]
    return all(statement in guarded for statement in found)


def test_importing_the_client_loads_nothing_that_is_optional() -> None:
    assert node.loaded_by(["kuzu_client", "kuzu_client.aio", "kuzu_client.observers"], OPTIONAL) == []


def test_the_core_of_the_client_is_pure(package: list[Module]) -> None:
    """`os` is there for paths; who reads the environment is told elsewhere. Keys are random, and dates have a now."""
    impure = (node.IMPURE | {"anyio", "sniffio"}) - {"os", "secrets", "time"}
    core = [module for module in package if module.part == "_core"]
    assert [f"{m.name} imports {name}" for m in core for name in m.imports() if top(name) in impure] == []
    awaits = (ast.Await, ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith)
    assert [m.name for m in core for inner in m.nodes() if isinstance(inner, awaits)] == []


def test_only_the_settings_of_the_client_read_the_environment(package: list[Module]) -> None:
    wrong = [
        module.where(inner)
        for module in package
        if module.part not in ("config", "cli")
        for inner in module.nodes()
        if isinstance(inner, ast.Attribute) and inner.attr in ("environ", "environb", "getenv")
    ]
    assert wrong == []


def test_the_client_catches_broadly_at_the_named_sites_only(written: list[Module]) -> None:
    sites = Counter(
        place(module)
        for module in written
        for inner in module.nodes()
        if isinstance(inner, ast.ExceptHandler) and "Exception" in node.caught(inner)
    )
    assert [site for site, count in sites.items() if not site.startswith(BROAD_SITES) or count > 1] == []


def test_the_client_has_no_global_state(written: list[Module]) -> None:
    made = ("ContextVar(", "attrs.", "partial(")
    assert [m.where(inner) for m in written for inner in m.nodes() if isinstance(inner, ast.Global)] == []
    wrong = [
        f"{module.where(statement)} {target.id}"
        for module in written
        for statement in module.tree.body
        for target in node.assigned(statement)
        if isinstance(target, ast.Name)
        and not node.is_constant(target.id, statement)
        and not is_alias(statement)
        and not ast.unparse(statement).partition(" = ")[2].startswith(made)
    ]
    assert wrong == []


def is_alias(statement: ast.stmt) -> bool:
    """`sleep = anyio.sleep`: another name of what is somewhere else."""
    return isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Name | ast.Attribute)


def test_modules_and_functions_of_the_client_stay_short(written: list[Module]) -> None:
    assert [m.name for m in written if len(m.text.splitlines()) > node.MODULE_LINES] == []
    functions = [(module, function) for module in written for function in node.functions(module)]
    assert [m.where(function) for m, function in functions if node.length(function) > node.FUNCTION_LINES] == []
    p90 = statistics.quantiles([node.length(function) for _, function in functions], n=10)[8]
    assert p90 <= node.FUNCTION_LINES_P90


def test_class_names_of_the_client_are_unique(written: list[Module]) -> None:
    names = Counter(
        inner.name
        for module in written
        for inner in module.nodes()
        if isinstance(inner, ast.ClassDef) and "Protocol" not in map(ast.unparse, inner.bases)
    )
    assert [name for name, count in names.items() if count > 1] == []


def test_tests_of_the_client_run_on_both_loops_or_tell_why() -> None:
    """Sessions need Trio by design; elsewhere the docstring of the module, or of the test, has to say `needs Trio`."""
    folder = node.REPOSITORY / "tests" / "client"
    wrong = [
        module.where(marked)
        for module in modules(folder)
        if "session" not in module.path.relative_to(folder).parts
        for marked in trio_only(module.tree)
        if not any("needs Trio" in (ast.get_docstring(place) or "") for place in (module.tree, marked))
    ]
    assert wrong == []


def trio_only(tree: ast.Module) -> list[ast.AsyncFunctionDef]:
    """The async tests that are marked for Trio, each or with their module, or that take its clock."""
    marks = [
        ast.unparse(it.value) for it in tree.body if isinstance(it, ast.Assign) and "pytestmark" in ast.unparse(it)
    ]
    tests = [it for it in ast.walk(tree) if isinstance(it, ast.AsyncFunctionDef) and it.name.startswith("test_")]
    return [
        test
        for test in tests
        if any("mark.trio" in mark for mark in [*marks, *map(ast.unparse, test.decorator_list)])
        or any("autojump_clock" in argument.arg for argument in test.args.args)
    ]
