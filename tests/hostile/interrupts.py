"""Runs public calls and small programs again and again, each time with a signal at another point, whose handler raises.

    python tests/hostile/interrupts.py NAMESPACE HANDLER SHARE [NAME...]

NAMESPACE: hasten, or asyncio (to see whether a fault is asyncio's own). HANDLER: "interrupt" raises KeyboardInterrupt,
"error" an ordinary exception. SHARE: every how many'th point is tried (1: all). The scenes are those of nomemory.py and
those of interrupted*.py. After each: what was raised is heard of by somebody, nobody waits for what is done already,
what the scene says of itself holds, the loop works, and nothing is left open.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import gc
import logging
import os
import random
import signal
import sys
import threading
import traceback
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from hostile import (
    calls,
    calls_more,
    calls_net,
    calls_pipes,
    calls_sockets,
    interrupted,
    interrupted_net,
    interrupted_runs,
    striking,
    ticks,
    ticks_more,
)
from hostile.nomemory import round_trip

import hasten

PATIENCE = 20  # seconds for one try
LOSES = ("_popen",)  # where it comes as soon as subprocess.Popen() has returned: nobody has the child yet
TICKS = 20  # in which what can go on does
MOST = 25  # points of a scene that are tried of a sample, about
heard: list[Any] = []  # of what nobody waits for


def raise_error(signum: int, frame: Any) -> None:
    raise striking.Struck


HANDLERS = {"interrupt": signal.default_int_handler, "error": raise_error}


def is_told(exc: BaseException | None, seen: set[int]) -> bool:
    """True if it is what the handler raised, or comes of that."""
    if exc is None or id(exc) in seen:
        return False
    seen.add(id(exc))
    if isinstance(exc, (KeyboardInterrupt, striking.Struck)):
        return True
    if isinstance(exc, BaseExceptionGroup) and any(is_told(each, seen) for each in exc.exceptions):
        return True
    return is_told(exc.__cause__, seen) or is_told(exc.__context__, seen)


def new_loop(ns: Any) -> Any:
    loop = ns.new_event_loop()
    loop.set_exception_handler(lambda loop, context: heard.append(context.get("exception")))
    return loop


def threads() -> set[str]:
    return {
        each.name for each in threading.enumerate() if not each.name.startswith(("asyncio", "hasten-dns", "ThreadPool"))
    }


class Try:
    """One run of a scene, with a signal at one point."""

    def __init__(self, ns: Any, loop: Any, name: str, at: int) -> None:
        self.ns = ns
        self.loop = loop
        self.name = name
        self.strike = striking.Strike(at)
        self.left_by: list[BaseException] = []
        self.wrong: list[str] = []
        self.it: Any = None

    def run(self) -> None:
        scene = interrupted.SCENES.get(self.name)
        try:
            if scene is not None:
                self.run_program(scene)
            elif self.name in interrupted_runs.CALLS:
                self.it = interrupted.It(self.ns, self.loop)
                self.struck(lambda: interrupted_runs.CALLS[self.name](self.it))
            elif self.name in calls.OUTSIDE:
                call = calls.OUTSIDE[self.name](self.ns, self.loop)
                self.struck(call)
            else:
                self.loop.call_soon(self.inside)
                self.ticks(3, None)
        finally:
            self.strike.stop()

    def inside(self) -> None:
        call = calls.INSIDE[self.name](self.ns, self.loop)
        self.strike.start()
        call()

    def run_program(self, scene: Any) -> None:
        self.it = it = interrupted.It(self.ns, self.loop)
        self.struck(lambda: setattr(it, "main", self.loop.create_task(scene(it), name="main")))
        for _ in range(9):  # the tasks that it ends, and those that wait for them
            if it.main is None or it.main.done():
                break
            before = len(self.left_by)
            self.struck(lambda: self.loop.run_until_complete(self.ended(it)))
            if len(self.left_by) == before:
                break
        if it.main is not None and not it.main.done():
            self.wrong.append(f"main does not end: {it.main!r}")
        if it.main is not None and it.main.done() and not it.main.cancelled() and it.main.exception() is not None:
            exc = it.main.exception()
            if not is_told(exc, set()):
                self.wrong.append("main failed: " + "".join(traceback.format_exception(exc)).replace("\n", "\n    "))
            heard.append(exc)

    async def ended(self, it: Any) -> None:
        await self.ns.wait([it.main], timeout=4 * interrupted.LONG)

    def struck(self, call: Any) -> None:
        self.strike.start()
        try:
            call()
        except BaseException as exc:
            self.strike.stop()
            self.left_by.append(exc)
            if not is_told(exc, set()):
                what = "".join(traceback.format_exception(exc)).replace("\n", "\n    ")
                self.wrong.append(f"this came: {what}")
        finally:
            self.strike.stop()

    def ticks(self, n: int, where: str | None) -> None:
        for _ in range(n):
            self.loop.call_soon(self.loop.stop)
            try:
                self.loop.run_forever()
            except BaseException as exc:
                self.left_by.append(exc)
                if where == "at the end" or not is_told(exc, set()):
                    self.wrong.append(f"{exc!r} came {where or 'out of the loop'}")

    def judge(self) -> None:
        """Whatever can go on does; then all is told to end."""
        self.ticks(TICKS, "later")
        tasks = self.ns.all_tasks(self.loop)
        for task in tasks:
            waits_for = getattr(task, "_fut_waiter", None)
            if waits_for is None or waits_for.done():
                self.wrong.append(f"is not woken: {task!r}")
        if self.it is not None:
            self.wrong += self.it.checked()
        for task in tasks:
            task.cancel()
        del tasks
        self.ticks(TICKS, "at the end")
        for task in self.ns.all_tasks(self.loop):
            self.wrong.append(f"does not end: {task!r}")
        if self.it is not None:
            self.wrong += self.it.ended()
            self.it.tidy()
            self.it = None
        if calls_net.AFTER:
            try:
                calls_net.tidy()
            except BaseException as exc:
                calls_net.AFTER.clear()
                self.wrong.append(f"afterwards: {exc!r}")
        if self.loop.is_running() or asyncio._get_running_loop() is not None:
            self.wrong.append("the loop runs still")
            asyncio._set_running_loop(None)
        try:
            self.loop.run_until_complete(round_trip(self.ns, self.loop))
        except BaseException as exc:
            self.wrong.append(f"the loop does not work: {exc!r}")
        gc.collect()
        if handler == "error" or self.name in interrupted_runs.MAY_HIDE:
            return  # a task keeps it as its outcome, and some texts are made in spite of errors
        if self.strike.hit and not any(is_told(each, set()) for each in [*self.left_by, *heard]):
            self.wrong.append("nobody heard of it")


def one(ns: Any, name: str, share: int, verbose: bool) -> tuple[int, int]:
    """Number of points, and of faults."""
    rng = random.Random(name)
    loop = new_loop(ns)
    wrong = tried = points = 0
    told: Counter[str] = Counter()
    fds: Any = None
    before: Any = None
    at = 0
    turns = 0
    while True:
        turns += 1
        if turns > 3:  # until then: what is made at the first call is made, and the interpreter's own tracing is warm
            each = share if share == 1 else max(share, points // MOST)
            at += 1 if each == 1 else rng.randint(1, 2 * each - 1)
        faulthandler.dump_traceback_later(PATIENCE, exit=True)
        print(f"{name} {at}", end="\r" if sys.stdout.isatty() else "\n", flush=True)
        heard.clear()
        signal.signal(signal.SIGINT, HANDLERS[handler])
        it = Try(ns, loop, name, at)
        it.run()
        it.judge()
        if signal.getsignal(signal.SIGINT) is not HANDLERS[handler]:
            it.wrong.append(f"SIGINT's handler is {signal.getsignal(signal.SIGINT)}")
        heard.clear()
        found, strike = it.wrong, it.strike
        del it
        gc.collect()
        left = calls_net.descriptors(), threads()
        for _ in range(20):  # a child takes its time to end
            if turns <= 3 or not (left[0] - fds or left[1] - before):
                break
            with contextlib.suppress(BaseException):
                loop.run_until_complete(ns.sleep(0.02))
            gc.collect()
            left = calls_net.descriptors(), threads()
        if turns <= 3:
            fds, before = left
            points = strike.points
        else:
            if left[0] - fds and not strike.where.split("+")[0].endswith(LOSES):
                found.append(f"left open: {calls_net.shown(left[0] - fds)}")
            fds = left[0]
            if left[1] - before:
                found.append(f"threads: {left[1] - before}")
                before = left[1]
        if found and (strike.hit or at == 0):
            for what in found:
                wrong += 1
                told[key := what.splitlines()[0][:20] + strike.where.split(" ")[-1].split("+")[0]] += 1
                if verbose or told[key] <= 1:
                    print(f"WRONG: {name} {at} at {strike.where}:\n    {what}", flush=True)
        if found:
            with contextlib.suppress(BaseException):
                loop.close()
            asyncio._set_running_loop(None)
            loop = new_loop(ns)
            gc.collect()
            fds = calls_net.descriptors()
        if at:
            if not strike.hit:
                break
            tried += 1
    faulthandler.cancel_dump_traceback_later()
    print(f"{name}: {points} points, {tried} tried, {wrong} wrong", flush=True)
    loop.close()
    del loop
    gc.collect()
    return tried, wrong


handler = "interrupt"


def names() -> list[str]:
    return [*interrupted.SCENES, *interrupted_runs.CALLS, *calls.INSIDE, *calls.OUTSIDE]


def main(namespace: str, which: str, share: str, *chosen: str) -> int:
    global handler
    handler = which
    faulthandler.enable()
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    sys.unraisablehook = lambda info: heard.append(info.exc_value)
    threading.excepthook = lambda args: None
    ns = {"hasten": hasten, "asyncio": asyncio}[namespace]
    gc.disable()  # what a handler raises in the middle of it is lost
    for name in hasten.__all__:
        getattr(hasten, name)
    gc.collect()
    gc.freeze()
    tried = wrong = 0
    for name in chosen or names():
        if name == "runner" and which == "error":
            continue  # it asks whether the handler is the usual one
        more = one(ns, name, int(share), os.environ.get("VERBOSE") == "1")
        tried += more[0]
        wrong += more[1]
    print(f"{tried} points, {wrong} wrong")
    print("something went wrong" if wrong else "done", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    assert all((interrupted_net, ticks, calls_more, calls_net, calls_pipes, calls_sockets, ticks_more))
    if sys.argv[1:] == ["names"]:
        print(*names())
    else:
        sys.exit(main(*sys.argv[1:]))
