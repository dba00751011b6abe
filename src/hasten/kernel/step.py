"""What step.pyx does, in plain Python: the type checker's view, and the uncompiled fallback."""

from __future__ import annotations

import asyncio
import os
import sys
import warnings
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from contextvars import copy_context as copy_context
from time import monotonic as monotonic
from types import CodeType, CoroutineType, FrameType, FunctionType, TracebackType
from typing import Any, NamedTuple, TypeGuard, TypeVar

_T = TypeVar("_T")
RAISED, RETURNED, YIELDED = -1, 0, 1
SPARE_WAIT, SPARE_SLEEP, SPARE_GET, SPARE_PUT, SPARES = 0, 1, 2, 3, 4
FRESH, SUSPENDED, ENDED = 0, 1, 2
is_callable = callable


def same_callback(a: object, b: object) -> int:
    """Compare callbacks without running code of others: 1, 0, or -1 where only `==` can tell."""
    return 1 if a is b else -1


def may_be_method(f: object, o: object) -> int:
    """Return 0 if the callback `f` cannot be a method of `o`; -1 if it is one, or if it is unknown."""
    return 0 if type(f) is FunctionType else -1


_globals = globals()
_stop_value: Any = StopIteration.__dict__["value"]
_current_task = asyncio.current_task  # as it is now: install() puts ours under its name
# whose frames drive coroutines and callbacks
_DRIVERS = (__name__, "hasten.core.handle", "hasten.core.task", "hasten.core.batches", "hasten.core.scheduler")


def _caught(exc: BaseException) -> BaseException:
    """Take the frames of this file off a traceback: C code has none there, and they would hold the exception."""
    tb = traceback_of(exc)
    while tb is not None and tb.tb_frame.f_globals is _globals:
        tb = tb.tb_next
    set_traceback(exc, tb)
    while tb is not None:
        while tb.tb_next is not None and tb.tb_next.tb_frame.f_globals is _globals:
            tb.tb_next = tb.tb_next.tb_next
        tb = tb.tb_next
    return exc


class _Outcome(NamedTuple):
    """How a send, throw or call ended."""

    value: Any
    kind: int


def take_value(out: _Outcome) -> Any:
    """Return what was yielded, returned or raised. In C the reference is handed over, so call it once only."""
    return out.value


def ran_apart(out: _Outcome) -> bool:
    """True if take_context() has something to return; it must be called then."""
    return False


def take_context(out: _Outcome) -> Context:
    """Return the context that call_shared() ran in, if it differs from its snapshot."""
    raise NotImplementedError("here a snapshot is the caller's own")


class Step:
    """The means by which a loop steps coroutines, calls callbacks and publishes the current task. A loop has one."""

    def __init__(self, loop: Any) -> None:
        self.loop = loop
        self.current: Any = None
        self._ended: FrameType | None = None  # our innermost frame of what ended last

    def send(self, coro: Coroutine[Any, Any, Any], ctx: Context | None) -> _Outcome:
        return self._drive(ctx, coro.send, None)

    def throw(self, coro: Coroutine[Any, Any, Any], ctx: Context | None, exc: BaseException) -> _Outcome:
        return self._drive(ctx, coro.throw, exc)

    def call(self, ctx: Context, cb: Callable[..., Any] | None, args: tuple[Any, ...]) -> _Outcome:
        try:
            out = _Outcome(Context.run(ctx, cb, *args), RETURNED)  # type: ignore[arg-type]  # TypeError: no context
        except BaseException as exc:
            out = _Outcome(_caught(exc), RAISED)
        self._ended = sys._getframe()
        return out

    def call_shared(self, context: Context, cb: Callable[..., Any] | None, args: tuple[Any, ...]) -> _Outcome:
        """Do as call(): here a snapshot() belongs to the caller alone."""
        return self.call(context, cb, args)

    def step_out(self) -> int:
        """Leave the context that call_shared() stayed in: here there is none."""
        return 0

    def forget_contexts(self) -> int:
        """Forget the contexts that are kept: here there are none."""
        return 0

    def _drive(self, ctx: Context | None, fn: Callable[[Any], Any], arg: Any) -> _Outcome:
        try:
            return _Outcome(fn(arg) if ctx is None else Context.run(ctx, fn, arg), YIELDED)
        except StopIteration as exc:
            out = _Outcome(_stop_value.__get__(exc), RETURNED)
        except BaseException as exc:
            out = _Outcome(_caught(exc), RAISED)
        self._ended = sys._getframe()
        return out

    def _forget(self) -> None:
        """The frame of a coroutine or a callback, which a traceback may keep, leads to those of ours that drove it.
        Once they have ended, their variables are let go of: a task among them would wait for the garbage collector.
        """
        frame, self._ended = self._ended, None
        while frame is not None and frame.f_globals.get("__name__") in _DRIVERS:
            try:
                frame.clear()
            except RuntimeError:  # it runs
                break
            frame = frame.f_back

    def enter(self, task: Any) -> Any:
        if self._ended is not None:
            self._forget()
        if self.current is not task:
            self.publish(task)

    def publishes(self, task: Any) -> bool:
        if self._ended is not None:
            self._forget()
        return self.current is task

    def leave(self) -> None:
        if self._ended is not None:
            self._forget()
        if self.current is not None:
            self.publish(None)

    def runs(self) -> bool:
        return running_loop() is self.loop

    def published(self) -> Any:
        return self.current

    def busy(self) -> bool:
        return self.current is not None

    def forget(self) -> None:
        self.current = None

    def publish(self, task: Any) -> None:
        """Make `task` (or None) the one that current_task() returns."""
        if self.loop is None:
            return
        while True:
            before: Any = _current_task(self.loop)  # somebody may have taken ours back by hand
            try:
                if before is not None:
                    asyncio.tasks._leave_task(self.loop, before)
                if task is not None:
                    asyncio.tasks._enter_task(self.loop, task)
                break
            except RuntimeError:  # the collector came in between, and a destructor has run the loop
                if running_loop() is not self.loop:
                    break  # ticked while it does not run: since Python 3.14 asyncio cannot be told then
        self.current = task
        before = None
        if self.current is not task:  # what was there before went, and a destructor of its has ticked the loop
            self.publish(task)

    def swap(self, task: Any) -> Any:
        """Publish `task`; return what was published before (also by others) or None."""
        if self.loop is None:
            return None
        before: Any = _current_task(self.loop)
        if before is not None and self.current is None:
            self.current = before
        if task is not before:
            self.publish(task)
        return before

    def detach(self) -> None:
        """Let go of the loop, which is closed, and publish nothing from now on."""
        self.leave()
        self.loop = None


snapshot, context_copy = copy_context, Context.copy  # a context for call_shared(), and a copy of any

_skip: set[str] = set()
_OURS = ("hasten.core.", "hasten.primitives.", "hasten.aio.")


def skip_origin(*functions: Any) -> None:
    """Skip functions that only hand a coroutine on, and their modules, in the search for its place of creation."""
    for f in functions:
        code = getattr(f, "__code__", None)
        if isinstance(code, CodeType):
            _skip.add(code.co_filename)


def origin(lasti: Any) -> Any:
    """Find the innermost Python frame outside hasten and skip_origin()'s modules; return its code and line."""
    frame = sys._getframe(1)
    for _ in range(16):
        if frame.f_code.co_filename not in _skip and not frame.f_globals.get("__name__", "").startswith(_OURS):
            return frame.f_code, frame.f_lineno
        if frame.f_back is None:
            break
        frame = frame.f_back
    return None


def origin_place(code: Any, lasti: int) -> tuple[str, int, str] | None:
    """Return (file name, line, function) of what origin() returned, or None."""
    if code is None:
        return None
    return code[0].co_filename, code[1], code[0].co_qualname


_running: dict[int, Any] = {}


def running_loop() -> Any:
    """Return hasten's loop that runs in this thread, or None (another loop may run)."""
    import threading

    return _running.get(threading.get_ident())


def set_running_loop(loop: Any, owner: Step | None = None) -> Any:
    """Publish `loop` (or None) to asyncio and to hasten; return what was running before. `owner` is its Step."""
    import threading

    before = asyncio._get_running_loop()
    asyncio._set_running_loop(loop)
    if loop is None:
        _running.pop(threading.get_ident(), None)
    else:
        _running[threading.get_ident()] = loop
    return before


def context_enter(context: Context) -> None:
    """Enter a context. Raises RuntimeError if it is entered already.

    In Python only a call can enter it: what follows here still runs in the caller's context, so what has to run in
    this one goes through context.run() if not cython.compiled.
    """
    context.run(_nothing)


def context_exit(context: Context) -> None:
    """Leave a context: see context_enter()."""


def _nothing() -> None:
    pass


def _after_fork() -> None:
    """Forget the running loop in the child of a fork: as in asyncio, no loop runs there."""
    _running.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


# ---- exceptions, past what their classes make of `__class__`, `__traceback__`… -----------------

_is_subclass = type.__subclasscheck__
_traceback: Any = BaseException.__dict__["__traceback__"]
_context: Any = BaseException.__dict__["__context__"]
_cause: Any = BaseException.__dict__["__cause__"]


def is_instance(obj: object, cls: type[_T]) -> TypeGuard[_T]:
    """Do as isinstance(), by the type alone: `__class__` and `__instancecheck__` are code of others, and not called."""
    return _is_subclass(cls, type(obj))


def is_subclass(cls: object, base: type[_T]) -> TypeGuard[type[_T]]:
    """Do as issubclass(), the same way; False for what is no class."""
    return _is_subclass(type, type(cls)) and _is_subclass(base, cls)  # type: ignore[arg-type]


def traceback_of(exc: BaseException) -> TracebackType | None:
    """Return exc.__traceback__."""
    return _traceback.__get__(exc) if is_instance(exc, BaseException) else None  # type: ignore[no-any-return]


def set_traceback(exc: BaseException, tb: TracebackType | None) -> int:
    """Set exc.__traceback__. This and the other setters drop what stood there: destructors may run."""
    if is_instance(exc, BaseException):
        _traceback.__set__(exc, tb)
    return 0


def context_of(exc: BaseException) -> BaseException | None:
    """Return exc.__context__."""
    return _context.__get__(exc) if is_instance(exc, BaseException) else None  # type: ignore[no-any-return]


def set_context(exc: BaseException, context: BaseException | None) -> int:
    """Set exc.__context__."""
    if is_instance(exc, BaseException):
        _context.__set__(exc, context)
    return 0


def set_cause(exc: BaseException, cause: BaseException | None) -> int:
    """Set exc.__cause__, as `raise exc from cause` does."""
    if is_instance(exc, BaseException):
        _cause.__set__(exc, cause)
    return 0


def ends_loop(exc: BaseException) -> bool:
    """True for SystemExit and KeyboardInterrupt, by the type alone: `__class__` may be anything."""
    return is_instance(exc, KeyboardInterrupt) or is_instance(exc, SystemExit)


def is_coroutine(obj: object) -> bool:
    """Do as asyncio.iscoroutine(), trying a quick test first."""
    return asyncio.iscoroutine(obj)


def is_native_coroutine(obj: object) -> bool:
    """True for a coroutine that an `async def` of Python made."""
    return type(obj) is CoroutineType


def _as_exception(args: tuple[Any, ...]) -> BaseException:
    """Return the exception that throw(type[, value[, traceback]]) or throw(exception) means."""
    if not 1 <= len(args) <= 3:
        raise TypeError(f"throw() takes 1 to 3 arguments, got {len(args)}")
    typ, value, tb = (*args, None, None)[:3]
    if len(args) > 1 and sys.version_info >= (3, 12):
        warnings.warn(
            "the (type, exc, tb) signature of throw() is deprecated, use the single-arg signature instead.",
            DeprecationWarning,
            stacklevel=3,
        )
    if tb is not None and type(tb) is not TracebackType:
        raise TypeError("throw() third argument must be a traceback object")
    if is_subclass(typ, BaseException):
        exc = _normalize(typ, value)
    elif is_instance(typ, BaseException):
        if value is not None:
            raise TypeError("instance exception may not have a separate value")
        exc = typ
    else:
        raise TypeError(
            f"exceptions must be classes or instances deriving from BaseException, not {type(typ).__name__}"
        )
    if tb is not None:
        set_traceback(exc, tb)
    return exc


def _normalize(cls: Any, value: Any) -> BaseException:
    """Return the exception that `throw(cls, value)` means. If making it raises another one, return that."""
    if is_instance(value, cls):
        return value  # type: ignore[no-any-return]
    try:
        args = () if value is None else value if isinstance(value, tuple) else (value,)
        exc = cls(*args)
        if not is_instance(exc, BaseException):
            raise TypeError(
                f"calling {cls!r} should have returned an instance of BaseException, not {type(exc).__name__}"
            )
        return exc
    except BaseException as raised:
        return _caught(raised)


class Awaitable:
    """A native awaitable: a subclass says in `resume` what one send does.

    It is entered by send, throw, next and close only, which are the same for all and let nobody in while it runs. So
    hooks can rely on their own fields, whatever runs meanwhile.
    """

    value: Any = None
    stage: int = FRESH
    running: bool = False
    _shared: bool = False  # by many at once: nothing of what one send does is kept in it

    def resume(self) -> int:
        self.value = None
        return RETURNED

    def resume_throw(self, exc: BaseException) -> int:
        self.value = exc
        return RAISED

    def shut(self) -> int:
        """Do what close() has to do."""
        self.value = None
        return RETURNED

    def fresh(self) -> bool:
        """True for a coroutine that was not started yet."""
        return False

    def _enter(self, hook: Callable[..., int], *args: Any) -> tuple[int, Any]:
        """Run a hook; return how it ended, and `value`."""
        if self.running:
            raise ValueError("coroutine already executing")
        self.running = not self._shared
        try:
            kind = hook(*args)
        except BaseException as exc:  # which it may not
            self.stage = ENDED
            kind, self.value = RAISED, _caught(exc)
        value, self.value = self.value, None
        self.running = False
        return kind, value

    def _deliver(self, kind: int, value: Any) -> Any:
        if kind == YIELDED:
            return value
        if kind == RAISED:
            try:
                raise value
            finally:
                value = None  # its traceback holds this frame
        raise StopIteration(value)

    def __await__(self) -> Generator[Any, Any, Any]:
        if self.stage & SUSPENDED and not self.running:
            raise RuntimeError("coroutine is being awaited already")
        return self  # type: ignore[return-value]

    def __iter__(self) -> Generator[Any, Any, Any]:
        return self  # type: ignore[return-value]

    def __next__(self) -> Any:
        return self._deliver(*self._enter(self.resume))

    def send(self, value: Any, /) -> Any:
        if not self.running and value is not None and self.fresh():
            raise TypeError("can't send non-None value to a just-started coroutine")
        return self._deliver(*self._enter(self.resume))

    def throw(self, *args: Any) -> Any:
        exc = _as_exception(args)
        args = ()  # a traceback will hold this frame
        try:
            return self._deliver(*self._enter(self.resume_throw, exc))
        finally:
            del exc

    def close(self) -> None:
        """End it where it is suspended. Raises ValueError if it runs."""
        self.end_it()

    def end_it(self) -> int:
        kind, value = self._enter(self.shut)
        if kind == YIELDED:
            raise RuntimeError("coroutine ignored GeneratorExit")
        if kind == RAISED:
            try:
                raise value
            finally:
                value = None
        return 0


def take_spare(kind: int) -> Awaitable | None:
    """Return one of its kind to be used again. Here always None: Python cannot tell whether it is still referred to."""
    return None


def keep_spare(kind: int, ended: Awaitable) -> int:
    """Keep it for the next take_spare()."""
    return 0


def native(cls: type[_T]) -> type[_T]:
    """Give an Awaitable subclass the C slots (nothing to do here). A class decorator."""
    return cls


def native_nothing(cls: Any) -> None:
    """Do as native(), for a class whose instances return None at once."""
    cls._shared = True


def pool(cls: type[_T], limit: int) -> None:
    """Keep the memory of up to `limit` dead instances of an extension type for new ones (nothing to do here)."""


def refuse_await(cls: type[_T]) -> None:
    """Make `await instance` fail with the message that it has for a class written in Python (nothing to do here)."""


def lazy_attributes(cls: type[_T]) -> None:
    """Give a class a __dict__ that is made on demand (Python's have that)."""


def drop_dict(obj: object) -> int:
    """Do nothing: Python's own objects have a dict when one is needed."""
    return 0


def drop_attributes(obj: object) -> int:
    """Do what __dealloc__ of such a class has to do; it is not called here."""
    return 0
