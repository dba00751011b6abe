"""Does hasten have at run time what a type checker is told of it? mypy's `stubtest` compares the two.

    python tests/typing/stubs.py [MODULE]

Each name of each module, as mypy reads it, with the object that an import gives: is it there, of this kind, with these
parameters and defaults. What `stubtest` finds is told, and ends this with 1, unless one of the lines below says why it
has to be so; a line that is no longer true is told as well.

Most of what it finds is no difference to anybody: a field or a function that the `.pxd` gives to C is in the source,
which mypy reads, and not in the module that is made of it. Those names are read from the `.pxd`.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from hasten import compat
from hasten.kernel import codes

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PACKAGE = ROOT / "src" / "hasten"

# What has to be so: (a pattern for "name message", the reason).
EXPECTED = (
    # What Cython puts into all that it makes.
    (r"\S+\.(__test__|__pyx_\w+|__reduce_cython__|__setstate_cython__) is not present in stub", "Cython's own"),
    (r"\S+\.(__cinit__|__dealloc__|__del__|__getattr__) is not present at runtime", "Cython makes slots of them"),
    (r"\S+\.__get__ is inconsistent, .*", "Cython makes a slot of it"),
    (r"\S+\.__init__ is inconsistent, stub does not have \*args .*", "Cython makes a slot of it"),
    (r"\S+ is a disjoint base at runtime, but .*", "true of every extension type with fields; mypy need not know"),
    (r"\S+ cannot be subclassed at runtime, but .*", "@cython.final stands in the .pxd alone; none of them is public"),
    (r"hasten\.primitives\.timeouts\.Timeout has `__final__` .*", "asyncio's is final as well, and checkers see that"),
    # What a native coroutine is made by is no `async def`, which would be slower, and says that it is one.
    (r"\S+ is an \"async def\" function at runtime, .*", "a function that returns a Coroutine"),
    (r"\S+\._(cls|kind) variable differs from runtime type type", "a loop over classes of native coroutines"),
    # What stands for asyncio's classes.
    (r"\S+ is inconsistent, metaclass differs", "kernel/sharing.py: for isinstance(); docs/types.md tells it"),
    (r"\S+Queue\.__new__ is inconsistent, .*", "shown to inspect.signature(), as Queue(maxsize=0)"),
    (r"\S+\.TimerHandle\.__(eq|ge|gt|le|lt)__ is inconsistent, .*", "operators of C take no keywords"),
    (r"hasten\.kernel\.functions\.Function\.\w+ is .*", "it passes for a function before Python 3.12"),
    (r"hasten\.kernel\.datagram_channel\.LetterBox is not present in stub", "not used but in C"),
    # What mypy does not know.
    (r"hasten\.diagnosis\.(opentelemetry|prometheus)\.(exc|text) .*", "of the message when the library is missing"),
    (r"\S+@\d+ is not present at runtime", "a class that a function makes"),
    (r"\S+\._Ts is an unknown mypy node", "a TypeVarTuple"),
    (r"hasten\.net\.contract\.AddrInfo is not a subclass of tuple", "a name for tuple[...]"),
    (r"hasten\.core\.describe\.\w+ is inconsistent, stub parameter \"__arg0\" .*", "of reprlib.recursive_repr()"),
    (r"hasten\.primitives\.spawning\.TYPE_CHECKING is not present in stub", "an import of the module's own"),
    (r"hasten\.testing\.leaks\.Checks\.\w+ is not present in stub", "made of the loop's methods of these names"),
)


def cython_reader() -> ModuleType:
    """The tests that compare a .pxd with its .py, which can read both."""
    path = ROOT / "tests" / "architecture" / "test_twins.py"
    spec = importlib.util.spec_from_file_location("hasten_test_twins", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def given_to_c() -> Iterator[str]:
    """The full names of what is declared for C alone."""
    reader = cython_reader()
    for path in PACKAGE.rglob("*.p[xy][dx]"):
        text = path.read_text(encoding="utf-8")
        text = re.sub(r"(?m)^(?:cpdef|def)\b.*", "cdef class function:", text)  # its locals are no fields of another
        text = re.sub(r"(?m)^ +(?:cpdef|def|cdef (?:public|readonly))\b.*", "", text)
        found = reader.read_cython(text)
        several = re.findall(r"(?m)^    ((?:[A-Z_]+, )+[A-Z_]+)$", text)  # of an enum, without values
        constants = [*found.constants, *", ".join(several).split(", ")]
        module = ".".join(path.relative_to(ROOT / "src").with_suffix("").parts)
        for name in (*found.functions, *found.fields, *constants, *found.others):
            yield f"{module}.{name}"


def is_given_to_c(name: str, hidden: set[str]) -> bool:
    """True for what is declared for C: here, or in a class that this one derives from."""
    if name in hidden:
        return True
    owner, _, last = name.rpartition(".")
    home, _, cls = owner.rpartition(".")
    if last.startswith("_") and (PACKAGE.parent / home.replace(".", "/")).with_suffix(".pyx").is_file():
        return True  # of the plain Python that is read in place of a .pyx
    kind = getattr(importlib.import_module(home), cls, None) if home else None
    bases = kind.__mro__ if isinstance(kind, type) else ()
    return any(".".join((*codes.real_name(base), last)) in hidden for base in bases)


def stubtest(module: str) -> list[str]:
    """Its findings: "name message"."""
    with tempfile.TemporaryDirectory(prefix="hasten-stubs-") as place:
        # as pyproject.toml has it, but for the Python that runs
        settings = Path(place, "mypy.ini")
        settings.write_text("[mypy]\nstrict = True\ndisable_error_code = misc, type-abstract\n")
        done = subprocess.run(
            [sys.executable, "-m", "mypy.stubtest", "--concise", "--mypy-config-file", str(settings), module],
            capture_output=True,
            text=True,
            cwd=place,
            env={**os.environ, "MYPYPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT / 'stubs'}"},
            check=False,
        )
    if done.stderr or done.stdout.startswith("error:"):  # as mypy itself found errors
        raise SystemExit(f"stubtest failed:\n{done.stdout}{done.stderr}")
    return [line for line in done.stdout.splitlines() if line]


def main() -> int:
    module = sys.argv[1] if len(sys.argv) > 1 else "hasten"
    if not compat.compiled():
        raise SystemExit(
            "hasten is not compiled here (make dev does it), and what is the same file needs no comparison"
        )
    hidden = set(given_to_c())
    used: set[str] = set()
    wrong = []
    lines = stubtest(module)
    for line in lines:
        name, _, message = line.partition(" ")
        if message == "is not present at runtime" and is_given_to_c(name, hidden):
            continue
        patterns = [pattern for pattern, _ in EXPECTED if re.fullmatch(pattern, line)]
        used.update(patterns)
        if not patterns:
            wrong.append(line)
    outdated = [each for each in EXPECTED if each[0] not in used] if module == "hasten" else []
    for line in wrong:
        print(line)
    for pattern, reason in outdated:
        print(f"no longer so: {pattern} ({reason})")
    expected = len(lines) - len(wrong)
    print(f"{module}: {len(wrong)} differences between types and run time; {expected} that have a reason are not told")
    return 1 if wrong or outdated else 0


if __name__ == "__main__":
    sys.exit(main())
