"""The name uvloop, while `hasten run` is on: a program that asks for uvloop's loop is given hasten's.

Servers ask for uvloop by name where it is installed (uvicorn's and granian's `--loop auto`, sanic, aiohttp's
`GunicornUVLoopWebWorker`), and else name asyncio's own loop (uvicorn): either way a program would run on another loop
than the one that was asked for. The module is made when it is imported, and whether uvloop is installed or not.
HASTEN_UVLOOP=keep leaves uvloop alone.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import pathlib
import sys
import warnings
from collections.abc import Awaitable, Callable, Iterable
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
_VERSION = "0.23.0"


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
    """Finds the stand-in and its submodules, and loads them; and says which version it stands for."""

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
            for name in _CONTENTS:  # who imports the package finds them there, as in the real one
                importlib.import_module(name)

    def find_distributions(self, context: Any) -> Iterable[Any]:
        """Give who asks importlib.metadata for uvloop, and for nothing else, what `import uvloop` gives.

        Not where uvloop is installed: its own entry tells. A list of all that is installed has no stand-in.
        """
        name = getattr(context, "name", None)
        if not isinstance(name, str) or name.lower() != NAME:
            return []
        from importlib import metadata

        installed = list(metadata.MetadataPathFinder.find_distributions(context))
        return installed or [_distribution()]


_finder: Any = _Finder()


def _distribution() -> Any:
    from importlib import metadata

    class StandIn(metadata.Distribution):
        def read_text(self, filename: str) -> str | None:
            if filename not in ("METADATA", "PKG-INFO"):
                return None
            return f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {_VERSION}\nSummary: hasten's stand-in for uvloop\n"

        def locate_file(self, path: Any) -> Any:
            return pathlib.Path(path)

    return StandIn()


def _named(thing: Any, name: str) -> Any:
    """Have a function or class say that it is the package's: pickles find it there, in whichever process."""
    thing.__module__, thing.__name__, thing.__qualname__ = NAME, name, name
    return thing


def _lacks(module: str) -> Callable[[str], Any]:
    def __getattr__(name: str) -> Any:
        text = f"module {module!r} has no attribute {name!r}"
        if not name.startswith("__"):  # these are asked for by the import system, by inspect…
            text += f": it is hasten's stand-in ({VARIABLE}={KEEP} leaves uvloop alone)"
        raise AttributeError(text, name=name)

    return __getattr__


def _package() -> dict[str, Any]:
    policy = _named(type("EventLoopPolicy", (default_policy_class(),), {"__doc__": _POLICY_DOC}), "EventLoopPolicy")
    policy._loop_factory = staticmethod(new_event_loop)

    def install() -> None:
        """Make hasten's loops the default, as the real one does with uvloop's."""
        if sys.version_info >= (3, 12):
            text = f"{NAME}.install() is deprecated in favor of {NAME}.run() starting with Python 3.12."
            warnings.warn(text, DeprecationWarning, stacklevel=1)
        set_policy(policy())

    return {
        "__doc__": "hasten's stand-in for uvloop: `hasten run` is on. HASTEN_UVLOOP=keep leaves uvloop alone.",
        "__version__": _version(),
        "__all__": ("new_event_loop", "run", "install", "EventLoopPolicy"),
        "__getattr__": _lacks(NAME),
        "EventLoopPolicy": policy,
        "Loop": Loop,
        "install": _named(install, "install"),
        "new_event_loop": new_event_loop,
        "run": _run,
    }


_POLICY_DOC = "The default policy, with hasten's loops."
_CONTENTS: dict[str, Callable[[], dict[str, Any]]] = {
    NAME: _package,
    f"{NAME}.loop": lambda: {"Loop": Loop, "__getattr__": _lacks(f"{NAME}.loop")},
    f"{NAME}._version": lambda: {"__version__": _version()},
}


def _run(
    main: Awaitable[_T],
    *,
    loop_factory: Callable[[], Any] | None = new_event_loop,
    debug: bool | None = None,
    **options: Any,
) -> _T:
    """Run a coroutine on a loop of hasten's, as uvloop.run() does on its own."""
    if loop_factory is not new_event_loop:
        main = _on_ours(main)
    return hastens_run(main, loop_factory=loop_factory, debug=debug, **options)


_named(_run, "run")


async def _on_ours(main: Awaitable[_T]) -> _T:
    """Await `main`. Raises TypeError on a loop of another kind, as uvloop.run() does."""
    if not isinstance(asyncio.get_running_loop(), Loop):
        raise TypeError("uvloop.run() uses a non-uvloop event loop")
    return await main


def _version() -> str:
    from importlib import metadata  # late: few ask

    try:
        return metadata.version(NAME)
    except metadata.PackageNotFoundError:
        return _VERSION
