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

COMPILED = sorted(str(path.relative_to(GENERATED).with_suffix("")) for path in GENERATED.rglob("*.c"))

CLASS = re.compile(r"cdef class (\w+)")
FIELD = re.compile(r"\s+cdef (?:readonly |public )?[\w\[\]., *]+?\s*\b(\w+)\s*(?:#.*)?$")
CIMPORT = re.compile(r"^(?:from hasten\.([\w.]+) cimport|cimport hasten\.([\w.]+))", re.MULTILINE)
LOOKUP = re.compile(r"__Pyx_PyObject_(?:GetAttrStr|GetAttrStrNoError|SetAttrStr)\(.*?__pyx_n_[us]_(\w+)\)")

# Lookups by name that are meant, and on what: a field of that name is declared for another class.
MEANT: dict[str, dict[str, str]] = {
    "primitives/sleeping": {"value": "a StopIteration"},
    "core/future": {"future": "the module describe"},
    "core/task": {"roster": "a loop, which is untyped: its _roster"},
    "primitives/timeouts": {"context": "an exception's __context__"},
    "primitives/gathering": {"cancel_message": "a child of any kind"},
    "kernel/functions": dict.fromkeys(
        ("annotations", "code", "doc", "module", "name", "qualname"),
        "the function inside, which is Cython's or Python's",
    ),
    "kernel/datagram_channel": {"family": "of an object of the socket module, or what stands for one"},
    "kernel/socket_channel": {"family": "of an object of the socket module, or what stands for one"},
    "diagnosis/recorder": {"name": "a class, whose __name__ it is"},
    "net/endpoint": {"debug": "the logger"},
    "net/listening": {"family": "a socket's"},
    "net/sink": dict.fromkeys(("buffer_updated", "data_received", "get_buffer"), "the user's protocol"),
    "net/stream": {"debug": "the logger"},
    "poll/selectors": {"fd": "a SelectorKey"},
}


def _setup() -> object:
    spec = importlib.util.spec_from_file_location("hasten_setup", ROOT / "setup.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _compiled(*package: Path) -> list[str]:
    pytest.importorskip("setuptools", reason="setuptools, which setup.py imports, is not installed here")
    return _setup().compiled(*package)  # type: ignore[attr-defined,no-any-return]


def test_what_is_compiled_has_a_pxd_with_code(tmp_path: Path) -> None:
    texts = {
        "constants.pxd": "cdef enum State:\n    OPEN = 1\n",
        "header.pxd": 'cdef extern from "x.h":\n    int f "g"(object) except -1\n',
        "floor/typed.pxd": "cdef class A:\n    cdef int x\n",
        "floor/calls.pxd": "cimport cython\n@cython.locals(i=int)\ncdef int f(object x) except -1\n",
        "floor/both.pxd": "cpdef object f()\n",
        "floor/leaf.pxd": "@cython.final\ncdef class B:\n    cdef void *p\n",
        "floor/leaf.pyx": "",
        "floor/epoll.pxd": "cdef class C\n",
        "floor/plain.py": "",
        "__init__.pxd": "",
    }
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    linux = ["floor/epoll.py"] if sys.platform == "linux" else []
    assert _compiled(tmp_path) == ["floor/both.py", "floor/calls.py", *linux, "floor/leaf.pyx", "floor/typed.py"]


def test_what_is_compiled_runs_uncompiled_too() -> None:
    listed = _compiled()
    assert {"kernel/step.pyx", "core/task.py"} <= set(listed)
    for source in listed:
        assert (PACKAGE / source).with_suffix(".py").is_file(), f"{source} has no plain Python form to run uncompiled"
    leaves = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.pyx") if path.stem != "epoll"}
    assert leaves <= set(listed), "a .pyx whose .pxd declares no code"
    if COMPILED:
        assert {source.rpartition(".")[0] for source in listed} <= set(COMPILED), "not compiled here: run make dev"


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


# ---- what a call is made on --------------------------------------------------------------------

# Cython holds a reference to each argument of a C call, but not to what the call is made on. A method that is called on
# a field (`self.reader.run()`) has its object freed under it if anything that it runs puts something else there. So an
# object is taken into a local first, but for fields that keep their object as long as they live themselves:
LASTING = {
    "Roster": "a task's: set when it is made",
    "Ready": "a loop's, a future's: set when it is made",
    "Timers": "a loop's, a timer's: set when it is made",
    "Step": "a loop's, a task's: set when it is made",
    "Children": "a task group's: set when it is made",
    "Departures": "a loop's: set when it is made",
    "Workshop": "a loop's: set when it is made; a channel's: set before it reads",
    "Epoll": "a poller's: set when it is made; it runs no Python",
}
LASTING_FIELDS = {
    "_poller": "a loop's: set when it is made",
    "scheduler": "a transport's loop, which runs",
    "channel": "a transport's: set when it is made",
    "departures": "a loop's: set when it is made",
}
VIRTUAL = re.compile(
    r"\(\(struct __pyx_vtabstruct_\w*?(?P<cls>[A-Z]\w*) \*\)(?P<on>[^\s()]+?)->(?:__pyx_base\.)*__pyx_vtab\)->"
    r"(?:__pyx_base\.)*(?P<method>\w+)\("
)
DIRECT = re.compile(
    r"^[^/]*\b__pyx_f_6hasten_\w*?\d(?P<cls>[A-Z][A-Za-z]*)_(?P<method>\w+)\("
    r"(?:\(\(struct \w+ \*\))?(?P<on>__pyx_v_[^\s(),]+)\)?[,)]"
)


def _calls_on_fields(generated: str) -> Iterator[tuple[str, str, str, str]]:
    """(class, field, method, line of the source) of each C call that is made on what a field or a global holds."""
    for line in generated.splitlines():
        for match in (*VIRTUAL.finditer(line), *DIRECT.finditer(line)):
            steps = [each for each in re.split(r"->|\.", match["on"]) if each != "__pyx_base"]
            if len(steps) > 1 or steps[0].startswith("__pyx_v_6hasten"):
                place = re.search(r"__PYX_ERR\(\d+, (\d+),", line)
                yield match["cls"], steps[-1], match["method"], place[1] if place else "?"


@pytest.mark.skipif(not COMPILED, reason="no generated C of this interpreter in build/: run make dev first")
@pytest.mark.parametrize("module", COMPILED or ["-"])
def test_nothing_is_called_on_a_field_that_may_be_dropped(module: str) -> None:
    if not (PACKAGE / f"{module}.pxd").is_file():
        pytest.skip("generated from a source that is gone")
    dropped = {
        f"{field}.{method}() near {place}"
        for cls, field, method, place in _calls_on_fields((GENERATED / f"{module}.c").read_text())
        if cls not in LASTING and field not in LASTING_FIELDS
    }
    assert not dropped, (
        "take the object into a local first, or list its class or the field, with the reason why it stays"
    )


def test_the_scan_of_calls_scans() -> None:
    text = (
        "t = ((struct __pyx_vtabstruct_6hasten_3aio_8arrivals_Arrivals *)__pyx_v_self->arrivals->__pyx_base.__pyx_vtab)"
        "->__pyx_base.claim(__pyx_v_self->arrivals); if (t) __PYX_ERR(0, 37, error)\n"
        "t = __pyx_f_6hasten_4core_6handle_6Handle_run(__pyx_v_self->__pyx_base.reader, s); __PYX_ERR(0, 5, error)\n"
        "t = ((struct __pyx_vtabstruct_6hasten_3aio_4wait_Wait *)__pyx_v_self->__pyx_vtab)->start(__pyx_v_self);\n"
    )
    assert list(_calls_on_fields(text)) == [("Arrivals", "arrivals", "claim", "37"), ("Handle", "reader", "run", "5")]


# ---- what is being handled ---------------------------------------------------------------------


@pytest.mark.skipif(not COMPILED, reason="no generated C of this interpreter in build/: run make dev first")
@pytest.mark.parametrize("module", COMPILED or ["-"])
def test_setup_has_mended_what_cython_makes_of_an_except(module: str) -> None:
    pytest.importorskip("setuptools", reason="setuptools, which setup.py imports, is not installed here")
    generated = (GENERATED / f"{module}.c").read_text()
    assert _setup().mended(generated) == generated, "setup.py has not been at this file"  # type: ignore[attr-defined]


@pytest.mark.skipif(not COMPILED, reason="no generated C of this interpreter in build/: run make dev first")
@pytest.mark.parametrize(
    "mended", ["OWN", "NONE", "NO_TRACEBACK", "CODE_LEFT_OUT", "FRAME_LEFT_OUT", "EMPTY", "LET_GO_ONCE"]
)
def test_there_is_something_to_mend(mended: str) -> None:
    """Else this Cython writes it in another way, which setup.py does not find."""
    pytest.importorskip("setuptools", reason="setuptools, which setup.py imports, is not installed here")
    assert any(getattr(_setup(), mended) in (GENERATED / f"{module}.c").read_text() for module in COMPILED)


def test_setup_notices_an_except_that_it_cannot_mend() -> None:
    pytest.importorskip("setuptools", reason="setuptools, which setup.py imports, is not installed here")
    setup = _setup()
    mend, save = setup.mend_except, setup.SAVE  # type: ignore[attr-defined]
    assert mend("int x;\n") == "int x;\n"
    with pytest.raises(SystemExit, match="keeps the handled exception in another way"):
        mend(f"__Pyx__ExceptionSave(a);\n{save}\n  something_else();\n}}\n")
    with pytest.raises(SystemExit, match="keeps the handled exception in another way"):
        mend("__Pyx__ExceptionSave(a);\n")


def test_setup_gives_an_exception_without_a_traceback_none() -> None:
    pytest.importorskip("setuptools", reason="setuptools, which setup.py imports, is not installed here")
    setup = _setup()
    mend, catch, counted = setup.mend_traceback, setup.CATCH, setup.COUNTED  # type: ignore[attr-defined]
    restore = f"{setup.RESTORE}\n{setup.KEPT}    rest();\n}}\n"  # type: ignore[attr-defined]
    assert mend("int x;\n") == "int x;\n"
    once = mend(f"{restore}{catch}\n{{\n{counted}    rest();\n}}\n")
    assert once.count("Py_NewRef(Py_None)") == 1
    assert once.count("if (tb == Py_None)") == 1
    assert mend(once) == once
    for lacking in (f"{restore}{catch}\n{{\n}}\n", f"{catch}\n{{\n{counted}}}\n"):
        with pytest.raises(SystemExit, match="catches exceptions in another way"):
            mend(lacking)


def test_setup_keeps_an_exception_whose_traceback_gets_no_entry() -> None:
    pytest.importorskip("setuptools", reason="setuptools, which setup.py imports, is not installed here")
    setup = _setup()
    mend, entry = setup.mend_entry, setup.ENTRY  # type: ignore[attr-defined]
    assert mend("int x;\n") == "int x;\n"
    body = f"{setup.NO_CODE}{setup.FRAME}    );\n{setup.NO_FRAME}"  # type: ignore[attr-defined]
    once = mend(f"{entry}{body}bad:\n}}\n")
    assert "goto bad;" in once
    assert once.index("#ifdef HASTEN_FRAMES") < once.index("goto bad;") < once.index("#else")
    assert once.count("Py_XDECREF(ptype)") == 1
    assert mend(once) == once
    with pytest.raises(SystemExit, match="adds to tracebacks in another way"):
        mend(f"{entry}}}\n")


def test_setup_tells_what_is_missing_to_compile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("setuptools", reason="setuptools, which setup.py imports, is not installed here")
    find = _setup().find_tools  # type: ignore[attr-defined]
    for name in ("CPATH", "C_INCLUDE_PATH", "CFLAGS", "CPPFLAGS"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SystemExit, match=r"C compiler .no-such-compiler. is not found(.|\n)*HASTEN_NO_EXTENSIONS=1"):
        find("no-such-compiler", [str(tmp_path)])
    with pytest.raises(SystemExit, match=r"Python\.h .*is not found(.|\n)*HASTEN_NO_EXTENSIONS=1"):
        find(sys.executable, [str(tmp_path)])
    monkeypatch.setenv("CPATH", "somewhere")
    find(sys.executable, [str(tmp_path)])
    monkeypatch.delenv("CPATH")
    (tmp_path / "Python.h").touch()
    find(sys.executable, ["nowhere", str(tmp_path)])


def test_setup_has_the_array_for_keywords_empty_at_first() -> None:
    pytest.importorskip("setuptools", reason="setuptools, which setup.py imports, is not installed here")
    setup = _setup()
    mend, slot, unset, empty = setup.mend_keywords, setup.SLOT, setup.UNSET, setup.EMPTY  # type: ignore[attr-defined]
    assert mend("int x;\n") == "int x;\n"
    once = mend(f"{slot}a);\n{{\n{unset}    rest();\n}}\n{{\n{unset}}}\n")
    assert once.count(empty + unset) == 2
    assert mend(once) == once
    with pytest.raises(SystemExit, match="calls constructors in another way"):
        mend(f"{slot}a);\n")


def test_setup_has_a_comprehension_let_go_once() -> None:
    pytest.importorskip("setuptools", reason="setuptools, which setup.py imports, is not installed here")
    setup = _setup()
    mend, append, twice = setup.mend_comprehension, setup.APPEND, setup.LET_GO  # type: ignore[attr-defined]
    assert mend("int x;\n") == "int x;\n"
    once = mend(f"{append}\n{twice}    return result;\n}}\n{append}\n{twice}    return result;\n}}\n")
    assert once.count(setup.LET_GO_ONCE) == 2  # type: ignore[attr-defined]
    assert mend(once) == once
    with pytest.raises(SystemExit, match="makes lists in another way"):
        mend(f"{append}\n}}\n")
