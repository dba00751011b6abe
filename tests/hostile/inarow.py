"""Several allocations on end fail: that of an exception, and then that of its entry in a traceback.

python tests/hostile/inarow.py
"""

from __future__ import annotations

import _testcapi
import asyncio
import faulthandler
import gc
import sys

import hasten

TRIES = 12


def attempt(future: asyncio.Future[None], n: int) -> None:
    sys._getframe()  # made now
    try:
        _testcapi.set_nomemory(n, n + 3)
        try:
            future.result()
        finally:
            _testcapi.remove_mem_hooks()
    except (asyncio.CancelledError, MemoryError):
        return
    raise AssertionError("it gave a result")


def main() -> None:
    faulthandler.enable()
    loop = hasten.new_event_loop()
    futures = [loop.create_future() for _ in range(TRIES)]
    for future in futures:
        future.cancel("message")
    gc.disable()
    for n, future in enumerate(futures):
        attempt(future, n)
    loop.close()
    print("done")


if __name__ == "__main__":
    main()
