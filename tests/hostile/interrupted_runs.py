"""More of interrupted.py: what runs a loop of its own, from its beginning to its end.

`call(it)` does it, outside of any loop; what it enters in `it.last` has to hold afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from .interrupted import It

# main is over, and the task that is interrupted awaits something as it cleans up, when it is cancelled: asyncio as well
MAY_HIDE = ("run_all", "run_in_debug_mode", "runner_twice", "loop_by_hand")
CALLS: dict[str, Callable[[It], Any]] = {}


def call(deed: Callable[[It], Any]) -> Callable[[It], Any]:
    CALLS[deed.__name__] = deed
    return deed


def as_before(it: It) -> None:
    """What a run has set is as it was."""

    def check() -> str | None:
        if any(sys.get_asyncgen_hooks()):
            sys.set_asyncgen_hooks(None, None)
            return "the hooks of asynchronous generators are still set"
        if sys.get_coroutine_origin_tracking_depth():
            sys.set_coroutine_origin_tracking_depth(0)
            return "the origin of coroutines is still recorded"
        if asyncio._get_running_loop() is not None:
            return "a loop runs"
        with contextlib.suppress(RuntimeError):
            it.ns.run(it.ns.sleep(0))
            return None
        return "run() does not work"

    it.last.append(check)


async def leaves_much(it: It) -> str:
    """Tasks that clean up, one that fails then, a generator, threads."""

    async def cleans_up() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await it.ns.sleep(0)

    async def fails() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            raise KeyError

    async def generate() -> Any:
        try:
            while True:
                yield 1
        finally:
            await it.ns.sleep(0)

    it.kept = [*it.start(cleans_up(), fails()), generate()]  # type: ignore[attr-defined]
    await anext(it.kept[-1])  # type: ignore[attr-defined]
    await it.ns.to_thread(int)
    return "done"


@call
def run_all(it: It) -> None:
    as_before(it)
    it.ns.run(leaves_much(it))


@call
def run_in_debug_mode(it: It) -> None:
    as_before(it)
    it.ns.run(leaves_much(it), debug=True)


@call
def runner_twice(it: It) -> None:
    as_before(it)
    with it.ns.Runner() as runner:
        runner.run(it.ns.sleep(0))
        runner.run(leaves_much(it))


@call
def run_cancelled_by_ctrl_c(it: It) -> None:
    """A first Ctrl-C cancels; ours comes while that goes on, or is the first."""
    as_before(it)

    async def main() -> None:
        it.loop = asyncio.get_running_loop()
        it.loop.call_soon(signal.raise_signal, signal.SIGINT)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await it.ns.sleep(0)

    try:
        it.ns.run(main())
    except KeyboardInterrupt:
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            raise


@call
def run_in_a_thread(it: It) -> None:
    thread = threading.Thread(target=lambda: it.ns.run(it.ns.sleep(0)))
    thread.start()
    thread.join()


@call
def loop_by_hand(it: It) -> None:
    loop = it.ns.new_event_loop()
    it.closing.append(loop.close)
    loop.run_until_complete(leaves_much(it))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


@call
def installed(it: It) -> None:
    if it.ns is asyncio:
        return
    before = {name: getattr(asyncio, name) for name in ("run", "Runner", "Task", "Lock", "sleep", "new_event_loop")}

    def check() -> str | None:
        it.ns.uninstall()
        wrong = [name for name, what in before.items() if getattr(asyncio, name) is not what]
        return f"not as before: {wrong}" if wrong else None

    it.last.append(check)
    it.ns.install()
    asyncio.run(asyncio.sleep(0))
    it.ns.uninstall()


@call
def run_that_is_over(it: It) -> None:
    """Ctrl-C in the batch in which the end of main stops the loop: what is left is cleaned up all the same."""
    as_before(it)
    cleaned: list[int] = []

    async def left() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            cleaned.append(1)

    async def strike() -> None:
        signal.raise_signal(signal.SIGINT)

    async def main() -> None:
        it.start(left(), strike())

    it.ns.run(main())
