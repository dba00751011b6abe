"""Errors that nobody awaits: the loop's exception handler."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

logger = logging.getLogger("asyncio")

Handler = Callable[[Any, dict[str, Any]], object]


def debug_by_default() -> bool:
    """Do the interpreter's options or its environment ask for debug mode?"""
    return bool(sys.flags.dev_mode or (not sys.flags.ignore_environment and os.environ.get("PYTHONASYNCIODEBUG")))


def log(context: dict[str, Any]) -> None:
    """What the default exception handler does: logs the context as an error."""
    message = context.get("message") or "Unhandled exception in event loop"
    exception = context.get("exception")
    exc_info: Any = False
    if exception is not None:
        exc_info = (type(exception), exception, exception.__traceback__)
    lines = [str(message)]
    for key in sorted(context):
        if key in ("message", "exception"):
            continue
        value = context[key]
        if key == "source_traceback":
            stack = "".join(traceback.format_list(value)).rstrip()
            value = f"Object created at (most recent call last):\n{stack}"
        elif key == "handle_traceback":
            stack = "".join(traceback.format_list(value)).rstrip()
            value = f"Handle created at (most recent call last):\n{stack}"
        elif key != "created_at":
            value = repr(value)
        lines.append(f"{key}: {value}")
    logger.error("\n".join(lines), exc_info=exc_info)


def log_failure(message: str) -> None:
    """Logs the exception that is being handled where nothing else is left to tell of it.

    One that cannot be shown, or a logging handler that raises, must not end the loop.
    """
    try:
        logger.error(message, exc_info=True)
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException:
        try:
            logger.error("%s (which cannot be shown)", message)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException:
            pass


def call(loop: Any, handler: Handler | None, context: dict[str, Any]) -> None:
    """Hands an error's context to the handler; the handler's own error goes to the default one.

    The handler runs in the context of the task, future or handle that failed.
    """
    if handler is None:
        try:
            loop.default_exception_handler(context)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException:
            log_failure("Exception in default exception handler")
        return
    try:
        run_in = None
        thing = context.get("task") or context.get("future") or context.get("handle")
        if thing is not None and hasattr(thing, "get_context"):
            run_in = thing.get_context()
        if run_in is not None and hasattr(run_in, "run"):
            run_in.run(handler, loop, context)
        else:
            handler(loop, context)
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as exc:
        try:
            loop.default_exception_handler(
                {"message": "Unhandled error in exception handler", "exception": exc, "context": context}
            )
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException:
            log_failure(
                "Exception in default exception handler while handling an unexpected error in custom exception handler"
            )
