"""Every test of the Python version or build in one place (those of the C code are in kernel/*.h)."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any


def compiled() -> bool:
    """Whether the extension modules are there; else everything runs as plain Python, slower."""
    leaf = importlib.import_module("hasten.kernel.step")  # which needs no `cython`, compiled or not
    return not str(leaf.__file__).endswith((".py", ".pyc"))


class cython_stand_in:
    """For uncompiled runs without Cython: what the sources use of the `cython` module, while they are imported."""

    def __enter__(self) -> None:
        self._module: ModuleType | None = None
        if compiled():
            return
        try:
            import cython  # noqa: F401

            return
        except ImportError:
            pass
        module: Any = ModuleType("cython")
        module.compiled = False
        module.cclass = lambda cls: cls
        module.no_gc = lambda cls: cls
        module.binding = lambda on: lambda what: what
        module.cast = lambda kind, value: value
        self._module = sys.modules["cython"] = module

    def __exit__(self, *exc: object) -> None:
        if self._module is not None and sys.modules.get("cython") is self._module:
            del sys.modules["cython"]
