"""What may not grow while the same programs run again and again: the objects of each class, and the references to what
is always there, such as None, small integers and classes. A debug build of Python counts all references together, too.
"""

from __future__ import annotations

import builtins
import ctypes
import gc
import sys
from collections import Counter
from typing import Any

# Not () and b"": compiled code keeps a code object for each of its lines that was in a traceback, made of such.
VALUES: list[Any] = [None, True, False, NotImplemented, ..., *range(-5, 20), "", "x", b"x"]
HALVES = (3, 12) <= sys.version_info < (3, 14) and ctypes.sizeof(ctypes.c_void_p) == 8


def classes() -> list[type]:
    """Ours, those of the tests, and Python's own."""
    ours = [module for name, module in sys.modules.items() if name.split(".")[0] in ("hasten", "hostile", "asyncio")]
    return [each for module in [builtins, *ours] for each in vars(module).values() if type(each) is type]


def count_all() -> None:
    """Has the references to Python's own exceptions counted also where they are immortal: see core/test_refcounts.py.

    Not those to None and True: the interpreter gives such as results without counting.
    """
    if not HALVES or hasattr(sys, "gettotalrefcount"):
        return
    for each in classes():
        number = ctypes.c_uint64.from_address(id(each))
        if issubclass(each, BaseException) and number.value & 0xFFFFFFFF == 0xFFFFFFFF:
            number.value += 1


def taken() -> dict[str, float]:
    """Not as integers: they would be references to such, and counted the next time."""
    for _ in range(3):
        gc.collect()
    found = Counter(f"objects of {type(each).__qualname__}" for each in gc.get_objects())
    found["objects"] = found.total()
    for value in VALUES:
        found[f"references to {value!r}"] = sys.getrefcount(value)
    for each in classes():
        found[f"references to {each.__module__}.{each.__qualname__}"] = sys.getrefcount(each)
    found["references"] = getattr(sys, "gettotalrefcount", int)()
    return {name: float(n) for name, n in found.items()}


def changed(passes: list[dict[str, float]], runs: int) -> dict[str, list[float]]:
    """What each of the last two passes has left more of, by one for every third run or oftener (of all together, by one
    for every run), or fewer references to, by two for every run: the caches of the interpreter let go of some."""
    found = {}
    for name in passes[-1]:
        a, b, c = (each.get(name, 0.0) for each in passes[-3:])
        more = runs if name in ("objects", "references") else max(3, runs / 3)
        if min(b - a, c - b) >= more or (name.startswith("references to") and min(a - b, b - c) >= 2 * runs):
            found[name] = [a, b, c]
    return found
