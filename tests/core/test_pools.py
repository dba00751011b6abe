"""Free lists are off in debug and free-threaded builds and under sanitizers: all works without them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from hasten import compat

WITHOUT = """
import sys
from hasten.kernel import step
step.pool = lambda cls, limit: None
import asyncio, gc, hasten

async def child(value):
    await hasten.sleep(0)
    return value

async def main():
    loop = asyncio.get_running_loop()
    assert await hasten.Task(child(1), loop=loop) == 1
    assert await loop.create_task(child(2)) == 2
    assert await hasten.gather(child(3), hasten.wait_for(child(4), 10)) == [3, 4]
    async with hasten.timeout(10), hasten.TaskGroup() as group:
        group.create_task(child(5))
    future = loop.create_future()
    loop.call_later(0, future.set_result, 6)
    assert await future == 6
    for kind in (hasten.Queue, hasten.LifoQueue, hasten.PriorityQueue):
        queue = kind()
        queue.put_nowait(7)
        assert await queue.get() == 7
    for kind in (hasten.Lock, hasten.Semaphore, hasten.BoundedSemaphore):
        async with kind():
            pass
    return [await each for each in hasten.as_completed([child(8)])]

for kind in (hasten.Future, hasten.Task, hasten.Handle, hasten.TimerHandle, hasten.Timeout):
    class Derived(kind):
        pass
    assert type(Derived.__new__(Derived)) is Derived
assert hasten.run(main()) == [8]
gc.collect()
print("alive")
"""


def test_without_pools_everything_works() -> None:
    if not compat.compiled():
        pytest.skip("not compiled: there are no pools")
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, timeout=60)
    assert done.stdout == "alive\n", done.stderr
