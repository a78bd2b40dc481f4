"""Imports go down only: the map of the package, as one table that the source is held against.

Imports within functions count as well; those under `if TYPE_CHECKING:` do not.
"""

from __future__ import annotations

import ast
import graphlib
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

import nbchat

SOURCE = Path(nbchat.__file__).parent
BELOW = "*"
"""Everything that stands further down in the table."""

# A module, top to bottom, and what it may import of nbchat beside the values at the table's end.
MAP = {
    "testing": "loop providers",  # the whole package; on top, since nothing of nbchat imports its fakes
    "nbchat": BELOW,
    "magics": BELOW,
    "completion": BELOW,
    "commands": BELOW,
    "panel": BELOW,
    "options": "",
    "display": "rendering saved reply traffic notebook loop",
    "exchange": "rendering saved history",
    "rendering": "",
    "conversations": "chat document store saved history notebook",
    "chat": "asking reply saved history loop notebook providers",
    "asking": "reply loop providers",
    "reply": "history loop",
    "traffic": "notebook",
    "document": "store notebook",
    "notebook": "history",
    "store": "saved history loop",
    "saved": "history",
    "history": "",
    "loop": "",
    "providers": BELOW,
    "providers.registry": BELOW,
    "providers.adapt": "providers.base providers.streams",
    "a provider": "providers.http providers.completions providers.plaintext providers.streams providers.services "
    "providers.base",
    "providers.http": BELOW,
    "providers.sessions": "providers.failures providers.addresses providers.base",
    "providers.patience": "",
    "providers.failures": "providers.addresses providers.base providers.streams",
    "providers.compression": "",
    "providers.addresses": "",
    "providers.completions": "providers.streams",
    "providers.plaintext": "providers.streams",
    "providers.streams": "",
    "providers.services": "",
    "providers.base": "",
    "config": BELOW,
    "messages": "",
    "errors": "",
}
VALUES = {"config", "messages", "errors"}
"""What every module above them may import."""
PACKAGES = {"testing", "commands", "display", "exchange", "panel", "rendering", "store", "saved", "history"}
"""Packages that the map takes for one module; within one, modules may import each other."""

# A library, and the only modules that may import it.
ONLY_IN = {
    "IPython": "magics completion",
    "IPython.display": "display",
    "aiohttp": "providers.http providers.sessions testing",
    "aiohttp.web": "testing",
    "aiohttp_socks": "providers.sessions",
    "anywidget": "panel",
    "ipywidgets": "display panel",
    "markdown_it": "rendering",
    "nest_asyncio": "loop",
    "nest_asyncio2": "loop",
    "nh3": "rendering",
    "pygments": "rendering",
    "rich": "display",
    "sqlite3": "store",
    "threading": "loop conversations chat reply store history panel testing",  # but for loop and tests, locks only
    "traitlets": "config panel",
}


def _dotted(file: Path) -> str:
    parts = [part for part in file.relative_to(SOURCE).with_suffix("").parts if part != "__init__"]
    return ".".join(parts) or "nbchat"


FILES = {_dotted(file): file for file in sorted(SOURCE.rglob("*.py"))}


def imported(tree: ast.AST, package: str) -> Iterator[str]:
    """The dotted names that a module imports; `a.b` for `from a import b`, whether b is a module or not."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("importlib.import_module", "import_module"):
            yield from (argument.value for argument in node.args[:1] if isinstance(argument, ast.Constant))
        yield from imported(node, package)


def imports(module: str) -> set[str]:
    """All names that a module of nbchat imports."""
    file = FILES[module]
    package = ".".join(("nbchat", *file.relative_to(SOURCE).parts[:-1]))
    return set(imported(ast.parse(file.read_text(encoding="utf-8")), package))


def imports_of_nbchat(module: str) -> set[str]:
    """The modules of nbchat that a module imports."""
    return {_module_of(name) for name in imports(module) if name.split(".")[0] == "nbchat"} - {module}


def _module_of(name: str) -> str:
    within = name.removeprefix("nbchat").lstrip(".")
    while within and within not in FILES:
        within = within.rpartition(".")[0]
    return within or "nbchat"


def row_of(module: str) -> str:
    """The module's row: a package of PACKAGES is one; a file in providers/ that has none of its own is a provider."""
    if module.partition(".")[0] in PACKAGES:
        return module.partition(".")[0]
    return "a provider" if module not in MAP and module.startswith("providers.") else module


def allowed(row: str) -> set[str]:
    """The rows that a row may import."""
    rows = list(MAP)
    below = rows[rows.index(row) + 1 :]
    if MAP[row] == BELOW:
        return set(below)
    named = set(MAP[row].split())
    return {other for other in below if other in named or (other in VALUES and row not in VALUES)} | {
        other for other in below if "providers" in named and (other.startswith("providers") or other == "a provider")
    }


@pytest.mark.parametrize("module", FILES)
def test_a_module_imports_only_what_the_map_allows(module: str) -> None:
    assert row_of(module) in MAP, f"{module} is new: give it a row in MAP"
    may = allowed(row_of(module)) | PACKAGES & {row_of(module)}
    wrong = {other for other in imports_of_nbchat(module) if row_of(other) not in may}
    assert not wrong, f"{module} must not import {sorted(wrong)}"


def test_every_row_names_rows_below_it() -> None:
    for row, named in MAP.items():
        assert named == BELOW or set(named.split()) <= allowed(row), row


def test_no_imports_go_in_a_circle() -> None:
    list(graphlib.TopologicalSorter({module: imports_of_nbchat(module) for module in FILES}).static_order())


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_library_is_imported_in_its_place_only(library: str) -> None:
    prefix = f"{library}."
    places = {row_of(module) for module in FILES if any(f"{name}.".startswith(prefix) for name in imports(module))}
    assert places <= set(ONLY_IN[library].split())


def test_the_imports_of_a_module_are_found_wherever_they_stand() -> None:
    source = """
import a.b
from c import d
from . import e
from ..f import g
if TYPE_CHECKING:
    import unseen
def function():
    from nbchat.chat import Chat
    importlib.import_module("h")
"""
    found = set(imported(ast.parse(source), "nbchat.providers"))
    assert found == {"a.b", "c.d", "nbchat.providers.e", "nbchat.f.g", "nbchat.chat.Chat", "h"}


def test_all_names_the_public_attributes() -> None:
    public = {
        name
        for name, value in vars(nbchat).items()
        if not name.startswith("_")
        and not isinstance(value, types.ModuleType)
        and getattr(value, "__module__", "").startswith("nbchat")
    }
    assert public <= set(nbchat.__all__)
    assert all(hasattr(nbchat, name) for name in nbchat.__all__)
    assert len(nbchat.__all__) == len(set(nbchat.__all__)) <= 20
