"""gunicorn's workers on hasten: `gunicorn --worker-class hasten.gunicorn.UvicornWorker app:app`, or `…AiohttpWorker`.

Each is made when it is asked for, of the worker that uvicorn (or the package uvicorn-worker) and aiohttp have: a master
that serves with one of them needs no other. A worker calls `hasten.install()` in its process, before the application is
imported; with `--preload` the application comes first, and its `from asyncio import …` took asyncio's own functions.
"""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

from hasten.aio.install import install

if TYPE_CHECKING:
    UvicornWorker: Any
    UvicornH11Worker: Any
    AiohttpWorker: Any

__all__ = ("AiohttpWorker", "UvicornH11Worker", "UvicornWorker")


def _on_hasten(base: Any, name: str, **contents: Any) -> Any:
    """Return a worker class like `base` whose process is hasten's."""

    def init_process(self: Any) -> None:
        install()
        base.init_process(self)

    contents["__doc__"] = f"{base.__module__}.{base.__qualname__} on hasten's loop."
    return type(name, (base,), {"__module__": __name__, "init_process": init_process, **contents})


def _of_uvicorn(name: str) -> Any:
    try:
        home = import_module("uvicorn_worker")
    except ImportError:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # it says to install the other one
            try:
                home = import_module("uvicorn.workers")
            except ImportError as error:
                raise ImportError(f"hasten.gunicorn.{name} needs uvicorn-worker or uvicorn: {error}") from error
    base = getattr(home, name)
    # an older uvicorn takes no loop by its name, but makes the default one, which is hasten's
    loop = "hasten:new_event_loop" if hasattr(import_module("uvicorn.config").Config, "get_loop_factory") else "none"
    return _on_hasten(base, name, CONFIG_KWARGS={**base.CONFIG_KWARGS, "loop": loop})


def _of_aiohttp(name: str) -> Any:
    try:
        base = import_module("aiohttp.worker").GunicornWebWorker
    except ImportError as error:
        raise ImportError(f"hasten.gunicorn.{name} needs aiohttp: {error}") from error
    return _on_hasten(base, name)


_MAKERS = {"AiohttpWorker": _of_aiohttp, "UvicornH11Worker": _of_uvicorn, "UvicornWorker": _of_uvicorn}


def __getattr__(name: str) -> Any:
    if name not in _MAKERS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    worker = globals()[name] = _MAKERS[name](name)
    return worker


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
