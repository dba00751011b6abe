"""Asynchronous generators that were started: closed when they are dropped, or at shutdown."""

from __future__ import annotations

import sys
import warnings
import weakref
from collections.abc import AsyncGenerator
from functools import partial
from typing import Any


class AsyncGenerators:
    """The asynchronous generators of one loop. The interpreter's hooks call it while the loop runs.

    The hooks know the loop, and generators know the hooks. A loop knows neither: that would be a circle.
    """

    def __init__(self) -> None:
        # made for the first generator: most loops have none, and CPython 3.13.0 crashes if it has no memory to make it
        self._alive: weakref.WeakSet[Any] | None = None
        self._shut_down = False

    def hook(self, loop: Any) -> None:
        """Set the interpreter's hooks."""
        sys.set_asyncgen_hooks(firstiter=partial(self._first, loop), finalizer=partial(self._finalize, loop))

    def _first(self, loop: Any, agen: AsyncGenerator[Any, Any]) -> None:
        if self._shut_down:
            warnings.warn(
                f"asynchronous generator {agen!r} was scheduled after loop.shutdown_asyncgens() call",
                ResourceWarning,
                source=loop,
                stacklevel=2,
            )
        if self._alive is None:
            self._alive = weakref.WeakSet()
        self._alive.add(agen)

    def _finalize(self, loop: Any, agen: AsyncGenerator[Any, Any]) -> None:
        # the garbage collector may run in any thread
        if self._alive is not None:
            self._alive.discard(agen)
        if not loop.is_closed():
            loop.call_soon_threadsafe(loop.create_task, agen.aclose())

    async def shut_down(self, loop: Any) -> None:
        """Close all that are left; report what goes wrong to the loop's exception handler."""
        self._shut_down = True
        alive, self._alive = self._alive, None
        closing = list(alive or ())
        if not closing:
            return
        from hasten.primitives.gathering import gather  # only now: most programs leave none

        results = await gather(*[agen.aclose() for agen in closing], return_exceptions=True)
        for result, agen in zip(results, closing, strict=True):
            if isinstance(result, Exception):
                loop.call_exception_handler(
                    {
                        "message": f"an error occurred during closing of asynchronous generator {agen!r}",
                        "exception": result,
                        "asyncgen": agen,
                    }
                )
