"""Subclasses of an implementation's Future, Task and loop, all of whose methods strike first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

FUTURE = ("cancel", "cancelled", "done", "result", "exception", "add_done_callback", "remove_done_callback", "get_loop")
LOOP = ("call_soon", "call_later", "call_at", "create_future", "call_exception_handler", "get_debug", "time")


def striking(base: type, names: tuple[str, ...], what: str) -> type:
    """A subclass of `base`; its instances (of loops: the class) have a `mischief`."""

    def method(name: str) -> Callable[..., Any]:
        original = getattr(base, name)

        def struck(self: Any, *args: Any, **kwargs: Any) -> Any:
            mischief = getattr(self, "mischief", None)
            if mischief is not None:
                mischief.strike(f"{name}() of a {what}")
            return original(self, *args, **kwargs)

        return struck

    contents: dict[str, Any] = {name: method(name) for name in names}
    contents["__repr__"] = method("__repr__")
    contents["mischief"] = None
    return type("Hostile" + base.__name__, (base,), contents)


def future_class(ns: Any) -> type:
    return striking(ns.Future, FUTURE, "future")


def task_class(ns: Any) -> type:
    return striking(ns.Task, FUTURE, "task")


def loop_class(base: type) -> type:
    return striking(base, LOOP, "loop")
