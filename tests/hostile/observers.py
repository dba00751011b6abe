"""Observers that do harm in the middle of what they are told: they raise, attach and detach themselves and others, run
the loop, close it, cancel, collect garbage, start threads with loops of their own, and fork.

    python observers.py FIRST COUNT

FIRST, COUNT: seeds. Prints "done" at the end; that nothing crashes, hangs, or stays attached is what is looked at.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import gc
import logging
import os
import random
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any

import hasten
from hasten.core import observing
from hasten.core.probe import Observer

PATIENCE = 120.0  # seconds for a seed
MOST = 20  # observers


class Failure(Exception):
    pass


class World:
    """What one seed makes."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.observers: list[Observer] = []
        self.tasks: list[asyncio.Task[Any]] = []

    def attach(self, loop: Any) -> None:
        if len(self.observers) < MOST:
            self.observers.append(Evil(self, self.rng.random() < 0.8))
            observing.attach(self.observers[-1], loop)

    async def work(self, rounds: int) -> None:
        for _ in range(rounds):
            try:
                await self.wait_somehow()
            except (Exception, asyncio.CancelledError):
                pass

    async def wait_somehow(self) -> None:
        loop, kind = hasten.get_running_loop(), self.rng.randrange(6)
        if kind == 0:
            await asyncio.sleep(0)
        elif kind == 1:
            await asyncio.sleep(self.rng.random() * 0.001)
        elif kind == 2:
            await hasten.gather(*[hasten.sleep(0) for _ in range(3)])
        elif kind == 3:
            async with hasten.TaskGroup() as group:
                group.create_task(hasten.sleep(0))
                group.create_task(hasten.sleep(0))
        elif kind == 4:
            await hasten.wait_for(hasten.sleep(0.0005), 0.0003)
        else:
            fut = loop.create_future()
            loop.call_soon(fut.cancel)
            await fut


class Evil(Observer):
    """Does something in one of twenty events."""

    def __init__(self, world: World, detailed: bool) -> None:
        self.world = world
        self.detailed = detailed

    def act(self, loop: Any) -> None:
        if self.world.rng.random() < 0.05:
            deed = self.world.rng.choice(DEEDS if loop is not None else DEEDS_WITHOUT_A_LOOP)
            deed(self, self.world, loop)

    def loop_begins(self, loop: Any) -> None:
        self.act(loop)

    def loop_ends(self, loop: Any) -> None:
        self.act(loop)

    def poll_begins(self, loop: Any, timeout: float) -> None:
        self.act(loop)

    def poll_ends(self, loop: Any, now: float) -> None:
        self.act(loop)

    def batch_begins(self, loop: Any, count: int) -> None:
        self.act(loop)

    def batch_ends(self, loop: Any) -> None:
        self.act(loop)

    def task_made(self, task: Any) -> None:
        self.act(task.get_loop())

    def task_parked(self, task: Any, future: Any) -> None:
        self.act(task.get_loop())

    def task_woken(self, task: Any, future: Any) -> None:
        if self.world.rng.random() < 0.02:
            future.cancel()
        self.act(task.get_loop())

    def task_ended(self, task: Any) -> None:
        self.act(task.get_loop())

    def step_begins(self, task: Any) -> None:
        if self.world.rng.random() < 0.02:
            task.cancel()
        self.act(task.get_loop())

    def step_ends(self, task: Any) -> None:
        self.act(task.get_loop())

    def callback_begins(self, entry: Any) -> None:
        self.act(None)

    def callback_ends(self, entry: Any) -> None:
        self.act(None)


# ---- deeds ---------------------------------------------------------------------------------


def fail(self: Evil, world: World, loop: Any) -> None:
    raise Failure


def interrupt(self: Evil, world: World, loop: Any) -> None:
    if world.rng.random() < 0.1:
        raise KeyboardInterrupt


def detach_itself(self: Evil, world: World, loop: Any) -> None:
    observing.detach(self, loop)
    observing.detach(self)


def detach_another(self: Evil, world: World, loop: Any) -> None:
    observing.detach(world.rng.choice(world.observers), world.rng.choice([loop, None]))


def attach_another(self: Evil, world: World, loop: Any) -> None:
    world.attach(world.rng.choice([loop, None]))


def change_the_list(self: Evil, world: World, loop: Any) -> None:
    observing.observers_of(loop).append(None)  # type: ignore[arg-type]


def be_detailed_or_not(self: Evil, world: World, loop: Any) -> None:
    self.detailed = not self.detailed


def collect(self: Evil, world: World, loop: Any) -> None:
    if world.rng.random() < 0.2:
        gc.collect()


def schedule(self: Evil, world: World, loop: Any) -> None:
    loop.call_soon(int)
    loop.call_later(world.rng.random() * 0.001, int)


def make_a_task(self: Evil, world: World, loop: Any) -> None:
    world.tasks.append(loop.create_task(world.work(2)))


def cancel_a_task(self: Evil, world: World, loop: Any) -> None:
    if world.tasks:
        world.rng.choice(world.tasks).cancel()


def run_the_loop(self: Evil, world: World, loop: Any) -> None:
    with contextlib.suppress(RuntimeError):
        loop.run_until_complete(loop.create_task(asyncio.sleep(0)))


def close_the_loop(self: Evil, world: World, loop: Any) -> None:
    with contextlib.suppress(RuntimeError):
        loop.close()


def tick(self: Evil, world: World, loop: Any) -> None:
    if len(loop._ready):  # else it would sleep
        loop._run_once()


def stop(self: Evil, world: World, loop: Any) -> None:
    if world.rng.random() < 0.2:
        loop.stop()


def debug_or_not(self: Evil, world: World, loop: Any) -> None:
    loop.set_debug(world.rng.random() < 0.5)


def run_another_loop(self: Evil, world: World, loop: Any) -> None:
    other = hasten.new_event_loop()
    try:
        with contextlib.suppress(RuntimeError):
            other.run_until_complete(other.create_task(asyncio.sleep(0)))
    finally:
        other.close()


def run_in_a_thread(self: Evil, world: World, loop: Any) -> None:
    def run() -> None:
        with contextlib.suppress(BaseException):
            hasten.run(world.work(2))

    if threading.current_thread() is threading.main_thread():
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()


def fork(self: Evil, world: World, loop: Any) -> None:
    if world.rng.random() < 0.1 and hasattr(os, "fork"):
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)


DEEDS_WITHOUT_A_LOOP: list[Callable[[Evil, World, Any], None]] = [
    *(fail, interrupt, detach_another, attach_another, be_detailed_or_not, collect, cancel_a_task),
    *(run_in_a_thread, fork),
]
DEEDS: list[Callable[[Evil, World, Any], None]] = [
    *DEEDS_WITHOUT_A_LOOP,
    *(detach_itself, change_the_list, schedule, make_a_task, close_the_loop, tick, stop, debug_or_not),
    *(run_the_loop, run_another_loop),
]


def world_of(seed: int) -> None:
    world = World(seed)
    for _ in range(3):
        world.attach(None)
    for _ in range(4):
        with contextlib.suppress(Exception, asyncio.CancelledError, KeyboardInterrupt):
            hasten.run(hasten.wait_for(world.work(40), 5), debug=world.rng.random() < 0.3)
    for observer in world.observers:
        observing.detach(observer)
    assert observing.everywhere == [], observing.everywhere
    assert observing.running == [], observing.running


def main(first: int, count: int) -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    for seed in range(first, first + count):
        faulthandler.dump_traceback_later(PATIENCE, exit=True)
        world_of(seed)
    print("done")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
