"""Puts a module in the place of the asyncio package, for this process.

The stdlib's own module objects are left as they are, because the subject itself uses them. `sys.modules` gets
copies instead: a package `asyncio` and its submodules, in which every public name leads to the subject's object.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import pkgutil
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any


def _stdlib_submodules() -> dict[str, ModuleType]:
    """All submodules of asyncio that import on this platform."""
    found = {}
    for info in pkgutil.iter_modules(asyncio.__path__):
        if info.name == "__main__" or "windows" in info.name or "proactor" in info.name:
            continue
        with contextlib.suppress(ImportError):
            found[info.name] = importlib.import_module(f"asyncio.{info.name}")
    return found


def _copy(module: ModuleType) -> ModuleType:
    copy = ModuleType(module.__name__, module.__doc__)
    copy.__dict__.update(vars(module))
    return copy


def install(subject: str) -> None:
    """Makes `import asyncio`, from now on, give `subject`. ImportError lists public names that it lacks."""
    stdlib = asyncio
    subs = _stdlib_submodules()
    theirs = importlib.import_module(subject)
    names = {*stdlib.__all__, "TaskGroup"}  # the latter is forgotten in Python 3.11
    missing = sorted(name for name in names if not hasattr(theirs, name))
    if missing:
        raise ImportError(f"{subject} lacks names of asyncio.__all__: {', '.join(missing)}")
    replaced = {name: (getattr(stdlib, name), getattr(theirs, name)) for name in names}
    package = _copy(stdlib)
    copies = {name: _copy(sub) for name, sub in subs.items()}
    for module in (package, *copies.values()):
        for name, value in list(vars(module).items()):
            if name in replaced and value is replaced[name][0]:
                setattr(module, name, replaced[name][1])
            elif isinstance(value, ModuleType) and value.__name__.startswith("asyncio."):
                setattr(module, name, copies.get(value.__name__.removeprefix("asyncio."), value))
    _take_the_accelerators_place(copies, theirs)
    for name, copy in copies.items():
        sys.modules[f"asyncio.{name}"] = copy
        setattr(package, name, copy)
    sys.modules["asyncio"] = package
    # who has imported asyncio already and is part of the test machinery: unittest.async_case, unittest.mock
    for name, module in list(sys.modules.items()):
        if name.startswith("unittest") and getattr(module, "asyncio", None) is stdlib:
            module.asyncio = package  # type: ignore[attr-defined]


class _Builtin:
    """A function that does not become a method of a class that holds it, as those of a C module do not."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(*args, **kwargs)


def _take_the_accelerators_place(copies: dict[str, ModuleType], theirs: ModuleType) -> None:
    """Points the names of asyncio's C accelerator (`tasks._CTask`, `tasks._c_current_task`…) to the subject.

    The suite runs its tests of Task and Future on both of asyncio's implementations, C and Python, and on mixtures of
    the two, and reaches the former by those names. So they become tests of the subject, and of mixtures with it.
    """
    for copy in copies.values():
        for name in list(vars(copy)):
            if name.startswith("_C") and hasattr(theirs, name[2:]):
                setattr(copy, name, getattr(theirs, name[2:]))
            elif name.startswith("_c_"):
                for own in (name[3:], f"_{name[3:]}"):  # _c_register_task: _register_task
                    if hasattr(theirs, own):
                        setattr(copy, name, _Builtin(getattr(theirs, own)))
                        break
    for name in ("_register_task", "_unregister_task", "_enter_task", "_leave_task", "_swap_current_task"):
        if hasattr(theirs, name):
            setattr(copies["tasks"], name, getattr(theirs, name))
