"""What is compiled and what runs in its place uncompiled are the same, and so is what a type checker sees.

A leaf (`.pyx` and `.pxd`) has a twin `.py` of the same name; any other compiled module is its own twin, with the fields
declared in a `.pxd`; where types need more than the source can say, a `.pyi` stands beside it. So names are written
twice: what is compiled is tested under the names of the one, type checkers see those of the other, and nothing else
would notice if they parted.
"""

from __future__ import annotations

import ast
import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "src" / "hasten"

# Names of C that have no meaning in Python.
ONLY_IN_C = {
    "Ready.grow": "a deque grows by itself",
    "Ready.push_slowly": "for a ring that is full",
    "Timers.heapify": "heapq.heapify",
    "Timers.shrink": "a list shrinks by itself",
    "Timers.rouse": "a line of push()",
    "know_tasks": "tells the thread of C where a task's fields lie",
    "Task.node": "the place in the roster's list, which is a dict in Python",
    **dict.fromkeys(
        (
            f"{cls}.{name}"
            for cls in ("Channel", "SocketChannel", "PipeChannel")
            for name in ("receive", "transmit", "transmit_many")
        ),
        "a system call with pointers: with an underscore in Python",
    ),
    "Channel.rest": "a part of send() with pointers",
    "Channel.sent": "what errno says is an exception in Python",
    **dict.fromkeys(
        (f"ForeignChannel.{name}" for name in ("send", "send_whole", "outcome", "send_from", "shut_writing")),
        "in Python every socket is used through its methods",
    ),
    **dict.fromkeys(
        ("Workshop.take_spare", "Workshop.keep_spare", "Workshop.was_read", "Workshop.was_plain", "resize"),
        "nothing is used again in Python",
    ),
    **dict.fromkeys(("known", "name_of", "raw", "shown", "packed"), "the socket module has its own form of addresses"),
    "DatagramChannel.meet": "the socket module shows addresses",
    **dict.fromkeys(
        ("ForeignDatagramChannel.collect", "ForeignDatagramChannel.packed"),
        "in Python every socket is used through its methods",
    ),
}
ONLY_IN_PYTHON = {
    "Awaitable.send": "a C function that hasten_add_methods() adds",
    "Awaitable.throw": "the same",
}


@dataclass
class Surface:
    """What a module shows to others: functions with the names of their parameters (None: unknown), and so on."""

    functions: dict[str, list[str] | None] = field(default_factory=dict)  # "name" or "Class.name"
    fields: set[str] = field(default_factory=set)  # "Class.name"
    classes: set[str] = field(default_factory=set)
    constants: dict[str, object] = field(default_factory=dict)
    others: set[str] = field(default_factory=set)


def public(name: str) -> bool:
    return not any(part.startswith(("_", "hasten_")) for part in name.split("."))


# ---- reading Cython ---------------------------------------------------------------------------

FUNCTION = re.compile(r"(?:cdef|cpdef|def)\s+(?:inline\s+)?(?:[\w.]+[\s*]+)*?(\w+)\s*\((.*?)\)[^()]*$")
EXTERN = re.compile(r'[\w ]+?[\s*]+(\w+)\s*(?:"[^"]*")?\s*\(')
VARIABLE = re.compile(r"cdef\s+(?:(public|readonly)\s+)?(?:[\w.]+\s+)+?(\*?\w+(?:\s*,\s*\*?\w+)*)(?:\s*=.*)?$")
CONSTANT = re.compile(r"(\w+)\s*=\s*(-?\d+)$")


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """(indentation, line) without strings over several lines, comments, decorators and blank lines."""
    text = re.sub(r'"""(?:.|\n)*?"""', '""', text)
    text = re.sub(r"\(([^()]*)\)", lambda match: f"({' '.join(match[1].split())})", text)  # on one line
    for line in text.splitlines():
        line = re.sub(r"#.*", "", line).rstrip()
        if line and not line.lstrip().startswith("@"):
            yield len(line) - len(line.lstrip()), line.strip()


def _parameters(text: str) -> list[str]:
    names = [re.sub(r"=.*", "", each).split()[-1].lstrip("*") for each in text.split(",") if each.strip()]
    return [name for name in names if name != "self"]


ARRAY = re.compile(r"(?<=\w)\[[\w +]+\]$")  # how many of a C field


def _add_cython(surface: Surface, prefix: str, line: str) -> None:
    line = ARRAY.sub("", line)
    line = re.sub(r"(?<=\))\s*(?:noexcept|except\s*[?*]?\s*[-\w.]*)?\s*:?$", "", line)
    if match := FUNCTION.match(line):
        surface.functions[prefix + match[1]] = _parameters(match[2])
    elif match := VARIABLE.match(line):
        names = {prefix + name.strip(" *") for name in match[2].split(",")}
        if prefix:
            surface.fields |= names
        else:
            surface.others |= names


def read_cython(text: str) -> Surface:
    """The surface of a .pxd or .pyx."""
    surface = Surface()
    kind = owner = ""
    for indent, line in _lines(text):
        if indent == 0:
            kind = owner = ""
            if match := re.match(r"(?:cdef\s+)?class\s+(\w+)", line):
                kind, owner = "class", match[1]
                surface.classes.add(owner)
            elif re.match(r"cdef\s+enum\b", line):
                kind = "enum"
            elif line.startswith("cdef extern"):
                kind = "extern"
            elif re.match(r"cdef\s+struct\b", line):
                kind = "struct"
            elif re.match(r"(?:cdef|cpdef|def)\b", line):
                _add_cython(surface, "", line)
        elif indent == 4 and kind == "class" and re.match(r"(?:cdef|cpdef|def)\b", line):
            _add_cython(surface, f"{owner}.", line)
        elif indent == 4 and kind == "enum" and (match := CONSTANT.match(line)):
            surface.constants[match[1]] = int(match[2])
        elif indent == 4 and kind == "extern" and (match := EXTERN.match(line)):
            surface.functions[match[1]] = None
    return surface


# ---- reading Python ---------------------------------------------------------------------------


def _arguments(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    names = [each.arg for each in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
    names += [each.arg for each in (node.args.vararg, node.args.kwarg) if each]
    return [name for name in names if name not in ("self", "cls")]


def _is_property(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any("property" in ast.unparse(each) or ".setter" in ast.unparse(each) for each in node.decorator_list)


def _add_class(surface: Surface, node: ast.ClassDef) -> None:
    surface.classes.add(node.name)
    for item in ast.walk(node):
        if isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef)):
            name = f"{node.name}.{item.name}"
            overloaded = name in surface.functions or any("overload" in ast.unparse(d) for d in item.decorator_list)
            surface.functions[name] = None if overloaded or _is_property(item) else _arguments(item)
    for item in node.body:
        if isinstance(item, ast.AnnAssign):
            surface.fields.add(f"{node.name}.{ast.unparse(item.target)}")


def _value(node: ast.expr) -> object:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None


def _add_assignment(surface: Surface, node: ast.Assign) -> None:
    for target in node.targets:
        if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
            pairs = list(zip(target.elts, node.value.elts, strict=True))
        else:
            pairs = [(target, node.value)]
        for name, value in pairs:
            if isinstance(name, ast.Name):
                surface.constants[name.id] = _value(value)


def read_python(text: str) -> Surface:
    """The surface of a .py or .pyi."""
    surface = Surface()
    for node in ast.parse(text).body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            overloaded = node.name in surface.functions or any(
                "overload" in ast.unparse(d) for d in node.decorator_list
            )
            surface.functions[node.name] = None if overloaded else _arguments(node)
        elif isinstance(node, ast.ClassDef):
            _add_class(surface, node)
        elif isinstance(node, ast.Assign):
            _add_assignment(surface, node)
        elif isinstance(node, ast.ImportFrom):  # `import x as x` hands a name on
            surface.functions.update({each.name: None for each in node.names if each.asname == each.name})
    return surface


def attributes(text: str) -> set[str]:
    """ "Class.name" of what the methods of a class assign to themselves."""
    found = set()
    for node in ast.parse(text).body:
        if isinstance(node, ast.ClassDef):
            for item in ast.walk(node):
                if isinstance(item, ast.Attribute) and isinstance(item.ctx, ast.Store):
                    if ast.unparse(item.value) == "self":
                        found.add(f"{node.name}.{item.attr}")
    return found


# ---- the tests --------------------------------------------------------------------------------


def _modules(suffix: str) -> list[str]:
    found = sorted(str(path.relative_to(PACKAGE).with_suffix("")) for path in PACKAGE.rglob(f"*{suffix}"))
    return [name for name in found if not name.endswith("__init__")]


LEAVES = _modules(".pyx")
DECLARED = [name for name in _modules(".pxd") if name not in LEAVES]
STUBBED = _modules(".pyi")


def _text(module: str, suffix: str) -> str:
    return (PACKAGE / f"{module}{suffix}").read_text()


def _differences(one: Surface, other: Surface) -> list[str]:
    """Functions of both whose parameters have other names or another order."""
    found = []
    for name in sorted(one.functions.keys() & other.functions.keys()):
        left, right = one.functions[name], other.functions[name]
        if left is not None and right is not None and left != right:
            found.append(f"{name}({', '.join(left)}) and ({', '.join(right)})")
    return found


@pytest.mark.parametrize("module", LEAVES)
def test_a_leaf_and_its_twin_have_the_same_names(module: str) -> None:
    declared, body, twin = (
        read_cython(_text(module, ".pxd")),
        read_cython(_text(module, ".pyx")),
        read_python(_text(module, ".py")),
    )
    shown = {name for name in body.functions if name not in declared.functions and name.split(".")[0] in twin.classes}
    leaf = {*declared.functions, *declared.classes, *declared.constants, *declared.others, *shown}
    leaf |= {
        name for name in body.functions if "." not in name and re.search(rf"^def {name}\(", _text(module, ".pyx"), re.M)
    }
    plain = {*twin.functions, *twin.classes, *twin.constants}
    missing = {name for name in leaf - plain - ONLY_IN_C.keys() if public(name)}
    assert not missing, f"not in {module}.py"
    everything = leaf | body.functions.keys() | body.constants.keys() | body.others
    surplus = {name for name in plain - everything - ONLY_IN_PYTHON.keys() if public(name)}
    assert not surplus, f"in {module}.py only"
    assert not _differences(declared, twin)


@pytest.mark.parametrize("module", LEAVES)
def test_what_a_twin_shows_of_itself_is_a_field_of_the_leaf(module: str) -> None:
    declared, text = read_cython(_text(module, ".pxd")), _text(module, ".py")
    shown = {name for name in attributes(text) | read_python(text).fields if public(name)}
    assert not shown - declared.fields - _from_bases(module)


def _from_bases(module: str) -> set[str]:
    """The fields that a leaf's classes have from those that they derive from."""
    names = re.findall(r"^cdef class (\w+)\(", _text(module, ".pxd"), re.M)
    return {f"{name}.{field}" for name in names for field in _fields_of(name, module)}


def _fields_of(cls: str, module: str) -> set[str]:
    text = _text(module, ".pxd")
    named = {name.partition(".")[2] for name in read_cython(text).fields if name.startswith(f"{cls}.")}
    base = re.search(rf"^cdef class {cls}\((\w+)\)", text, re.M)
    if base is not None:
        home = re.search(rf"^from hasten\.([\w.]+) cimport .*\b{base[1]}\b", text, re.M)
        named |= _fields_of(base[1], home[1].replace(".", "/") if home else module)
    return named


@pytest.mark.parametrize("module", DECLARED)
def test_a_declared_field_is_annotated_in_the_class(module: str) -> None:
    declared, source = read_cython(_text(module, ".pxd")), read_python(_text(module, ".py"))
    fields = {name for name in declared.fields if not name.endswith(("__dict__", "__weakref__", ".attributes"))}
    assert fields - ONLY_IN_C.keys() <= source.fields
    inside = {name for name in source.fields if name.split(".")[0] in declared.classes}
    assert inside <= fields, "annotated, but without a C field"
    missing = {name for name in declared.functions if name.split(".")[0] in declared.classes} - source.functions.keys()
    assert not missing, "declared, but without a body in Python"
    assert not _differences(declared, source)


FIELD = re.compile(r"cdef\s+(?:public\s+|readonly\s+)?((?:[\w.]+\s+)*?[\w.]+[\s*]+)(\w+(?:\s*,\s*\w+)*)$")
NUMBER = re.compile(r"\b(?:bint|char|double|float|int|long|short|size_t|Py_ssize_t|\w+_t)\b")


def field_types(text: str) -> dict[str, str]:
    """ "Class.name": the C type of each field that a .pxd declares."""
    found, owner = {}, ""
    for indent, line in _lines(text):
        if indent == 0:
            match = re.match(r"cdef\s+class\s+(\w+)", line)
            owner = match[1] if match else ""
        elif indent == 4 and owner and not ARRAY.search(line) and (match := FIELD.match(line)):
            found.update({f"{owner}.{name.strip()}": match[1].strip() for name in match[2].split(",")})
    return found


def annotations(text: str) -> dict[str, str]:
    """ "Class.name": the annotation of each field."""
    return {
        f"{node.name}.{ast.unparse(item.target)}": ast.unparse(item.annotation)
        for node in ast.parse(text).body
        if isinstance(node, ast.ClassDef)
        for item in node.body
        if isinstance(item, ast.AnnAssign)
    }


@pytest.mark.parametrize("module", DECLARED)
def test_what_is_annotated_as_a_number_is_one(module: str) -> None:
    """By it a field of an uncompiled class is 0 or None at first, as the compiled one's is by its C type."""
    types, annotated = field_types(_text(module, ".pxd")), annotations(_text(module, ".py"))
    for name in types.keys() & annotated.keys():
        number = annotated[name] in ("int", "float", "bool")
        assert number == bool(NUMBER.search(types[name])), f"{name}: {types[name]} and {annotated[name]}"


@pytest.mark.parametrize("module", DECLARED)
def test_a_declared_class_is_marked_as_one(module: str) -> None:
    """Else the uncompiled class has no fields before they are set."""
    declared = read_cython(_text(module, ".pxd")).classes
    for node in ast.parse(_text(module, ".py")).body:
        if isinstance(node, ast.ClassDef) and node.name in declared:
            assert "cython.cclass" in map(ast.unparse, node.decorator_list), node.name


@pytest.mark.parametrize("module", LEAVES + DECLARED)
def test_constants_have_the_same_values(module: str) -> None:
    declared, source = read_cython(_text(module, ".pxd")), read_python(_text(module, ".py"))
    if module in LEAVES:
        declared.constants |= read_cython(_text(module, ".pyx")).constants
    for name in declared.constants.keys() & source.constants.keys():
        assert source.constants[name] == declared.constants[name], name


@pytest.mark.parametrize("module", LEAVES + DECLARED)
def test_compiled_modules_have_no_coroutine_functions(module: str) -> None:
    for suffix in (".py", ".pyx"):
        if (PACKAGE / f"{module}{suffix}").is_file():
            assert not re.search(r"^\s*async\s+def\b", _text(module, suffix), re.MULTILINE)


@pytest.mark.parametrize("module", STUBBED)
def test_a_stub_tells_all(module: str) -> None:
    """What a .pyi leaves out is what its class inherits from asyncio's."""
    stub, source = read_python(_text(module, ".pyi")), read_python(_text(module, ".py"))
    assert stub.classes == source.classes
    mine = source.functions.keys() | source.fields
    missing = {name for name in mine - stub.functions.keys() - stub.fields if not _inherited(module, name)}
    assert not missing, "not in the stub"
    unknown = {name for name in stub.functions.keys() - source.functions.keys() if name not in source.fields}
    assert not unknown, "in the stub only"
    assert not _differences(stub, source)


def _inherited(module: str, name: str) -> bool:
    """Does a base class have it: one of asyncio's, or one of hasten's that has a stub?"""
    owner, _, attribute = name.rpartition(".")
    for node in ast.parse(_text(module, ".pyi")).body:
        if isinstance(node, ast.ClassDef) and node.name == owner:
            bases = {re.sub(r"\[.*", "", ast.unparse(base)) for base in node.bases}
            stubs = [read_python(_text(other, ".pyi")) for other in STUBBED]
            ours = any(f"{base}.{attribute}" in stub.functions for base in bases for stub in stubs)
            stock = {getattr(asyncio, base.removeprefix("asyncio."), None) for base in bases} - {None}
            return ours or any(hasattr(base, attribute) for base in stock)
    return False


def test_the_readers_read() -> None:
    """Otherwise the tests above could not fail."""
    text = '''
cdef extern from "x.h":
    bint is_callable "PyCallable_Check"(object) noexcept
cdef enum Kind:
    RAISED = -1
cdef class Step(Base):
    """One."""
    cdef readonly int kind, other   # a comment
    cdef PyObject *current
    @cython.locals(a=int)
    cdef inline object send(self, object coro, int *ctx):
        return None
    cdef int leave(self) except -1
cdef object origin(int *lasti,
                   object second)
cdef bint full
'''
    surface = read_cython(text)
    assert surface.functions == {
        "is_callable": None,
        "Step.send": ["coro", "ctx"],
        "Step.leave": [],
        "origin": ["lasti", "second"],
    }
    assert surface.fields == {"Step.kind", "Step.other", "Step.current"}
    assert surface.constants == {"RAISED": -1}
    assert surface.others == {"full"}
    plain = read_python("A, B = 0, 1\nclass C:\n    x: int\n    def f(self, a, *, b=1): self.y = a\n")
    assert (plain.constants, plain.fields) == ({"A": 0, "B": 1}, {"C.x"})
    assert plain.functions == {"C.f": ["a", "b"]}
    assert attributes("class C:\n    def f(self): self.y = 1") == {"C.y"}
    types = field_types(
        "cdef class C:\n    cdef readonly unsigned int a, b  # both\n    cdef Ready queue\n    cdef f(self)\n"
    )
    assert types == {"C.a": "unsigned int", "C.b": "unsigned int", "C.queue": "Ready"}
    assert annotations("class C:\n    x: list[int]\n") == {"C.x": "list[int]"}
