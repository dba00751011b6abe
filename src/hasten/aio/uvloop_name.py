"""The name uvloop, while `hasten run` is on: a program that asks for uvloop's loop is given hasten's.

Servers ask for uvloop by name where it is installed (uvicorn's and granian's `--loop auto`, sanic, aiohttp's
`GunicornUVLoopWebWorker`), and else name asyncio's own loop (uvicorn): either way a program would run on another loop
than the one that was asked for. The module is made when it is imported, and whether uvloop is installed or not.
HASTEN_UVLOOP=keep leaves uvloop alone.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Coroutine
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, TypeVar

from hasten.aio.install import default_policy_class, set_policy
from hasten.aio.running import run as hastens_run
from hasten.loop import Loop, new_event_loop

_T = TypeVar("_T")
VARIABLE = "HASTEN_UVLOOP"
KEEP = "keep"
NAME = "uvloop"
# what `__version__` says where uvloop is not installed: the one whose names these are
_VERSION = "0.22.1"


def kept() -> bool:
    """True if uvloop is to be left alone."""
    return os.environ.get(VARIABLE) == KEEP


def take() -> None:
    """Have `import uvloop` give the stand-in, from now on; not if uvloop has been imported, or is to be kept."""
    if not kept() and NAME not in sys.modules and _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)


def give_back() -> None:
    """Have `import uvloop` find uvloop again."""
    if _finder in sys.meta_path:
        sys.meta_path.remove(_finder)
        for name in _CONTENTS:
            if getattr(getattr(sys.modules.get(name), "__spec__", None), "loader", None) is _finder:
                del sys.modules[name]


class _Finder:
    """Finds the stand-in and its one submodule, and loads them."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name not in _CONTENTS:
            return None
        loader: Any = self
        return ModuleSpec(name, loader, origin="hasten's stand-in", is_package=name == NAME)

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        vars(module).update(_CONTENTS[module.__name__]())
        if module.__name__ == NAME:
            importlib.import_module(f"{NAME}.loop")  # who imports the package finds it there, as in the real one


_finder: Any = _Finder()


def _package() -> dict[str, Any]:
    policy = type("EventLoopPolicy", (default_policy_class(),), {"__module__": NAME, "__doc__": _POLICY_DOC})
    policy._loop_factory = staticmethod(new_event_loop)  # type: ignore[attr-defined]

    def install() -> None:
        """Make hasten's loops the default, as the real one does with uvloop's."""
        set_policy(policy())

    return {
        "__doc__": "hasten's stand-in for uvloop: `hasten run` is on. HASTEN_UVLOOP=keep leaves uvloop alone.",
        "__version__": _version(),
        "__all__": ("new_event_loop", "run", "install", "EventLoopPolicy"),
        "EventLoopPolicy": policy,
        "Loop": Loop,
        "install": install,
        "new_event_loop": new_event_loop,
        "run": _run,
    }


_POLICY_DOC = "The default policy, with hasten's loops."
_CONTENTS: dict[str, Callable[[], dict[str, Any]]] = {NAME: _package, f"{NAME}.loop": lambda: {"Loop": Loop}}


def _run(
    main: Coroutine[Any, Any, _T],
    *,
    loop_factory: Callable[[], Any] | None = new_event_loop,
    debug: bool | None = None,
    **options: Any,
) -> _T:
    """Run a coroutine on a loop of hasten's, as uvloop.run() does on its own."""
    return hastens_run(main, loop_factory=loop_factory, debug=debug, **options)


def _version() -> str:
    from importlib import metadata  # late: few ask

    try:
        return metadata.version(NAME)
    except metadata.PackageNotFoundError:
        return _VERSION
