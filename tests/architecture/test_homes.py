"""Each public name has one home, and `hasten/__init__.py` only hands names on."""

from __future__ import annotations

import ast
from pathlib import Path

import hasten

PACKAGE = Path(__file__).parents[2] / "src" / "hasten"


def _definitions(path: Path) -> list[str]:
    """Functions, classes and constants that a file defines at its top."""
    names = []
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.append(node.name)
        elif isinstance(node, ast.Assign):
            names += [target.id for target in node.targets if isinstance(target, ast.Name)]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.append(node.target.id)
    return names


def test_a_public_name_is_defined_once() -> None:
    homes: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        for name in _definitions(path):
            if name in hasten.__all__:
                homes.setdefault(name, set()).add(str(path.relative_to(PACKAGE)))
    several = {name: sorted(files) for name, files in homes.items() if len(files) > 1}
    assert not several, f"public names with more than one home: {several}"
    assert "new_event_loop" in homes


def _hands_on(node: ast.stmt) -> bool:
    """Imports, also guarded ones; dunder assignments; a lazy __getattr__; the docstring."""
    if isinstance(node, (ast.With, ast.If)):
        return all(map(_hands_on, node.body)) and all(map(_hands_on, getattr(node, "orelse", [])))
    if isinstance(node, ast.FunctionDef):
        return node.name in ("__getattr__", "__dir__")
    if isinstance(node, ast.Assign):
        return all(ast.unparse(target).startswith("__") for target in node.targets)
    if isinstance(node, ast.AugAssign):
        return ast.unparse(node.target) == "__all__"
    docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return docstring or isinstance(node, (ast.Import, ast.ImportFrom))


def test_init_only_hands_names_on() -> None:
    more = [node for node in ast.parse((PACKAGE / "__init__.py").read_text()).body if not _hands_on(node)]
    assert not more, f"__init__.py does more than hand names on: {[ast.unparse(node) for node in more]}"
    assert not _hands_on(ast.parse("x = 1").body[0])


def test_every_public_name_is_there() -> None:
    missing = [name for name in hasten.__all__ if not hasattr(hasten, name)]
    assert not missing
    assert len(set(hasten.__all__)) == len(hasten.__all__)
