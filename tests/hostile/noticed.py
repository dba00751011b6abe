"""What is scheduled from a place between two ticks is noticed in the next one.

    python tests/hostile/noticed.py POLLER

For each place (wakers.py) and each way to make work: the loop has nothing to do, the work is made there, and has to be
done before a guard timer comes. Prints what slept, and "done".
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import logging
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from hostile import wakers

import hasten

GUARD = 5.0  # seconds
Notice = Callable[[], None]


def call_soon(loop: Any, end: Notice) -> Notice:
    return lambda: loop.call_soon(end)


def call_later(loop: Any, end: Notice) -> Notice:
    return lambda: loop.call_later(0, end)


def call_at_soon(loop: Any, end: Notice) -> Notice:
    return lambda: loop.call_at(loop.time() + 1e-3, end)


def stop(loop: Any, end: Notice) -> Notice:
    return loop.stop


def set_result(loop: Any, end: Notice) -> Notice:
    future = loop.create_future()

    async def wait() -> None:
        await future
        end()

    loop.create_task(wait())
    return lambda: future.set_result(None)


def done_callback(loop: Any, end: Notice) -> Notice:
    future = loop.create_future()
    future.add_done_callback(lambda future: end())
    return lambda: future.set_exception(ValueError) or future.exception()


def cancel(loop: Any, end: Notice) -> Notice:
    async def wait() -> None:
        try:
            await loop.create_future()
        finally:
            end()

    task = loop.create_task(wait())
    return task.cancel


def create_task(loop: Any, end: Notice) -> Notice:
    async def run() -> None:
        end()

    return lambda: loop.create_task(run())


def event(loop: Any, end: Notice) -> Notice:
    happens = hasten.Event()

    async def wait() -> None:
        await happens.wait()
        end()

    loop.create_task(wait())
    return happens.set


def threadsafe(loop: Any, end: Notice) -> Notice:
    """From another thread, which is at it while this one has given the interpreter's lock away."""

    def notice() -> None:
        thread = threading.Thread(target=loop.call_soon_threadsafe, args=(end,))
        thread.start()
        thread.join()

    return notice


def add_reader(loop: Any, end: Notice) -> Notice:
    one, other = socket.socketpair()
    other.send(b"x")

    def readable() -> None:
        loop.remove_reader(one)
        one.close()
        other.close()
        end()

    return lambda: loop.add_reader(one, readable)


def run_signal_handler(loop: Any, end: Notice) -> Notice:
    def handler() -> None:
        loop.remove_signal_handler(signal.SIGUSR1)
        end()

    loop.add_signal_handler(signal.SIGUSR1, handler)
    return lambda: signal.raise_signal(signal.SIGUSR1)


WORK: list[Callable[[Any, Notice], Notice]] = [
    *(call_soon, call_later, call_at_soon, stop, set_result, done_callback, cancel, create_task, event),
    *(threadsafe, add_reader, run_signal_handler),
]


def ended_in_time(poller: str, place: Callable[[Any, Notice], None], work: Callable[[Any, Notice], Notice]) -> bool:
    lapsed = []

    def lapse() -> None:
        lapsed.append(True)
        loop.stop()

    loop: Any = asyncio.SelectorEventLoop() if poller == "stock" else hasten.new_event_loop(poller)
    loop.set_exception_handler(lambda loop, context: None)
    made = work(loop, loop.stop)
    loop.call_soon(loop.stop)
    loop.run_forever()  # who is to wait waits
    called: list[bool] = []

    def notice() -> None:
        called.append(True)
        made()

    loop.call_soon(place, loop, notice)
    guard = loop.call_later(GUARD, lapse)
    loop.run_forever()
    guard.cancel()
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.call_soon(loop.stop)
    loop.run_forever()
    for thread in threading.enumerate():
        if thread is not threading.main_thread():
            thread.join()
    loop.close()
    if not called:
        print(f"{place.__name__} was never called")
    return not lapsed


def main(poller: str) -> int:
    faulthandler.enable()
    faulthandler.dump_traceback_later(200, exit=True)
    logging.disable(logging.CRITICAL)
    gc.disable()  # it comes when a place says so
    slept = 0
    for place in wakers.PLACES:
        for work in WORK:
            if not ended_in_time(poller, place, work):
                slept += 1
                print(f"slept: {work.__name__} in {place.__name__}", flush=True)
                if slept == 10:
                    print("and so on")
                    return 1
    print("something slept" if slept else "done")
    return 1 if slept else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
