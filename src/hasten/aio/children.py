"""Has a function called in each process that multiprocessing starts anew, by spawn or forkserver.

What such a process is told first are the "preparation data": where it finds the program, the arguments, the path. It
reads them before it imports anything of the program's. An entry of ours there, which makes the function be called when
it is unpickled, reaches every such process and no other: no environment variable, no .pth file, and a python that is
started without us does not pay for anything. (A process that is forked has all of its parent's anyway.)

Not reached: pythons that a program starts by a command line (subprocess, os.exec…), and libraries that start workers by
a copy of multiprocessing's code (loky).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

_MODULE = "multiprocessing.spawn"
_ENTRY = "hasten"
_CODE = """\
import sys
try:
    import hasten
except ImportError:
    sys.path.append({folder!r})
try:
    from {module} import {name} as begin
    begin({arguments})
except Exception as error:  # another python may have been chosen for the children: they run nevertheless
    try:
        sys.stderr.write(f"hasten: a child process runs without hasten: {{error}}\\n")
    except Exception:  # it is None, closed or full
        pass
"""


class _Begin:
    """Calls a function in the process where it is unpickled, by a builtin that every process has."""

    def __init__(self, function: Callable[..., object], arguments: tuple[object, ...]) -> None:
        self._code = _CODE.format(
            folder=os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))),
            module=function.__module__,
            name=function.__name__,
            arguments=", ".join(map(repr, arguments)),
        )

    def __reduce__(self) -> tuple[Any, tuple[str, dict[str, object]]]:
        return exec, (self._code, {})


def call(function: Callable[..., object], *arguments: object) -> None:
    """Have `function(*arguments)` called in each process that multiprocessing starts anew, before anything else.

    `function` is a module's; the arguments are what their repr gives: strings, numbers, tuples of these.
    """
    begin = _Begin(function, arguments)

    def put(module: Any) -> None:
        stock = module.get_preparation_data

        def get_preparation_data(name: str) -> dict[str, Any]:
            data: dict[str, Any] = stock(name)
            data[_ENTRY] = begin
            return data

        module.get_preparation_data = get_preparation_data

    if _MODULE in sys.modules:
        put(sys.modules[_MODULE])
    else:  # most programs never import it
        finder: Any = _Finder(put)
        sys.meta_path.insert(0, finder)


class _Finder:
    """Finds one module as ever, and has something done with it as soon as it is there."""

    def __init__(self, then: Callable[[ModuleType], None]) -> None:
        self._then = then

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != _MODULE:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            loader: Any = _Loader(spec.loader, self._then)
            spec.loader = loader
        return spec


class _Loader:
    """The module's own loader, until the module is loaded."""

    def __init__(self, loader: Any, then: Callable[[ModuleType], None]) -> None:
        self._loader, self._then = loader, then

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> Any:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._then(module)
