"""Runs random programs in hostile surroundings; a process of its own, since it may crash or hang.

    python tests/hostile/program.py FIRST_SEED COUNT [--each N] [--world WORLD] [--passes N] [-v]

Each seed draws N programs and, for each, the surroundings (settings.py) and what is done (deeds.py). Each program runs
in a child of its own. What went wrong, a crash or a hang too, is printed with the command line that repeats it (`--only
N` runs program N alone), and the exit status is 1.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import faulthandler
import gc
import json
import logging
import os
import random
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from hostile import checks, counts, programs, settings, wakers

import hasten

ADDR_NO_RANDOMIZE = 0x0040000  # of personality(2)
PATIENCE = 60.0  # seconds for one program: only a hang takes as long
MORE_PASSES = 4


@contextlib.contextmanager
def watched(patience: float) -> Iterator[None]:
    """Ends the process if this takes too long, and says what was waited for."""

    def bark() -> None:
        print("HANGS", flush=True)
        faulthandler.dump_traceback()
        for line in checks.what_waits():
            print(f"  {line}", flush=True)
        os._exit(3)

    faulthandler.dump_traceback_later(patience + 10, exit=True)  # if the lock is never given away
    dog = threading.Timer(patience, bark)
    dog.start()
    try:
        yield
    finally:
        dog.cancel()
        dog.join()
        faulthandler.cancel_dump_traceback_later()


def apart(run: Callable[[], int]) -> int:
    """Runs something in a child of its own, which finds everything as it is here, whatever ran before: so it can be
    repeated alone. How many things went wrong; a crash is one."""
    sys.stdout.flush()
    gc.collect()
    child = os.fork()
    if child == 0:
        wrong = 1
        try:
            wrong = run()
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(min(wrong, 100))
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status < 0:
        print(f"  WRONG: it crashed: {signal.Signals(-status).name}", flush=True)
    return 1 if status < 0 else status


def one_program(own: int, program: Any, setting: settings.Setting, options: Any) -> int:
    with watched(PATIENCE * options.patience):
        found, mischief = checks.run(own, program, setting)
    if options.verbose:
        print(f"  {program}\n  {mischief.trace}\n  {mischief.done}")
    for line in found:
        print(f"  WRONG: {line}")
    return len(found)


def one_seed(seed: int, options: Any, isolated: bool) -> int:
    rng = random.Random(seed)
    wrong = 0
    for number, program in enumerate(programs.programs(seed, options.each)):
        setting = settings.Setting.drawn(rng, options.world)
        run = partial(one_program, rng.getrandbits(64), program, setting, options)
        if options.only not in (None, number):
            continue
        print(f"seed {seed} program {number}: {setting}", flush=True)
        failed = apart(run) if isolated else run()
        if failed:
            print(
                f"  repeat it: {sys.executable} {__file__} {seed} 1 --each {options.each} --only {number} -v",
                flush=True,
            )
        wrong += failed
    return wrong


def flat(options: argparse.Namespace) -> int:
    """The same seeds again and again: neither objects nor references may get more, nor references less.

    What seems to change has a few more passes to come to rest: a leak goes on, what the interpreter keeps does not.
    """
    counts.count_all()
    passes: list[str] = []
    changed: dict[str, list[float]] = {}
    while len(passes) < options.passes or (changed and len(passes) < options.passes + MORE_PASSES):
        for seed in range(options.first, options.first + options.count):
            one_seed(seed, options, isolated=False)
        wakers.forget()
        passes.append(json.dumps(counts.taken()))  # as text: a dict of each pass would be counted with the next
        if len(passes) >= options.passes:
            last = [json.loads(each) for each in passes[-3:]]
            changed = counts.changed(last, options.count * options.each)
            del last
    if changed:
        print(f"WRONG: these change with each pass: {changed}")
    return len(changed)


def repeatable() -> None:
    """Begins anew, once, with hashes and addresses that are the same each time: the order in sets depends on them."""
    if os.environ.get("HASTEN_REPEATABLE"):
        return
    if sys.platform == "linux":
        ctypes.CDLL(None).personality(ADDR_NO_RANDOMIZE)
    os.execve(sys.executable, sys.orig_argv, {**os.environ, "PYTHONHASHSEED": "0", "HASTEN_REPEATABLE": "1"})


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("first", type=int)
    parser.add_argument("count", type=int)
    parser.add_argument("--each", type=int, default=20, help="programs a seed")
    parser.add_argument("--only", type=int)
    parser.add_argument("--world", choices=list(settings.WORLDS))
    parser.add_argument("--passes", type=int, default=0, help="0, or 3 and more")
    parser.add_argument("--patience", type=float, default=1.0)
    parser.add_argument("-v", "--verbose", action="store_true")
    options = parser.parse_args()
    repeatable()
    faulthandler.enable()
    for name in hasten.__all__:
        getattr(hasten, name)  # the rest is not imported in the midst of a program
    warnings.simplefilter("ignore")
    logging.getLogger("asyncio").addHandler(logging.NullHandler())
    if options.passes:
        wrong = flat(options)
    else:
        seeds = range(options.first, options.first + options.count)
        wrong = sum(apart(partial(one_seed, seed, options, isolated=True)) for seed in seeds)
    print("something went wrong" if wrong else "done", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
