"""What to do about a mistake that asyncio only names: a note on the exception, which ends with a page of the docs.

The exception keeps asyncio's type and message, so that what catches or compares it sees no difference.
"""

from __future__ import annotations

import inspect
import re
from typing import TypeVar

_E = TypeVar("_E", bound=BaseException)

NESTED_RUN = "nested-run"
CLOSED_LOOP = "closed-loop"
NO_RUNNING_LOOP = "no-running-loop"
TWO_LOOPS = "two-loops"
WRONG_THREAD = "wrong-thread"
COROUTINE_AS_CALLBACK = "coroutine-as-callback"
NOT_A_COROUTINE = "not-a-coroutine"
DEADLOCK = "deadlock"
NEVER_AWAITED = "never-awaited"
EXCEPTION_UNSEEN = "exception-nobody-took"
NOT_ENDING = "tasks-that-do-not-end"
NOT_AWAITABLE = "not-awaitable"
AWAITED_TWICE = "awaited-twice"

# By the name of the page in docs/mistakes/.
ADVICE = {
    NESTED_RUN: "An event loop runs in this thread already. Inside a coroutine, write `await main()` in the place of "
    "`asyncio.run(main())`, or `asyncio.create_task(main())` to go on meanwhile.",
    CLOSED_LOOP: "Each asyncio.run() closes its loop when it ends, and what was made on that loop ends with it. Do all "
    "the work inside one asyncio.run(main()), or use one asyncio.Runner for several runs.",
    NO_RUNNING_LOOP: "This works inside a coroutine only, while a loop runs. Move the call into an `async def` "
    "function that asyncio.run() is given; from another thread, use asyncio.run_coroutine_threadsafe(coro, loop).",
    TWO_LOOPS: "A future, task, lock or queue works on one event loop only. Make it inside the asyncio.run() that uses "
    "it, not before it and not in another thread; to hand results between loops, use "
    "asyncio.run_coroutine_threadsafe().",
    WRONG_THREAD: "Only the thread that runs a loop may use it. From other threads, use "
    "loop.call_soon_threadsafe(callback, *args), or asyncio.run_coroutine_threadsafe(coro, loop).",
    COROUTINE_AS_CALLBACK: "A function is wanted here, which is called and not awaited. Use asyncio.create_task() to "
    "run a coroutine; to start it later, have the callback be a function that calls create_task().",
    NOT_A_COROUTINE: "A coroutine is what calling an `async def` function returns. If this is such a function, call "
    "it: main(), not main. If it is an ordinary function, `await asyncio.to_thread(function)` runs it in a thread.",
    DEADLOCK: "Take locks in the same order everywhere, take no lock twice in one task, and have somebody put, set or "
    "notify what others wait for also where it fails. Put `async with asyncio.timeout(seconds)` around what may wait "
    "for ever.",
    NEVER_AWAITED: "Calling an `async def` function only makes a coroutine. Write `await` before the call, or "
    "asyncio.create_task() around it to have it run meanwhile.",
    EXCEPTION_UNSEEN: "A task's exception goes to who awaits the task. Await it, use asyncio.TaskGroup, or give it a "
    "done callback that looks at task.exception().",
    NOT_ENDING: "A cancelled task ends when CancelledError leaves its coroutine. Let it through: catch Exception and "
    "not BaseException, `raise` at the end of `except CancelledError`, and wait for nothing long in `finally`.",
    NOT_AWAITABLE: "`await` takes a coroutine, a task or a future. The result of an ordinary function needs no "
    "`await`; an `async def` function has to be called: `await work()`, not `await work`; for a list of coroutines, "
    "write `await asyncio.gather(*coroutines)`.",
    AWAITED_TWICE: "A coroutine runs once. Call the `async def` function anew for each run, or make one task of it, "
    "`task = asyncio.create_task(work())`, which any number of others can await.",
}

# What the interpreter itself says, in a coroutine that then fails: the exception's type, the message, the mistake.
_SAID = (
    (TypeError, r"object .+ can't be used in 'await' expression|'.+' object can't be awaited", NOT_AWAITABLE),
    (RuntimeError, r"cannot reuse already awaited coroutine|coroutine is being awaited already", AWAITED_TWICE),
    (TypeError, r"'coroutine' object |unsupported operand type\(s\) for .*'coroutine'", NEVER_AWAITED),
    (AttributeError, r"'coroutine' object has no attribute", NEVER_AWAITED),
)
TYPES = (TypeError, RuntimeError, AttributeError)


def add(exc: _E, mistake: str) -> _E:
    """Return the exception, with a note that says what to do about a mistake, one of ADVICE's names."""
    exc.add_note(text(mistake))
    return exc


def recognize(exc: BaseException) -> None:
    """Give the interpreter's own exception of a mistake with awaiting, if `exc` is one, the note on what to do."""
    said = exc.args[0] if type(exc) in TYPES and exc.args else None
    if type(said) is not str:
        return
    for kind, pattern, mistake in _SAID:
        if type(exc) is kind and re.match(pattern, said):
            notes = getattr(exc, "__notes__", [])
            # several tasks may fail by the same exception, and what a program has put there may be no list
            if type(notes) is list and not any(type(each) is str and each.endswith(_page(mistake)) for each in notes):
                add(exc, mistake)
            return


def text(mistake: str) -> str:
    """Return what to do about a mistake, one of ADVICE's names, and its page."""
    return f"{ADVICE[mistake]}\n{_page(mistake)}"


def _page(mistake: str) -> str:
    return f"See docs/mistakes/{mistake}.md"


def no_coroutine(obj: object) -> TypeError:
    """Return the error about what was given in a coroutine's place: mostly a function that was not called."""
    text = f"a coroutine was expected, got {obj!r}"
    if inspect.iscoroutinefunction(obj):
        text += f", which is a function: did you forget to call it? {getattr(obj, '__name__', 'function')}()"
    return add(TypeError(text), NOT_A_COROUTINE)
