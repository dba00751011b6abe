"""A file imports only from layers below its own, and no two files import each other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"
# From the bottom up. A file of `hasten/` itself is a layer of its own name.
LAYERS = (
    ("errors", "compat"),
    ("kernel",),
    ("poll",),
    ("core",),
    ("primitives",),
    ("net",),
    ("process",),
    ("loop_io",),
    ("loop",),
    ("aio",),
    ("diagnosis", "testing", "gunicorn", "ipython"),
    ("",),
    ("cli", "__main__"),
)
FILES = sorted(path for path in SOURCE.rglob("*") if path.suffix in (".py", ".pyx", ".pxd", ".pyi"))
CIMPORT = re.compile(r"^\s*(?:from\s+([\w.]+)\s+c?import\s+(.+)|c?import\s+([\w., ]+))", re.MULTILINE)


def _module(path: Path) -> str:
    name = ".".join(path.relative_to(SOURCE).with_suffix("").parts)
    return name.removesuffix(".__init__")


MODULES = {_module(path) for path in FILES}


def _level(module: str) -> int:
    part = module.partition(".")[2].partition(".")[0]
    for level, names in enumerate(LAYERS):
        if part in names:
            return level
    raise AssertionError(f"{module} belongs to no layer: add it to LAYERS, or put it where it belongs")


def _targets(found: list[tuple[str, list[str]]]) -> Iterator[str]:
    """The modules of hasten that each `from base import names` reaches."""
    for base, names in found:
        if base != "hasten" and not base.startswith("hasten."):
            continue
        below = [f"{base}.{name}" for name in names if f"{base}.{name}" in MODULES]
        yield from below
        if len(below) < len(names) or not names:
            yield base


def _python_imports(text: str, package: str) -> set[str]:
    found: list[tuple[str, list[str]]] = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found += [(alias.name, []) for alias in node.names]
        if not isinstance(node, ast.ImportFrom):
            continue
        base = node.module or ""
        if node.level:
            parents = package.split(".")
            base = ".".join(parents[: len(parents) - node.level + 1] + ([base] if base else []))
        found.append((base, [alias.name for alias in node.names]))
    return set(_targets(found))


def _cython_imports(text: str) -> set[str]:
    found: list[tuple[str, list[str]]] = []
    for base, names, plain in CIMPORT.findall(text):
        if base:
            found.append((base, [name.split(" as ")[0].strip(" ()") for name in names.split(",")]))
        else:
            found += [(name.split(" as ")[0].strip(), []) for name in plain.split(",")]
    return set(_targets(found))


def imports(path: Path) -> set[str]:
    """The modules of hasten that the file imports: at its top, inside a function, or for a type checker only."""
    if path.suffix in (".pyx", ".pxd"):
        return _cython_imports(path.read_text())
    package = _module(path) if path.name == "__init__.py" else _module(path).rpartition(".")[0]
    return _python_imports(path.read_text(), package)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_go_downward(path: Path) -> None:
    own = _level(_module(path))
    upward = [name for name in imports(path) if _level(name) > own]
    assert not upward, f"{path.relative_to(SOURCE)} imports from above its own layer: {', '.join(sorted(upward))}"


def test_no_two_files_import_each_other() -> None:
    graph: dict[str, set[str]] = {}
    for path in FILES:
        module = _module(path)
        graph.setdefault(module, set()).update(imports(path) - {module})
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail("imports in a circle: " + " → ".join(error.args[1]))


def test_the_reader_of_imports_sees_them() -> None:
    """Each form of an import is found; otherwise the tests above could not fail."""
    text = (
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from hasten.loop import Loop\nelse:\n    import hasten.kernel\n"
        "def late():\n    from hasten import core\n    from .. import poll\n    from .stream import open_stream\n"
    )
    below = {"hasten.kernel", "hasten.core", "hasten.poll", "hasten.net.stream"}
    assert _python_imports(text, "hasten.net") == {"hasten.loop", *below}
    text = "from hasten.kernel cimport step\ncimport hasten.core.ready as ready\nfrom libc.errno cimport errno\n"
    assert _cython_imports(text) == {"hasten.kernel.step", "hasten.core.ready"}
