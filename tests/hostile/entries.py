"""Every kind of entry of a batch, failing on purpose.

For each kind of entry (a function below) and each exception (CAUSES): somebody hears of it, what stood behind it in the
batch runs, and the loop goes on; after KeyboardInterrupt and SystemExit, which leave run_forever(), when it is run
again. failing.py judges that.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import signal
import socket
import threading
from collections.abc import Callable
from typing import Any

import hasten

from . import objects

Fail = Callable[..., Any]
ENDS = (KeyboardInterrupt, SystemExit)


class Interrupt(KeyboardInterrupt):
    """A user's own kind."""


CAUSES: list[Callable[[], BaseException]] = [
    *(ValueError, objects.Trouble, objects.Liar, objects.Pretender, objects.Stranger, MemoryError, RecursionError),
    *(GeneratorExit, asyncio.CancelledError, StopIteration, KeyboardInterrupt, SystemExit, Interrupt),
]


class Run:
    """One failing entry: its loop, and what was heard."""

    def __init__(self, ns: Any, poller: str, cause: BaseException) -> None:
        self.ns = ns
        self.loop = ns.new_event_loop() if ns is asyncio else hasten.new_event_loop(poller)
        self.cause = cause
        self.failed = 0
        self.heard: list[BaseException | None] = []
        self.left_by: list[BaseException] = []
        self.after: list[str] = []
        self.closing: list[Callable[[], Any]] = []
        self.tasks: list[Any] = []  # held until the end
        self.loop.set_exception_handler(lambda loop, context: self.heard.append(context.get("exception")))

    def fail(self, *args: Any) -> Any:
        self.failed += 1
        if self.failed == 1:
            raise self.cause

    async def fails(self) -> Any:
        self.fail()

    def pair(self) -> tuple[socket.socket, socket.socket]:
        one, other = socket.socketpair()
        one.setblocking(False)
        other.setblocking(False)
        self.closing += [one.close, other.close]
        return one, other

    def hear(self, future: Any) -> None:
        """Takes the outcome of a future or task."""
        if future.cancelled():
            try:
                future.result()
            except asyncio.CancelledError as exc:
                self.heard.append(exc)
        else:
            self.heard.append(future.exception())

    def go(self) -> None:
        """Runs the loop until all is done that can be."""
        for _ in range(40):
            self.loop.call_soon(self.loop.stop)
            try:
                self.loop.run_forever()
            except BaseException as exc:
                self.left_by.append(exc)

    def close(self) -> None:
        for each in self.closing:
            each()
        self.loop.close()
        gc.collect()


# ---- the kinds of entry: each makes one that fails, in a batch where something stands behind it ---------------------


def handle(run: Run) -> None:
    run.loop.call_soon(run.fail)


def timer(run: Run) -> None:
    run.loop.call_later(0, run.fail)


def handle_of_another_thread(run: Run) -> None:
    thread = threading.Thread(target=run.loop.call_soon_threadsafe, args=(run.fail,))
    thread.start()
    thread.join()


def reader(run: Run) -> None:
    one, other = run.pair()
    other.send(b"x")

    def readable() -> None:
        run.loop.remove_reader(one)
        run.fail()

    run.loop.add_reader(one, readable)


def reader_that_stays(run: Run) -> None:
    """The callback is called again and again, and fails once."""
    one, other = run.pair()
    other.send(b"x")
    run.loop.add_reader(one, run.fail)
    run.closing.insert(0, lambda: run.loop.remove_reader(one))


def writer(run: Run) -> None:
    one, _ = run.pair()

    def writable() -> None:
        run.loop.remove_writer(one)
        run.fail()

    run.loop.add_writer(one, writable)


def signal_handler(run: Run) -> None:
    run.loop.add_signal_handler(signal.SIGUSR1, run.fail)
    run.closing.insert(0, lambda: run.loop.remove_signal_handler(signal.SIGUSR1))
    signal.raise_signal(signal.SIGUSR1)


def callback_of_a_future(run: Run) -> None:
    future = run.loop.create_future()
    future.add_done_callback(run.fail)
    future.set_result(None)


def callback_of_a_task(run: Run) -> None:
    async def nothing() -> None:
        pass

    run.loop.create_task(nothing()).add_done_callback(run.fail)


def task(run: Run) -> None:
    run.loop.create_task(run.fails()).add_done_callback(run.hear)


def task_of_asyncio(run: Run) -> None:
    asyncio.Task(run.fails(), loop=run.loop).add_done_callback(run.hear)


def later_step_of_a_task(run: Run) -> None:
    async def steps() -> None:
        await run.ns.sleep(0)
        await run.ns.sleep(1e-9)
        run.fail()

    run.loop.create_task(steps()).add_done_callback(run.hear)


def eager_task(run: Run) -> None:
    def start() -> None:
        made = []
        try:
            made.append(run.ns.Task(run.fails(), loop=run.loop, eager_start=True))
        except BaseException as exc:
            run.heard.append(exc)
            raise
        finally:
            for each in made:
                run.hear(each)

    run.loop.call_soon(start)


def forgotten_task(run: Run) -> None:
    """Nobody asks for its outcome."""
    run.loop.create_task(run.fails())


def forgotten_future(run: Run) -> None:
    def drop() -> None:
        try:
            run.loop.create_future().set_exception(run.cause)
        except TypeError:  # no exception of a future
            run.heard.append(run.cause)

    run.loop.call_soon(drop)


def _waiting(name: str, wait: Callable[[Run], Any]) -> None:
    """A task that waits for one that fails, by one of the functions for it."""

    def entry(run: Run) -> None:
        run.loop.create_task(wait(run)).add_done_callback(run.hear)

    entry.__name__ = name
    KINDS.append(entry)


async def _gather(run: Run) -> None:
    await run.ns.gather(run.ns.sleep(0), run.fails())


async def _gather_exceptions(run: Run) -> None:
    _, outcome = await run.ns.gather(run.ns.sleep(0), run.fails(), return_exceptions=True)
    run.heard.append(outcome)


async def _wait(run: Run) -> None:
    done, _ = await run.ns.wait([run.ns.create_task(run.fails())])
    for each in done:
        run.hear(each)


async def _wait_for(run: Run) -> None:
    await run.ns.wait_for(run.fails(), 5)


async def _as_completed(run: Run) -> None:
    for each in run.ns.as_completed([run.fails()]):
        await each


async def _shield(run: Run) -> None:
    await run.ns.shield(run.fails())


async def _timeout(run: Run) -> None:
    async with run.ns.timeout(5):
        await run.fails()


async def _group(run: Run) -> None:
    try:
        async with run.ns.TaskGroup() as group:
            group.create_task(run.fails())
    except BaseExceptionGroup as exc:
        run.heard += exc.exceptions


async def _limited_gather(run: Run) -> None:
    if run.ns is asyncio:
        return await _gather(run)
    await run.ns.gather(run.fails(), limit=1)


async def _executor(run: Run) -> None:
    with concurrent.futures.ThreadPoolExecutor(1) as threads:  # at its end the function has run
        future = run.loop.run_in_executor(threads, run.fail)
    await future


async def _generator(run: Run) -> None:
    """It is dropped in the middle, and fails when it is closed: the loop's finaliser sees to that."""

    async def generate() -> Any:
        try:
            yield 1
        finally:
            run.fail()

    async for _ in generate():
        break


KINDS: list[Callable[[Run], None]] = [
    *(handle, timer, handle_of_another_thread, reader, reader_that_stays, writer, signal_handler),
    *(callback_of_a_future, callback_of_a_task, task, task_of_asyncio, later_step_of_a_task, eager_task),
    *(forgotten_task, forgotten_future),
]
for _name, _function in list(globals().items()):
    if asyncio.iscoroutinefunction(_function):
        _waiting(_name.strip("_"), _function)
