"""A function fits on a screen, a module does one thing."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FUNCTION_LINES = 70
MODULE_LINES = 520  # about 500
TEST_MODULE_LINES = 700  # a list of cases reads faster than code
FOLDERS = ("src", "tests", "tools", "bench", "examples")
FILES = sorted(
    path
    for folder in FOLDERS
    for path in (ROOT / folder).rglob("*")
    if path.suffix in (".py", ".pyx", ".pxd", ".h") and "build" not in path.parts
)
CYTHON_FUNCTION = re.compile(r"^( *)(?:cdef(?! class)|cpdef|def|async def)\b.*:\s*(?:#.*)?$")


def _python_functions(text: str) -> list[tuple[str, int]]:
    """Name and number of lines of each function, without the comment and blank lines around it."""
    tree = ast.parse(text)
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [(node.name, node.end_lineno - node.lineno + 1) for node in ast.walk(tree) if isinstance(node, kinds)]  # type: ignore[operator]


def _cython_functions(text: str) -> list[tuple[str, int]]:
    """The same for Cython, by indentation."""
    lines = text.splitlines()
    found = []
    for number, line in enumerate(lines):
        match = CYTHON_FUNCTION.match(line)
        if not match:
            continue
        end = number + 1
        while end < len(lines) and (not lines[end].strip() or lines[end].startswith(match[1] + " ")):
            end += 1
        while not lines[end - 1].strip():
            end -= 1
        if "(" in line:
            found.append((line.strip(), end - number))
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_size(path: Path) -> None:
    text = path.read_text()
    count = len(text.splitlines())
    limit = TEST_MODULE_LINES if path.is_relative_to(ROOT / "tests") else MODULE_LINES
    assert count < limit, f"{count} lines: is this still one thing?"
    functions = {".py": _python_functions, ".pyx": _cython_functions}.get(path.suffix)
    if functions is not None:
        long = [f"{name} ({lines} lines)" for name, lines in functions(text) if lines > FUNCTION_LINES]
        assert not long, f"longer than a screen: {', '.join(long)}"


def test_the_measure_measures() -> None:
    body = "    x = 1\n" * 71
    assert _python_functions(f"def f():\n{body}") == [("f", 72)]
    assert _cython_functions(f"cdef int f(self) noexcept:\n{body}\n\nx = 1\n") == [("cdef int f(self) noexcept:", 72)]
