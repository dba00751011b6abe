"""Code objects and frames to look at, for what has none of its own: compiled functions, native coroutines.

inspect, debuggers and tracers read names, parameters, flags, file and line of them. What Cython makes for a function
has no instructions that could be run; these say so instead of crashing the interpreter.
"""

from __future__ import annotations

import os
import sys
from types import CodeType, FrameType, FunctionType
from typing import Any, NoReturn

VARARGS, VARKEYWORDS, COROUTINE = 0x04, 0x08, 0x80


def _function() -> NoReturn:
    raise TypeError("this code describes a compiled function: it cannot be run by itself")


async def _coroutine() -> NoReturn:
    raise TypeError("this code describes a compiled coroutine function: it cannot be run by itself")


def code_like(code: CodeType, module_file: str | None, coroutine: bool) -> CodeType:
    """Return what a compiled function shows as its code.

    Arguments:
        code: Cython's. Its file name is relative to where it was compiled.
        module_file: of the extension module, beside which the source stands.
        coroutine: is it one that gives a coroutine?
    """
    template = (_coroutine if coroutine else _function).__code__
    variadic = code.co_flags & (VARARGS | VARKEYWORDS)
    count = code.co_argcount + code.co_kwonlyargcount + bool(variadic & VARARGS) + bool(variadic & VARKEYWORDS)
    filename = code.co_filename
    if module_file is not None:
        filename = os.path.join(os.path.dirname(module_file), os.path.basename(filename))
    return template.replace(
        co_argcount=code.co_argcount,
        co_posonlyargcount=code.co_posonlyargcount,
        co_kwonlyargcount=code.co_kwonlyargcount,
        co_nlocals=count,
        co_varnames=code.co_varnames[:count],
        co_flags=template.co_flags | variadic,
        co_filename=filename,
        co_firstlineno=code.co_firstlineno,
        co_name=code.co_name,
        co_qualname=code.co_qualname,
    )


real_names: dict[type, tuple[str, str]] = {}  # of classes that call themselves `coroutine`: the module, the name


def real_name(cls: type) -> tuple[str, str]:
    """Return the module and the name of a class of hasten's, which may call itself `coroutine`."""
    return real_names.get(cls) or (cls.__module__, cls.__name__)


_codes: dict[type, CodeType] = {}  # of native coroutines


def coroutine_code(coro: Any) -> CodeType:
    """Return what a native coroutine shows as its code: that of the function or method that made it."""
    kind = type(coro)
    code = _codes.get(kind)
    if code is None:
        module = sys.modules.get(real_name(kind)[0])
        giver: Any = module
        for name in coro.__qualname__.split("."):
            giver = getattr(giver, name, None)
        code = getattr(giver, "__code__", None)
        if type(code) is CodeType and code.co_name == coro.__name__ and _is_of(code, module):
            code = _codes[kind] = code_like(code, None, True)
        else:  # none has that name, or a test has put something else in its place
            code = _coroutine.__code__.replace(co_name=coro.__name__, co_qualname=coro.__qualname__)
    return code


def _is_of(code: CodeType, module: Any) -> bool:
    return os.path.dirname(code.co_filename) == os.path.dirname(getattr(module, "__file__", None) or "")


def frame_of(coro: Any) -> FrameType:
    """Return a frame in which the code of a native coroutine stands at its beginning, and never goes on."""
    code = coroutine_code(coro).replace(
        co_argcount=0,
        co_posonlyargcount=0,
        co_kwonlyargcount=0,
        co_nlocals=0,
        co_varnames=(),
        co_flags=_coroutine.__code__.co_flags,
    )
    module = sys.modules.get(real_name(type(coro))[0])
    stand_in: Any = FunctionType(code, {} if module is None else vars(module))()
    frame: FrameType = stand_in.cr_frame
    stand_in.close()
    return frame


def state(stage: int, running: bool) -> str:
    """Return a native coroutine's state, as inspect names it. Stage 0: not begun; 2: ended."""
    if running:
        return "CORO_RUNNING"
    return {0: "CORO_CREATED", 2: "CORO_CLOSED"}.get(stage, "CORO_SUSPENDED")
