"""Classes that the suite does not have: the subject's Task or Future together with asyncio's accelerated ones."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


def add(module: ModuleType) -> None:
    """Adds to test_tasks its own cases, once with a stdlib Task on our Future, once the other way round."""
    base: Any = getattr(module, "BaseTaskTests", None)
    if base is None:
        return
    # not at the top: imported before asyncio, this one would make asyncio do without its accelerator on Python 3.11
    import _asyncio

    from test.test_asyncio import utils

    asyncio: Any = sys.modules["asyncio"]
    functions = {
        "all_tasks": staticmethod(asyncio.all_tasks),
        "current_task": staticmethod(asyncio.current_task),
        "__module__": module.__name__,
    }
    pairs = {
        "StdlibTask_OurFuture_Tests": {"Task": _asyncio.Task, "Future": asyncio.Future},
        "OurTask_StdlibFuture_Tests": {"Task": asyncio.Task, "Future": _asyncio.Future},
    }
    for name, pair in pairs.items():
        setattr(module, name, type(name, (base, utils.TestCase), {**functions, **pair}))
