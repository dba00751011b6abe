"""Errors that nobody awaits: the loop's exception handler.

What is told here may be hostile: exceptions whose attributes raise, objects whose repr() does, a handler or a loop's
method that fails. A report is never lost for that, and only KeyboardInterrupt and SystemExit pass through.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import traceback
from collections.abc import Callable
from types import CoroutineType
from typing import Any

from hasten.core import advice, describe
from hasten.kernel import step

logger = logging.getLogger("asyncio")

debug_asked = False  # by `hasten run --debug`, which -E and -I do not overrule
_NOTED = 100  # tasks of which it is noted where they stood when their loop was closed

Handler = Callable[[Any, dict[str, Any]], object]
_traceback: Any = BaseException.__dict__["__traceback__"]
_FROM: Any = (BaseException.__dict__["__cause__"], BaseException.__dict__["__context__"])
_mro: Any = type.__dict__["__mro__"].__get__
_flags: Any = type.__dict__["__flags__"].__get__
_namespace: Any = type.__dict__["__dict__"].__get__


def graver(first: BaseException | None, second: BaseException) -> BaseException:
    """Return the exception to raise of two: the first, unless only the second ends the loop."""
    return second if first is None or (step.ends_loop(second) and not step.ends_loop(first)) else first


def escaped(loop: Any, exc: BaseException, message: str, **more: Any) -> None:
    """Report an exception of something that the loop runs, or raise it if it ends the loop."""
    if step.ends_loop(exc):
        raise exc
    tell(loop, {"message": message, "exception": exc, **more})


def callback_failed(handle: Any, exc: BaseException) -> None:
    """Report the exception of a Handle's callback."""
    source = describe.safe_callback(handle._callback, handle._args, handle._loop)
    context = {"message": f"Exception in callback {source}", "exception": exc, "handle": handle}
    if handle._source_traceback:
        context["source_traceback"] = handle._source_traceback
    tell(handle._loop, context)


def lost(fut: Any, message: str, **more: Any) -> None:
    """Report a future that was dropped although something was still to be done with it."""
    context = {"message": message, **more}
    if fut._source_traceback:
        context["source_traceback"] = fut._source_traceback
    tell(fut._loop, context)


def unseen(fut: Any, kind: str, exc: BaseException | None, place: tuple[str, int, str] | None) -> None:
    """Report an exception that nobody has looked at, and where the task was made, if that is known."""
    more: dict[str, Any] = {"exception": exc, "future": fut}
    if place is not None and not fut._source_traceback:
        more["created_at"] = _place(place)
        more["advice"] = advice.text(advice.EXCEPTION_UNSEEN)
    lost(fut, f"{kind} exception was never retrieved", **more)


def destroyed(task: Any, coro: Any, place: tuple[str, int, str] | None) -> None:
    """Report a task that was dropped while it waited: where it was made, and where it stood."""
    more: dict[str, Any] = {"task": task}
    if not task._source_traceback:
        if place is not None:
            more["created_at"] = _place(place)
        stood = getattr(task, "_stood_at", None) if _is_plain(task) else None
        if stood is None:
            stood = _stands(coro)
        if stood is not None:
            more["stood_at"] = stood
    lost(task, "Task was destroyed but it is pending!", **more)


def note_left(tasks: list[Any]) -> None:
    """Note where the tasks stand that a closed loop leaves: when they go, their coroutines may be gone."""
    for task in tasks[:_NOTED]:
        if _is_plain(task):
            stands = _stands(task.get_coro())
            if stands is not None:
                task._stood_at = stands


def _is_plain(task: Any) -> bool:
    """True for a task of hasten's own class: nobody else's code runs."""
    cls = type(task)
    return cls.__module__ == "hasten.core.task" and cls.__name__ == "Task"


def _stands(coro: Any) -> str | None:
    """Return where a suspended coroutine stands: the innermost that it awaits, if all are the interpreter's."""
    while type(coro) is CoroutineType and type(coro.cr_await) is CoroutineType:
        coro = coro.cr_await
    if type(coro) is not CoroutineType or coro.cr_frame is None:
        return None
    code = coro.cr_code
    return _place((code.co_filename, coro.cr_frame.f_lineno, code.co_qualname))


def _place(place: tuple[str, int, str]) -> str:
    return f'File "{place[0]}", line {place[1]}, in {place[2]}'


def ended_already(task: Any) -> None:
    """Report that a task's coroutine goes on although the task was ended from outside."""
    text = describe.safe(task)
    exc = asyncio.InvalidStateError(f"step(): already done: {text}")
    tell(task._loop, {"message": f"Exception in callback of {text}", "exception": exc, "task": task})


def tell(loop: Any, context: dict[str, Any]) -> None:
    """Call loop.call_exception_handler(), which a subclass may have replaced by something that fails."""
    try:
        loop.call_exception_handler(context)
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as exc:
        _last_resort(_log, "Exception in call_exception_handler()", exc)
        _last_resort(log, context)


def debug_by_default() -> bool:
    """True if the interpreter's options or its environment ask for debug mode."""
    return bool(
        debug_asked or sys.flags.dev_mode or (not sys.flags.ignore_environment and os.environ.get("PYTHONASYNCIODEBUG"))
    )


# What follows makes no function, nor generator: if there is no memory for one, some Pythons crash, and lack of memory
# may be what is to be told.


def log(context: dict[str, Any]) -> None:
    """Log the context as an error: what the default exception handler does."""
    message = context.get("message") or "Unhandled exception in event loop"
    lines = [message if type(message) is str else text_of(message)]
    for key in sorted(context, key=text_of):
        if key in ("message", "exception", "advice"):
            continue
        value = context[key]
        if key == "source_traceback":
            value = f"Object created at (most recent call last):\n{_stack(value)}"
        elif key == "handle_traceback":
            value = f"Handle created at (most recent call last):\n{_stack(value)}"
        elif key not in ("created_at", "stood_at"):
            value = describe.safe(value)
        lines.append(f"{text_of(key)}: {value}")
    if "advice" in context:
        lines.append(text_of(context["advice"]))
    _log("\n".join(lines), context.get("exception"))


def _log(text: str, exc: Any) -> None:
    """Log an exception as far as it can be shown."""
    if sys.is_finalizing():
        _log_at_the_end(text, exc)
        return
    info: Any = False
    if issubclass(type(exc), BaseException):
        info = (type(exc), exc, _traceback.__get__(exc))
        hidden = _hides(info)
        if hidden is not None:
            text, info = f"{text}\n{hidden}", False
    elif exc is not None:
        text = f"{text}\nexception: {describe.safe(exc)}"
    logger.error(text, exc_info=info)


def _log_at_the_end(text: str, exc: Any) -> None:
    """Log while the interpreter shuts down, in one report or none.

    Most Pythons can read no source lines then, since nothing can be imported any more. logging would tell of that, fail
    in telling it, and so on: seventy lines of which not one is what was to be told. So the traceback is made here, and
    where a handler of logging's fails, it does so without a word.
    """
    if issubclass(type(exc), BaseException):
        text = f"{text}\n{_traceback_at_the_end(exc)}"
    elif exc is not None:
        text = f"{text}\nexception: {describe.safe(exc)}"
    told, logging.raiseExceptions = logging.raiseExceptions, False
    try:
        logger.error(text)
    except BaseException:
        pass  # there is nobody left to whom it could be told
    finally:
        logging.raiseExceptions = told


def _traceback_at_the_end(exc: BaseException) -> str:
    tb = _traceback.__get__(exc)
    try:
        return "".join(traceback.format_exception(type(exc), exc, tb)).rstrip()
    except BaseException:
        pass
    lines = []
    while tb is not None:
        code = tb.tb_frame.f_code
        lines.append(f"  {_place((code.co_filename, tb.tb_lineno, code.co_qualname))}")
        tb = tb.tb_next
    if lines:
        lines.insert(0, "Traceback (most recent call last):")
    lines.append(f"{type(exc).__name__}: {text_of(exc)}".removesuffix(": "))
    return "\n".join(lines)


# What a traceback is made of: a class that has its own may fail there, and the log would show nothing.
_SHOWN = frozenset(
    ("__getattribute__", "__class__", "__str__", "__traceback__", "__cause__", "__context__", "__suppress_context__")
)


def _hides(info: tuple[type[BaseException], BaseException, Any]) -> str | None:
    """Return what can be said of an exception that cannot be shown as a traceback."""
    for exc in _chain(info[1]):
        if _is_odd(exc):
            break
    else:
        return None
    try:
        traceback.format_exception(*info)
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as failure:
        stack = "".join(traceback.format_tb(info[2]))
        failed = type(failure).__name__
        return f"Traceback (most recent call last):\n{stack}{info[0].__name__}: it cannot be shown, it raised {failed}"
    return None


def _chain(exc: BaseException) -> list[BaseException]:
    """Return an exception with its causes and contexts, the first hundred."""
    chain = [exc]
    for each in chain:
        for kind in _FROM:
            before = kind.__get__(each)
            if before is not None and len(chain) < 100 and not _holds(chain, before):
                chain.append(before)
    return chain


def _holds(chain: list[BaseException], exc: BaseException) -> bool:
    for known in chain:  # noqa: SIM110
        if known is exc:
            return True
    return False


def _is_odd(exc: BaseException) -> bool:
    """True if a class written in Python decides by itself what a traceback shows."""
    heap_type = 1 << 9
    for cls in _mro(type(exc)):  # noqa: SIM110
        if _flags(cls) & heap_type and not _SHOWN.isdisjoint(_namespace(cls)):
            return True
    return False


def text_of(obj: object) -> str:
    try:
        return str(obj)
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException:
        return describe.safe(obj)


def _stack(summary: Any) -> str:
    try:
        return "".join(traceback.format_list(summary)).rstrip()
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException:
        return describe.safe(summary)


def _last_resort(fn: Callable[..., object], *args: Any) -> None:
    """Call a function that logs; where that fails, write to stderr."""
    try:
        fn(*args)
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as exc:
        try:
            sys.stderr.write(f"{type(exc).__name__} while an error was logged: {' '.join(map(describe.safe, args))}\n")
        except Exception:
            pass  # no stderr, or a closed one


def note(level: int, text: str, exc: BaseException | None = None) -> None:
    """Log what hasten itself has to say; where that fails (a closed stderr, a handler that raises), write it to stderr.

    The program that it is said of goes on, whatever its handlers do.
    """
    try:
        info = None if exc is None else (type(exc), exc, _traceback.__get__(exc))
        hidden = None if info is None else _hides(info)
        if hidden is not None:
            text, info = f"{text}\n{hidden}", None
        logger.log(level, "%s", text, exc_info=info)
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as failure:
        _write(f"{text}\n(this could not be logged: {type(failure).__name__})")


def say(line: str) -> None:
    """Write a line to stderr; where that is not there, closed or full, log it: a log may have another place."""
    if not _write(line):
        try:
            logger.warning("%s", line)
        except Exception:
            pass  # nobody is left to whom it could be told


def _write(text: str) -> bool:
    """Write a text to stderr; return False if that cannot be."""
    file = sys.stderr
    if file is None:  # a process without a console; print() would take stdout then
        return False
    try:
        print(text, file=file, flush=True)
    except Exception:
        return False
    return True


def _handle(loop: Any, handler: Handler, context: dict[str, Any]) -> None:
    """Call the handler in the context of what failed."""
    run = _run_of(context)
    if run is None:
        handler(loop, context)
        return
    begun: list[bool] = []
    try:
        run(_begin, begun, handler, loop, context)
        return
    except Exception as exc:  # nothing else, or a Ctrl-C that comes before _begin() has begun would be lost
        if begun:
            raise
        failed = exc
    handler(loop, context)  # it cannot be entered: mostly since we are inside of it
    if not isinstance(failed, RuntimeError):
        raise failed


def _begin(begun: list[bool], handler: Handler, loop: Any, context: dict[str, Any]) -> None:
    begun.append(True)
    handler(loop, context)


def _run_of(context: dict[str, Any]) -> Any:
    """Return context.run() of the task, future or handle that failed, or None."""
    thing: Any = None
    for key in ("task", "future", "handle"):
        if thing is None:
            thing = context.get(key)
    try:
        return getattr(thing.get_context(), "run", None) if hasattr(thing, "get_context") else None
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException:
        return None


def call(loop: Any, handler: Handler | None, context: dict[str, Any]) -> None:
    """Pass an error's context to the handler; the handler's own error goes to the default one.

    The handler runs in the context of the task, future or handle that failed.
    """
    if handler is None:
        try:
            loop.default_exception_handler(context)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            # nothing is left to tell it but the log
            _last_resort(_log, "Exception in default exception handler", exc)
            _last_resort(log, context)
        return
    try:
        _handle(loop, handler, context)
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as exc:
        try:
            loop.default_exception_handler(
                {"message": "Unhandled error in exception handler", "exception": exc, "context": context}
            )
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as failure:
            _last_resort(
                _log,
                "Exception in default exception handler while handling an unexpected error in custom exception handler",
                failure,
            )
            _last_resort(log, context)
