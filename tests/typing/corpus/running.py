"""The ways in: run, Runner, loops made by hand, tasks of libraries."""

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def greet(name: str, delay: float = 0.0) -> str:
    await asyncio.sleep(delay)
    return f"Hello, {name}"


async def numbers() -> list[int]:
    return [await asyncio.sleep(0, n) for n in range(3)]


def run_all() -> tuple[str, list[int]]:
    said = asyncio.run(greet("world"), debug=True)
    with asyncio.Runner(debug=False, loop_factory=asyncio.new_event_loop) as runner:
        loop: asyncio.AbstractEventLoop = runner.get_loop()
        loop.set_debug(False)
        return said, runner.run(numbers())


def run_by_hand(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(work())
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        asyncio.set_event_loop(None)
        loop.close()


def on_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    exc: BaseException | None = context.get("exception")
    task: asyncio.Task[Any] | None = context.get("task")
    print(exc, task, context["message"])
    loop.default_exception_handler(context)


async def signals() -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(on_error)
    stop: asyncio.Future[signal.Signals] = loop.create_future()

    def ask(sig: signal.Signals) -> None:
        if not stop.done():
            stop.set_result(sig)

    for sig in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(sig, ask, sig)
    name: str = (await stop).name
    print(name)
    loop.remove_signal_handler(signal.SIGINT)


def forever() -> None:
    loop = asyncio.new_event_loop()
    handle: asyncio.Handle = loop.call_soon(print, "soon")
    timer: asyncio.TimerHandle = loop.call_later(1.5, print, "later")
    loop.call_at(loop.time() + 1, loop.stop)
    handles: list[asyncio.Handle] = [handle, timer]
    for each in handles:
        if not each.cancelled():
            each.cancel()
    print(timer.when(), handle.get_context() if sys.version_info >= (3, 12) else None)
    task: asyncio.Task[str] = loop.create_task(greet("loop"), name="greeting")
    task.add_done_callback(lambda t: loop.stop())
    loop.run_forever()
    text: str = task.result()
    print(text.upper(), loop.is_closed(), loop.is_running(), loop.get_debug())


if sys.platform != "win32":

    class Policy(asyncio.DefaultEventLoopPolicy):
        def new_event_loop(self) -> asyncio.AbstractEventLoop:
            return asyncio.SelectorEventLoop()


def threadsafe(loop: asyncio.AbstractEventLoop) -> str:
    future = asyncio.run_coroutine_threadsafe(greet("thread"), loop)
    loop.call_soon_threadsafe(print, "from a thread")
    return future.result(timeout=1)


if __name__ == "__main__":
    print(run_all())
    print(run_by_hand(numbers))
