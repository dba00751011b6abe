"""What functions.pyx does, in plain Python: the type checker's view, and the uncompiled fallback."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from types import CodeType, FunctionType, MethodType
from typing import Any, TypeVar

from hasten.kernel import sharing
from hasten.kernel.codes import COROUTINE, real_names

_F = TypeVar("_F", bound=Callable[..., Any])


class Function:
    """A function that gives a coroutine, before inspect.markcoroutinefunction() (3.12)."""

    def __init__(self, inner: Any) -> None:
        functools.update_wrapper(self, inner)
        del self.__wrapped__
        self.inner = inner

    def __get__(self, obj: Any, owner: Any) -> Any:
        return self if obj is None else MethodType(self, obj)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.inner(*args, **kwargs)

    def __repr__(self) -> str:
        return repr(self.inner)

    def __reduce__(self) -> str:
        return str(self.__qualname__)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["inner"], name)

    @property
    def __class__(self) -> Any:
        return FunctionType

    @property
    def __code__(self) -> CodeType:
        code: CodeType = self.inner.__code__
        return code.replace(co_flags=code.co_flags | COROUTINE)


def function(f: _F) -> _F:
    """Decorate a public function."""
    return f


def coroutine_function(f: _F) -> _F:
    """Decorate a public function that returns a coroutine, as an `async def` does."""
    if sys.version_info >= (3, 12):
        return inspect.markcoroutinefunction(f)
    return Function(f)  # type: ignore[return-value]


def publish(cls: type, parameters: str, *coroutines: str) -> None:
    """Make a class public: methods show what they are, and it can be changed (and patched) like Python's own.

    Arguments:
        parameters: of a call of the class, as inspect is to see them.
        coroutines: names of the methods that give a coroutine, as those made by `async def` do.
    """
    for name in coroutines:
        setattr(cls, name, coroutine_function(vars(cls)[name]))


def coroutine_class(cls: type, limit: int) -> None:
    """Make a class one of native coroutines, which the interpreter's messages call `coroutine`, as it calls its own."""
    real_names[cls] = cls.__module__, type.__dict__["__name__"].__get__(cls)
    type.__dict__["__name__"].__set__(cls, "coroutine")


def share(cls: Any, stock: type | None) -> None:
    """Have a class stand for one of asyncio's, and that one for it: see sharing.py.

    Arguments:
        stock: asyncio's class; None: only derived classes stand for one.
    """
    if stock is not None:
        sharing.share(cls, stock)


def clear_dict_last(cls: type) -> None:
    """Do nothing: Python's own classes are cleared well."""


def own_methods(cls: type) -> None:
    """Do nothing: where a method stands makes no difference here."""
