"""What is compiled is what is declared, and declared fields are reached as C fields."""

from __future__ import annotations

import importlib.util
import re
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "hasten"
GENERATED = ROOT / "build" / f"cython-{sys.implementation.cache_tag}-{sysconfig.get_platform()}" / "src" / "hasten"

CLASS = re.compile(r"cdef class (\w+)")
FIELD = re.compile(r"\s+cdef (?:readonly |public )?[\w\[\]., *]+?\s*\b(\w+)\s*(?:#.*)?$")
CODE = re.compile(r"^cdef class|^c(?:p)?def [^#\n]*\(", re.MULTILINE)
CIMPORT = re.compile(r"^(?:from hasten\.([\w.]+) cimport|cimport hasten\.([\w.]+))", re.MULTILINE)
LOOKUP = re.compile(r"__Pyx_PyObject_(?:GetAttrStr|GetAttrStrNoError|SetAttrStr)\(.*?__pyx_n_[us]_(\w+)\)")

# Lookups by name that are meant, and on what: a field of that name is declared for another class.
MEANT: dict[str, dict[str, str]] = {
    "aio/sleeping": {"value": "a StopIteration"},
    "core/future": {"future": "the module describe"},
    "core/task": {"roster": "a loop, which is untyped: its _roster"},
    "aio/timeouts": {"context": "an exception's __context__"},
    "aio/gathering": {"cancel_message": "a child of any kind"},
    "net/endpoint": {"debug": "the logger"},
    "net/stream": {"get_buffer": "the user's protocol", "debug": "the logger"},
    "poll/selectors": {"fd": "a SelectorKey"},
}


def _setup() -> object:
    spec = importlib.util.spec_from_file_location("hasten_setup", ROOT / "setup.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_setup_lists_what_has_a_pxd() -> None:
    pytest.importorskip("setuptools", reason="setuptools, which setup.py imports, is not installed here")
    setup = _setup()
    lists = ("LEAVES", "LINUX_LEAVES", "MODULES", "LINUX_MODULES")
    listed = {name for each in lists for name in getattr(setup, each)}
    # a .pxd of nothing but constants has nothing to compile
    declared = {
        str(path.relative_to(PACKAGE).with_suffix(""))
        for path in PACKAGE.rglob("*.pxd")
        if path.stem != "__init__" and CODE.search(path.read_text())
    }
    assert listed == declared
    for name in listed:
        assert (PACKAGE / f"{name}.py").is_file(), f"{name} has no plain Python form to run uncompiled"


def _fields(pxd: Path) -> set[str]:
    """The fields of the cdef classes that a .pxd declares."""
    names, inside = set(), False
    for line in pxd.read_text().splitlines():
        if CLASS.match(line):
            inside = True
        elif line and not line[0].isspace():
            inside = False
        elif inside and (match := FIELD.match(line)):
            names.add(match[1])
    return names


def _visible_fields(module: str) -> set[str]:
    """The fields of the classes of a compiled module and of those that it cimports."""
    text = (PACKAGE / f"{module}.pxd").read_text()
    names = _fields(PACKAGE / f"{module}.pxd")
    for match in CIMPORT.finditer(text):
        other = PACKAGE / ((match[1] or match[2]).replace(".", "/") + ".pxd")
        if other.is_file():
            names |= _fields(other)
    return names


def _lookups(generated: str) -> Iterator[tuple[str, str]]:
    """(name, line of the source) of each attribute lookup by name in a generated C file."""
    for line in generated.splitlines():
        for match in LOOKUP.finditer(line):
            place = re.search(r"__PYX_ERR\(\d+, (\d+),", line)
            yield match[1], place[1] if place else "?"


COMPILED = sorted(str(path.relative_to(GENERATED).with_suffix("")) for path in GENERATED.rglob("*.c"))


@pytest.mark.skipif(not COMPILED, reason="no generated C of this interpreter in build/: run make dev first")
@pytest.mark.parametrize("module", COMPILED or ["-"])
def test_declared_fields_are_not_looked_up_by_name(module: str) -> None:
    """A local variable without a C type compiles silently to attribute lookups; here it shows."""
    if not (PACKAGE / f"{module}.pxd").is_file():
        pytest.skip("generated from a source that is gone")
    visible = _visible_fields(module) - MEANT.get(module, {}).keys()
    slow = {
        f"{name} near {place}" for name, place in _lookups((GENERATED / f"{module}.c").read_text()) if name in visible
    }
    assert not slow, "give the variable a type in the .pxd (@cython.locals), or list the name in MEANT"


def test_the_scan_scans() -> None:
    text = "x = __Pyx_PyObject_GetAttrStr(y, __pyx_mstate_global->__pyx_n_u_roster); if (!x) __PYX_ERR(0, 7, error)"
    assert list(_lookups(text)) == [("roster", "7")]
    assert "_coro" in _fields(PACKAGE / "core" / "task.pxd")


def test_no_generator_is_compiled() -> None:
    """Each that ends leaves a reference to its type behind (Cython 3.3), and a loop is faster."""
    if not GENERATED.is_dir():
        pytest.skip("nothing was compiled here")
    using = [
        str(path.relative_to(GENERATED))
        for path in sorted(GENERATED.rglob("*.c"))
        if "__Pyx_Generator_New(" in path.read_text()
    ]
    assert using == []
