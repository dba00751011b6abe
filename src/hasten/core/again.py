"""What must not be lost because a signal handler raised in the middle of it, or before it had begun.

A Ctrl-C comes at any line of plain Python, and as well before the first one of a function: no `try` inside of it helps.
What somebody waits for is therefore called from compiled code, where none comes, and once more if it was cut short.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import MethodType
from typing import Any, TypeVar

import cython

from hasten.kernel import step

_F = TypeVar("_F", bound=Callable[..., Any])


# Not taken apart by the collector: an attribute that is looked up afterwards would be looked for in no dict.
@cython.no_gc_clear  # type: ignore[attr-defined]
@cython.cclass
class Again:
    """What to_the_end() makes of a function or a method. Name, text and signature are the function's."""

    fn: Callable[..., Any]

    def __init__(self, fn: Callable[..., Any]) -> None:
        if not step.is_callable(fn):
            raise TypeError(f"a function is needed, not {fn!r}")
        self.fn = fn
        functools.update_wrapper(self, fn)

    def __repr__(self) -> str:
        return repr(self.fn)

    def __reduce__(self) -> str:
        return str(self.fn.__qualname__)  # type: ignore[attr-defined]

    def __get__(self, obj: Any, owner: Any) -> Any:
        return self if obj is None else MethodType(self, obj)

    def __call__(self, /, *args: Any, **named: Any) -> Any:
        fn = self.fn  # a local holds it: what it runs may give this another one
        try:
            return fn(*args, **named)
        except BaseException as exc:
            if not step.ends_loop(exc):  # an error of the function's own
                raise
            failed = exc
        try:
            fn(*args, **named)
        except BaseException as exc:
            if step.ends_loop(exc):
                failed = exc
        raise failed


def to_the_end(fn: _F) -> _F:
    """Decorate a function or a method: it is called once more if Ctrl-C cuts it short, and then that is raised.

    It has to be such that a second call does no harm. What is raised besides KeyboardInterrupt and SystemExit goes on.
    """
    return Again(fn)  # type: ignore[return-value]


def finish(fn: Callable[[Any], Any], arg: Any) -> Any:
    """Return fn(arg), called as to_the_end() calls it. Calling this needs no memory, which may be lacking as well."""
    try:
        return fn(arg)
    except BaseException as exc:
        if not step.ends_loop(exc):
            raise
        failed = exc
    try:  # in so many words again: to pass arguments on would need memory
        fn(arg)
    except BaseException as exc:
        if step.ends_loop(exc):
            failed = exc
    raise failed


def once(made: list[Any], fn: Callable[..., Any], *args: Any) -> Any:
    """Return fn(*args), and note that in `made`: whoever comes here a second time gets what was made the first."""
    if not made:
        made.append(None)  # before: what was made and could not be noted would be made again, or never be undone
        try:
            value = fn(*args)
            if made:
                made[0] = value
            else:  # who was called has emptied it
                made.append(value)
        except BaseException:
            made.clear()
            raise
    return made[0]
