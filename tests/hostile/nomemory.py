"""Runs a public call again and again, each time with another of its allocations failing.

    python tests/hostile/nomemory.py NAMESPACE NAME...

NAMESPACE: hasten, or asyncio (to see whether a fault is the interpreter's own). For each name of calls.py the n-th
allocation fails, n = 0, 1, 2, …, until the call was over before its n-th allocation, several times on end. It may raise
MemoryError; and the loop has to work afterwards. Before each try its number is printed, so that the last line tells
where it crashed.
"""

from __future__ import annotations

import _testcapi
import asyncio
import contextlib
import faulthandler
import gc
import logging
import signal
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from hostile import calls, calls_more, calls_net, calls_pipes, calls_sockets, ticks, ticks_more

import hasten

ROOT = Path(__file__).parents[2]
MOST = 3000  # allocations of a call
LARGE = [5000] * 30  # bytes: such objects come from no free list
ENOUGH = 4  # tries on end in which nothing failed: the call has no more allocations than that
PATIENCE = 30  # seconds for one try
LOSES = {"net_sock_accept_connect"}  # socket.accept() itself loses a descriptor if there is no memory for its object


missed = 0  # tries on end in which the call was over before its turn came to fail


def fails_at(n: int, call: calls.Call) -> BaseException | None:
    """What the call raises when its allocation number `n` fails."""
    global missed
    try:
        _testcapi.set_nomemory(n, n + 1)
        try:
            call()
        finally:
            try:
                for size in LARGE:  # if none has failed yet, one of these does
                    bytes(size)
                missed = 0
            except MemoryError:
                missed += 1
            finally:
                _testcapi.remove_mem_hooks()
    except BaseException as exc:
        return exc
    return None


def forgotten_by_the_interpreter(exc: SystemError) -> bool:
    """CPython loses an exception when it has no memory for the frame that it unwinds, or for a KeyError of its own; in
    3.15 it forgets to look whether an exception could be made."""
    if "hasten." not in str(exc) and str(exc).endswith(
        ("without setting an exception", "error return without exception set", "a result with an exception set")
    ):
        frames = traceback.extract_tb(exc.__traceback__)
        # entries that compiled code has made have paths relative to where it was built
        if str(exc).startswith("<function socket."):  # a method of the socket module's, in Python, which we have called
            return True
        return "coroutine" in str(exc) or (frames and not frames[-1].filename.startswith("src"))
    return False


heard: list[Any] = []  # of what nobody waits for


def expected(exc: BaseException | None) -> bool:
    """A MemoryError, by itself, in a group, or as the reason of another; or a lost wake-up or connection of which
    somebody is told."""
    if isinstance(exc, (ticks.Stuck, ConnectionError)):
        gc.collect()  # a task whose exception nobody has asked for tells it when it goes
        return any(isinstance(each, MemoryError) for each in heard)
    if exc is None or isinstance(exc, MemoryError) or str(exc) == "can't allocate lock":
        return True
    if isinstance(exc, SystemError):
        return forgotten_by_the_interpreter(exc)
    if isinstance(exc, BaseExceptionGroup):
        return all(expected(each) for each in exc.exceptions)
    reason = exc.__cause__ or exc.__context__
    return reason is not None and isinstance(exc, (RuntimeError, ImportError, OSError)) and expected(reason)


def places(exc: BaseException | None) -> list[str]:
    """Where it was raised, and what the former exceptions of the chain were."""
    found = []
    while exc is not None:
        found += [f"\n  {each.filename}:{each.lineno} {each.line}" for each in traceback.extract_tb(exc.__traceback__)]
        exc = exc.__cause__ or exc.__context__
        if exc is not None:
            found.append(f"\n after {exc!r}")
    return found


def tick(loop: Any) -> None:
    loop.call_soon(loop.stop)
    loop.run_forever()


async def round_trip(ns: Any, loop: Any) -> None:
    """Everything still works."""
    queue = ns.Queue(1)

    async def put() -> None:
        for i in range(3):
            await queue.put(i)

    putting = ns.create_task(put())
    assert [await queue.get() for _ in range(3)] == [0, 1, 2]
    await putting
    later = loop.create_future()
    loop.call_later(0, later.set_result, "later")
    assert await ns.wait_for(later, 5) == "later"
    assert ns.current_task() in ns.all_tasks()


def clean(ns: Any, loop: Any) -> None:
    calls_net.tidy()
    for task in ns.all_tasks(loop):
        task.cancel()
    for _ in range(3):
        tick(loop)
    loop.run_until_complete(round_trip(ns, loop))


def tried(ns: Any, loop: Any, name: str, n: int) -> BaseException | None:
    """One try."""
    if name in calls.OUTSIDE:
        return fails_at(n, calls.OUTSIDE[name](ns, loop))
    outcome: list[BaseException | None] = []

    def attempt() -> None:
        outcome.append(fails_at(n, calls.INSIDE[name](ns, loop)))

    loop.call_soon(attempt)
    tick(loop)
    return outcome[0]


def one(ns: Any, name: str) -> int:
    loop = ns.new_event_loop()
    loop.set_exception_handler(lambda loop, context: heard.append(context.get("exception")))
    for _ in range(2):  # what is made at the first call is there: a lack of memory while something is imported is
        tried(ns, loop, name, MOST * 100)  # the interpreter's matter
        clean(ns, loop)
    global missed
    gc.collect()
    fds = calls_net.descriptors()
    wrong = failures = missed = 0
    for n in range(MOST):
        print(f"{name} {n}", flush=True)
        signal.alarm(PATIENCE)
        heard.clear()
        exc = tried(ns, loop, name, n)
        failures += exc is not None
        if not expected(exc):
            wrong += 1
            print(f"WRONG: {name} {n} raised {exc!r}", *places(exc))
        del exc
        try:
            clean(ns, loop)
        except BaseException as exc:
            wrong += 1
            print(f"WRONG: after {name} {n}: {exc!r}", *places(exc))
            calls_net.AFTER.clear()
            asyncio._set_running_loop(None)
            with contextlib.suppress(BaseException):
                loop.close()
            loop = ns.new_event_loop()
            loop.set_exception_handler(lambda loop, context: heard.append(context.get("exception")))
        signal.alarm(0)
        heard.clear()
        gc.collect()  # the interpreter has sixteen MemoryErrors; the next ones are one, whose traceback only grows
        if name.startswith("net_") and name not in LOSES and (left := calls_net.descriptors()) != fds:
            wrong += 1
            print(f"WRONG: after {name} {n} {len(left - fds)} file descriptors are open", *calls_net.shown(left - fds))
            fds = left
        if missed >= ENOUGH:
            break
    else:
        wrong += 1
        print(f"WRONG: {name} has more allocations than {MOST}")
    print(f"{name}: {failures} failures")
    loop.close()
    gc.collect()
    return wrong


def main(namespace: str, names: list[str]) -> int:
    faulthandler.enable()
    # Not dump_traceback_later(): it begins a thread, and the hooks must not be put in while a thread asks for memory.
    faulthandler.register(signal.SIGALRM, chain=True)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job begins with none
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    sys.unraisablehook = lambda info: heard.append(info.exc_value)
    ns = {"hasten": hasten, "asyncio": asyncio}[namespace]
    gc.disable()
    for name in hasten.__all__:
        getattr(hasten, name)
    gc.collect()
    gc.freeze()  # what is there already need not be looked through again and again
    wrong = sum(one(ns, name) for name in names)
    print("something went wrong" if wrong else "done", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    assert all((ticks, calls_more, calls_net, calls_pipes, calls_sockets, ticks_more))
    if sys.argv[2:] == ["names"]:
        print(*calls.INSIDE, *calls.OUTSIDE)
    else:
        sys.exit(main(sys.argv[1], sys.argv[2:] or [*calls.INSIDE, *calls.OUTSIDE]))
