"""Hands the loops under test to the tests, and makes the suite's own helpers fit a loop that is not the stdlib's.

The suite's helper `test_utils.TestCase` gives many tests a loop with a virtual clock, derived from the stdlib's base
loop. Here they get a loop under test and real time, with a tolerance where they compare times.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import sys
import time
import unittest
import unittest.mock
from asyncio import base_events, unix_events
from collections.abc import Callable
from types import FunctionType
from typing import Any

# How far (seconds) real time may be off where a test computes with virtual time.
TOLERANCE = 0.15

_plain_almost_equal = unittest.TestCase.assertAlmostEqual
_selector_loop = asyncio.SelectorEventLoop
_made = 0
_in_real_time = 0
_foreign = 0


def loops_made() -> int:
    """How many loops under test there have been."""
    return _made


def loops_in_real_time() -> int:
    """How many of them took the place of a loop with a virtual clock."""
    return _in_real_time


def foreign_loops() -> int:
    """How many loops with a virtual clock, the suite's own, there have been."""
    return _foreign


class Setting:
    """The subject, and how a loop of it is made."""

    def __init__(self, subject: str) -> None:
        self.subject = subject
        self._make: Callable[[], asyncio.AbstractEventLoop] = (
            _selector_loop if subject == "asyncio" else importlib.import_module(subject).new_event_loop
        )

    def new_loop(self, *_: object, **__: object) -> asyncio.AbstractEventLoop:
        """A loop under test. Arguments (a selector, a policy's self) are the caller's habit and mean nothing here."""
        global _made
        _made += 1
        return self._make()

    def loop_for_mocks(self) -> asyncio.AbstractEventLoop:
        """A loop under test for unit tests of BaseEventLoop, which put mocks where that one keeps its selector.

        Those mocks are taken and not used, so that what such a test is about can run on a real loop.
        """
        loop = self.new_loop()
        plain: Any = type(loop)
        namespace = {name: _decoy(name, loop) for name in ("_selector", "_process_events", "_write_to_self")}
        loop.__class__ = type(plain.__name__, (plain,), {**namespace, "__module__": plain.__module__})
        return loop


def _decoy(name: str, loop: object) -> property:
    """An attribute that is a mock to test modules, and to all others what `loop` has there."""
    missing = object()
    mocks: list[Any] = [unittest.mock.MagicMock()]
    real = [getattr(loop, name, missing)]

    def from_test() -> bool:
        return str(sys._getframe(2).f_globals.get("__name__", "")).startswith("test.")

    def get(self: object) -> Any:
        if from_test():
            return mocks[0]
        if real[0] is missing:
            raise AttributeError(name)
        return real[0]

    def put(self: object, value: object) -> None:
        (mocks if from_test() else real)[0] = value

    return property(get, put)


class _StandIn:
    """Stands for a loop class of the stdlib: calling it gives a loop under test; it can be a base class too."""

    __slots__ = ("_base", "_make", "_original")

    def __init__(self, original: type, make: Callable[[], object], base: Callable[[], type]) -> None:
        self._original, self._make, self._base = original, make, base

    def __call__(self, *args: object, **kwargs: object) -> object:
        return self._make()

    def __mro_entries__(self, bases: tuple[object, ...]) -> tuple[type, ...]:
        return (self._base(),)

    def __instancecheck__(self, loop: object) -> bool:
        return isinstance(loop, asyncio.AbstractEventLoop)

    def __subclasscheck__(self, kind: type) -> bool:
        return issubclass(kind, asyncio.AbstractEventLoop)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)

    def __setattr__(self, name: str, value: object) -> None:
        if name in self.__slots__:
            object.__setattr__(self, name, value)
        else:  # mock.patch("asyncio.base_events.BaseEventLoop.…")
            setattr(self._original, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._original, name)


def _loop_class(setting: Setting) -> type:
    loop = setting.new_loop()
    loop.close()
    return type(loop)


def install(setting: Setting) -> None:
    """Makes every documented way to a new loop lead to the subject. Before any test module is imported."""
    stand_in = _StandIn(_selector_loop, setting.new_loop, lambda: _loop_class(setting))
    package: Any = sys.modules["asyncio"]
    for module in (asyncio, unix_events, package, package.unix_events):
        module.SelectorEventLoop = stand_in
        if hasattr(module, "EventLoop"):
            module.EventLoop = stand_in
    if package is not asyncio:
        package.new_event_loop = package.events.new_event_loop = setting.new_loop
    policy: Any = unix_events._UnixDefaultEventLoopPolicy  # type: ignore[attr-defined]
    policy._loop_factory = staticmethod(setting.new_loop)
    _relay_log_calls()


def _relay_log_calls() -> None:
    """Tests that expect a message replace `asyncio.base_events.logger` or a sibling by a mock.

    What a loop logs to the right logger, `logging.getLogger("asyncio")`, is handed to that mock.
    """
    real = logging.getLogger("asyncio")

    def relay(name: str) -> Callable[..., Any]:
        original = getattr(real, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            for key, module in list(sys.modules.items()):
                if key.startswith("asyncio.") and getattr(module, "logger", real) is not real:
                    return getattr(module.logger, name)(*args, **kwargs)
            return original(*args, **kwargs)

        return call

    for name in ("debug", "info", "warning", "error", "exception", "critical"):
        setattr(real, name, relay(name))


def _close_loop(loop: Any) -> None:
    """Like the suite's TestCase.close_loop, by public calls only."""
    for name, value in list(vars(loop).items()):
        if isinstance(value, FunctionType) and value.__module__.startswith("test.") and hasattr(type(loop), name):
            delattr(loop, name)  # a method that the test has covered with a failing one
    if not loop.is_closed() and not loop.is_running():
        with contextlib.suppress(NotImplementedError):
            loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


def _advance(seconds: float) -> None:
    """TestLoop.advance_time. Tests step far ahead (10 s) only when all is over, to satisfy the virtual clock."""
    time.sleep(min(seconds, 0.1))


def _count_foreign_loops(utils: Any) -> None:
    make = utils.TestCase.new_test_loop

    def new_test_loop(self: Any, gen: object = None) -> asyncio.AbstractEventLoop:
        global _foreign
        _foreign += 1
        return make(self, gen)  # type: ignore[no-any-return]

    utils.TestCase.new_test_loop = new_test_loop


def adapt(setting: Setting, foreign: bool) -> None:
    """Adapts what test modules use when they run. After they have been imported.

    `foreign`: the suite's loop with a virtual clock stays where tests ask for it.
    """
    from test.test_asyncio import utils

    original = base_events.BaseEventLoop
    original_close = utils.TestCase.close_loop

    def close_loop(loop: Any) -> None:
        if isinstance(loop, original) and setting.subject != "asyncio":
            original_close(loop)  # a loop of the suite's own, often with mocks in it
        else:
            _close_loop(loop)

    def new_test_loop(self: Any, gen: object = None) -> asyncio.AbstractEventLoop:
        global _in_real_time
        _in_real_time += 1
        loop: Any = setting.new_loop()
        self._real_time_origin = loop.time()
        with contextlib.suppress(AttributeError):
            loop.advance_time = _advance
        self.set_event_loop(loop)
        return loop  # type: ignore[no-any-return]

    utils.TestCase.close_loop = staticmethod(close_loop)
    if foreign:
        _count_foreign_loops(utils)
    else:
        utils.TestCase.new_test_loop = new_test_loop
        utils.TestCase.assertAlmostEqual = _almost_equal

    package: Any = sys.modules["asyncio"]
    stand_in = _StandIn(original, setting.loop_for_mocks, lambda: original)
    package.BaseEventLoop = package.base_events.BaseEventLoop = stand_in


def _almost_equal(
    self: Any, first: Any, second: Any, places: int | None = None, msg: Any = None, delta: Any = None
) -> None:
    """assertAlmostEqual for a clock that does not start at 0 and does not stand still."""
    origin = getattr(self, "_real_time_origin", None)
    if origin is None or delta is not None or not all(isinstance(each, (int, float)) for each in (first, second)):
        _plain_almost_equal(self, first, second, places, msg, delta)
        return
    first, second = (each - origin if each >= origin else each for each in (first, second))
    _plain_almost_equal(self, first, second, msg=msg, delta=TOLERANCE)
