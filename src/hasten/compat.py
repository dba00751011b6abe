"""Every test of the Python version or build in one place (those of the C code are in kernel/*.h)."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

_ZEROS = {"int": 0, "float": 0.0, "bool": False}


def compiled() -> bool:
    """True if the extension modules are there; without them everything runs as plain Python, slower."""
    leaf = importlib.import_module("hasten.kernel.step")  # which needs no `cython`, compiled or not
    return not str(leaf.__file__).endswith((".py", ".pyc"))


class cython_stand_in:
    """In uncompiled runs, the `cython` module while the sources are imported: all that they use of it.

    It stands there whether Cython is installed or not, so that both are the same. From it a class gets what an
    extension type has by itself.
    """

    def __enter__(self) -> None:
        self._module: ModuleType | None = None
        if compiled():
            return
        module: Any = ModuleType("cython")
        module.compiled = False
        module.cclass = _as_extension_type
        module.no_gc = module.no_gc_clear = lambda cls: cls
        module.binding = lambda on: lambda what: what
        module.cast = lambda kind, value: value
        self._before = sys.modules.get("cython")
        self._module = sys.modules["cython"] = module

    def __exit__(self, *exc: object) -> None:
        if self._module is None or sys.modules.get("cython") is not self._module:
            return
        if self._before is None:
            del sys.modules["cython"]
        else:
            sys.modules["cython"] = self._before


def _as_extension_type(cls: Any) -> Any:
    """Give a class what Cython gives an extension type by itself.

    What its body annotates is a field, and is 0 or None until somebody sets it. __cinit__() is called when an instance
    is made, that of a base class first.
    """
    if cls.__bases__ == (object,):  # others derive from it
        cls = importlib.import_module("hasten.kernel.sharing").remade(cls)
    for name, annotation in cls.__annotations__.items():
        if name not in cls.__dict__:
            setattr(cls, name, _ZEROS.get(annotation))
    prepare = cls.__dict__.get("__cinit__")
    if prepare is not None:

        def __new__(kind: Any, /, *args: Any, **kwargs: Any) -> Any:
            made = super(cls, kind).__new__(kind)
            prepare(made)
            return made

        __new__.__wrapped__ = cls.__init__  # type: ignore[attr-defined] # whose parameters are the class's
        cls.__new__ = __new__
    return cls
