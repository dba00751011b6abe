"""LoopBound: what locks and queues have in common."""

from __future__ import annotations

import threading
from typing import Any

import cython

from hasten.core import advice, native
from hasten.kernel import functions, step

_binding = threading.Lock()


@cython.cclass
class LoopBound:
    """The base of what belongs to the first loop that it has to wait on, and to no other from then on."""

    _loop: Any

    def _get_loop(self) -> Any:
        """Return the running loop. Raises RuntimeError if none runs, or if this object belongs to another one."""
        return self.bound_loop()

    def bound_loop(self) -> Any:
        loop = native.running()
        if self._loop is not loop:
            with _binding:  # loops of two threads may come here at once: one gets it, the other is told
                if self._loop is None:
                    self._loop = loop
            if self._loop is not loop:
                raise advice.add(RuntimeError(f"{self!r} is bound to a different event loop"), advice.TWO_LOOPS)
        return loop

    def __dealloc__(self) -> None:
        step.drop_attributes(self)

    def _describe(self, state: str, waiters: Any) -> str:
        extra = f"{state}, waiters:{len(waiters)}" if waiters else state
        return f"<{object.__repr__(self)[1:-1]} [{extra}]>"


step.lazy_attributes(LoopBound)
functions.share(LoopBound, None)
