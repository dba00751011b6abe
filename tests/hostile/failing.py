"""Judges the entries of entries.py.

python tests/hostile/failing.py hasten|asyncio POLLER [KIND]
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import logging
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from hostile import entries, entries_net, objects

import hasten


def reached(exc: Any, cause: BaseException) -> bool:
    """Is it what was raised, or made of it (of a StopIteration a RuntimeError, of a CancelledError another)?"""
    while exc is not None:
        if exc is cause:
            return True
        if type(cause) is asyncio.CancelledError and type(exc) is asyncio.CancelledError:
            return True
        if type(exc) is objects.Liar:
            return False
        exc = BaseException.__dict__["__cause__"].__get__(exc) or BaseException.__dict__["__context__"].__get__(exc)
    return False


def unheard(kind: str, cause: BaseException) -> bool:
    """Is there nobody to hear of it, by the rules of asyncio and Python?"""
    if issubclass(type(cause), asyncio.CancelledError):
        return kind in ("forgotten_task", "group", "generator")
    return issubclass(type(cause), GeneratorExit) and kind == "generator"


def judged(run: entries.Run, kind: Callable[[entries.Run], None]) -> list[str]:
    """What is wrong."""
    cause = run.cause
    run.loop.call_soon(kind, run)
    run.loop.call_soon(lambda: run.loop.call_soon(run.after.append, "next batch"))
    run.loop.call_soon(run.after.append, "same batch")
    run.go()
    gc.collect()
    run.go()
    wrong = []
    ends = issubclass(type(cause), entries.ENDS)
    heard = [*run.heard, *run.left_by]
    if run.failed == 0 and kind.__name__ != "forgotten_future":
        wrong.append("it never failed")
    elif not unheard(kind.__name__, cause) and not any(reached(each, cause) for each in heard):
        wrong.append(f"nobody heard of it, but of {[type(each) for each in heard]}")
    if any(not issubclass(type(each), entries.ENDS) for each in run.left_by):
        wrong.append(f"this left the loop: {[type(each) for each in run.left_by]}")
    if not ends and run.left_by:
        wrong.append("the loop was left")
    if run.after != ["same batch", "next batch"]:
        wrong.append(f"lost from the batch: {run.after}")
    return wrong


def main(namespace: str, poller: str, only: str | None = None) -> int:
    faulthandler.enable()
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    gc.collect()
    gc.freeze()  # what is there already need not be looked through again and again
    sys.unraisablehook = lambda info: None
    ns = {"hasten": hasten, "asyncio": asyncio}[namespace]
    total = 0
    for kind in entries.KINDS:
        for make in entries.CAUSES:
            if only not in (None, kind.__name__):
                continue
            print(f"{kind.__name__} {make.__name__}", flush=True)
            faulthandler.dump_traceback_later(20, exit=True)
            run = entries.Run(ns, poller, make())
            wrong = judged(run, kind)
            run.close()
            total += len(wrong)
            for line in wrong:
                print(f"  WRONG: {line}")
    faulthandler.cancel_dump_traceback_later()
    print("something went wrong" if total else "done")
    return 1 if total else 0


if __name__ == "__main__":
    assert entries_net
    sys.exit(main(*sys.argv[1:]))
