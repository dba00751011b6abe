"""Reference counts of which the upper half is in use.

An extension built for the limited API of 3.11 or older knows of no immortal objects, and counts over all 64 bits: after
it took a reference, an immortal object's lower half is 0 and the upper half 1. Whoever reads the lower half alone takes
the object for one with hardly a reference, and frees it.

And references that are let go of although they were never taken, where memory gives out.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import subprocess
import sys

import pytest

PROGRAM = """
import asyncio, ctypes, gc, sys, hasten

UPPER = 1 << 32

class Thing:
    pass

def count(obj):
    return ctypes.c_uint64.from_address(id(obj))

async def nothing(thing):
    await asyncio.sleep(0)
    return thing

def raises(thing):
    raise RuntimeError(thing)

async def use(thing):
    loop = asyncio.get_running_loop()
    for _ in range(100):
        loop.call_soon(id, thing)
        loop.call_later(0, id, thing)
        fut = loop.create_future()
        fut.add_done_callback(id)
        fut.set_result(thing)
        assert await fut is thing
        queue = hasten.Queue()
        queue.put_nowait(thing)
        assert await queue.get() is thing
        assert await hasten.create_task(nothing(thing)) is thing
        assert await hasten.wait_for(nothing(thing), 10) is thing
        assert await hasten.gather(nothing(thing), hasten.sleep(0, thing)) == [thing, thing]
        failed = loop.create_future()
        failed.set_exception(kind)
        try:
            await failed
        except kind:
            pass
        await hasten.sleep(0)

def main():
    thing.attribute = 1
    with hasten.Runner() as runner:
        runner.run(use(thing))
    gc.collect()

thing = Thing()
kind = RuntimeError if len(sys.argv) > 1 else type("Mine", (Exception,), {})
objects = [thing, kind]
before = []
for each in objects:
    n = count(each)
    # what such an extension makes of an immortal object by Py_INCREF; an ordinary one gets as many references
    n.value += 1 if n.value & 0xFFFFFFFF == 0xFFFFFFFF else UPPER
    before.append(n.value)
main()
after = [count(each).value for each in objects]
for was, now in zip(before, after):
    assert now >> 32 == was >> 32 == 1, (hex(was), hex(now))
    assert -40 < now - was < 1000, (hex(was), hex(now))
print("alive", thing.attribute)
for each in objects:
    n = count(each)
    n.value -= 1 if each is RuntimeError else UPPER
"""


HALVES = (3, 12) <= sys.version_info < (3, 14) and ctypes.sizeof(ctypes.c_void_p) == 8


def said(program: str, *args: str, **variables: str) -> str:
    """What a program says in a process of its own, where it may crash."""
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", program, *args],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(
    not HALVES or hasattr(sys, "gettotalrefcount"),
    reason="only there have 64-bit counts an upper half that means nothing by itself",
)
@pytest.mark.parametrize("args", [[], ["immortal"]])
def test_the_upper_half_stays(args: list[str]) -> None:
    assert said(PROGRAM, *args) == "alive 1\n"


KEYWORDS = """
import _testcapi, hasten

class Mine(hasten.Future):
    pass

def initialize(**more):
    hasten.Future.__new__(hasten.Future).__init__(**more)

held = []
for call in (initialize, hasten.Future, Mine, hasten.Handle, hasten.Task):
    for n in range(20):
        held += [(i, i, i, i, i, i, i) for i in range(3000)]  # no such tuple is left for the names of the keywords
        try:
            _testcapi.set_nomemory(n, n + 1)
            try:
                call(a=1, b=2, c=3, d=4, e=5, f=6, g=7)
            finally:
                _testcapi.remove_mem_hooks()
        except (MemoryError, TypeError):
            pass
print("done")
"""


@pytest.mark.skipif(importlib.util.find_spec("_testcapi") is None, reason="needs _testcapi, which lets memory fail")
def test_keywords_whose_names_there_is_no_memory_for() -> None:
    """What is let go of then is what was taken, not what was in the memory before: here, an address that is none."""
    assert said(KEYWORDS, PYTHONMALLOC="debug") == "done\n"
