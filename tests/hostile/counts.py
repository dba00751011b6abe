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

VALUES: list[Any] = [None, True, False, NotImplemented, ..., *range(-5, 20), (), "", b"", "x", b"x"]
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


def taken() -> Counter[str]:
    for _ in range(3):
        gc.collect()
    found = Counter(f"objects of {type(each).__qualname__}" for each in gc.get_objects())
    found["objects"] = found.total()
    for value in VALUES:
        found[f"references to {value!r}"] = sys.getrefcount(value)
    for each in classes():
        found[f"references to {each.__module__}.{each.__qualname__}"] = sys.getrefcount(each)
    found["references"] = getattr(sys, "gettotalrefcount", int)()
    return found


def more(passes: list[Counter[str]], runs: int) -> dict[str, tuple[int, int, int]]:
    """What each of the last two passes has left more of, by one for every third run or oftener; of all objects
    together, by one for every run."""
    found = {}
    for name, last in passes[-1].items():
        least = runs if name in ("objects", "references") else max(3, runs / 3)
        if last - passes[-2][name] >= least and passes[-2][name] - passes[-3][name] >= least:
            found[name] = (passes[-3][name], passes[-2][name], last)
    return found
