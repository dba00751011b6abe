"""What is compared: which loop, and whose functions run on it."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Contender:
    """One column of the tables.

    key: its name in options and in the results file
    title: its name in the tables
    loop: `module:callable` that makes a new event loop; empty for the C program
    functions: the module that stands where a program says `asyncio`
    """

    key: str
    title: str
    loop: str
    functions: str = "asyncio"

    @property
    def is_python(self) -> bool:
        return bool(self.loop)

    @property
    def package(self) -> str:
        return self.loop.partition(":")[0]


BASE = "uvloop"
C_LIMIT = "c-epoll"

CONTENDERS = [
    Contender("asyncio", "asyncio", "asyncio:new_event_loop"),
    Contender("uvloop", "uvloop", "uvloop:new_event_loop"),
    Contender("hasten-loop", "asyncio's functions on hasten's loop", "hasten:new_event_loop"),
    Contender("hasten", "`import hasten as asyncio`", "hasten:new_event_loop", "hasten"),
    Contender(C_LIMIT, "C, epoll", ""),
]
# Only for who asks for it: what no loop can go below that calls a Protocol in Python.
FLOOR = Contender("floor", "C, calling a Protocol", "bench.floor:new_event_loop")


def loop_factory(spec: str) -> Callable[[], Any]:
    """The callable behind `module:callable`."""
    module, _, name = spec.partition(":")
    factory: Callable[[], Any] = getattr(importlib.import_module(module), name)
    return factory


def why_absent(contender: Contender) -> str | None:
    """None when the contender can run here, else the reason why not."""
    if not contender.is_python:
        return None
    try:
        loop_factory(contender.loop)
        importlib.import_module(contender.functions)
    except Exception as error:  # a broken build raises anything
        return f"{type(error).__name__}: {error}"
    return None


def version(package: str) -> str | None:
    """The installed version of a package; of a checkout that is not installed, what it says itself."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        try:
            module = importlib.import_module(package)
        except Exception:  # absent, or a broken build: why_absent() tells which
            return None
        return str(getattr(module, "__version__", "from this checkout"))


def uncompiled_parts() -> list[str]:
    """hasten's modules that have a compiled form but run as plain Python here: such figures are worth nothing."""
    plain = []
    for name in ("hasten.core.task", "hasten.core.scheduler", "hasten.net.stream"):
        try:
            file = importlib.import_module(name).__file__
        except Exception:
            continue
        if file is not None and file.endswith(".py"):
            plain.append(name)
    return plain
