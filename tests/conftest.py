"""What every test gets: worlds to run in (worlds.py), a check that nothing leaks, and an end to hangs."""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import itertools
import os
import signal
import sys
import threading
import tracemalloc  # noqa: F401 - pytest imports it when an exception is lost, where the collector may lose one more
from collections.abc import Iterator
from typing import TextIO

import pytest

import hasten

from .worlds import (
    collect,
    either_loop,
    kit,
    loop,
    no_collector,
    pytest_generate_tests,
    reports,
    run,
    settle,
    tick,
    world,
)

__all__ = [
    "collect",
    "either_loop",
    "kit",
    "loop",
    "no_collector",
    "pytest_generate_tests",
    "reports",
    "run",
    "settle",
    "tick",
    "world",
]

# A thread that was told to end gets this long (seconds) to do so before it counts as leaked.
PATIENCE = 10.0
# A test that is still running this long (seconds) after its pytest-timeout limit, deaf to the signal because compiled
# code does not return to the interpreter, ends its process: pytest-xdist then reports the test and goes on.
GRACE = 30.0
# What takes minutes runs when its mark is asked for (pytest -m MARK): the mark, what it needs, and the command.
OPT_IN = {
    "sanitize": "builds with sanitizers, which takes minutes: make sanitize",
    "anyio_suite": "runs another library's tests three times, which takes minutes: make anyio",
}

# The public names wherever the asyncio package has them: (namespace, name, what it is there), as programs find them.
_ASYNCIO = [
    (vars(module), name, value)
    for home, module in list(sys.modules.items())
    if home.partition(".")[0] == "asyncio"
    for name, value in vars(module).items()
    if name in asyncio.__all__
]

_stderr: TextIO | None = None
_reporter: pytest.TerminalReporter | None = None  # of one of pytest-xdist's processes
_known_tasks: set[int] = set()


def pytest_configure(config: pytest.Config) -> None:
    global _stderr
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # a shell's background job inherits that, and so would each program that a test interrupts
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for mark, reason in OPT_IN.items():
        config.addinivalue_line("markers", f"{mark}: {reason}")
    # pytest is not capturing at this point: this is the terminal's stderr, or the worker's
    _stderr = os.fdopen(os.dup(2), "w")


def pytest_sessionstart(session: pytest.Session) -> None:
    global _reporter
    if "PYTEST_XDIST_WORKER" in os.environ:
        _reporter = session.config.pluginmanager.get_plugin("terminalreporter")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for mark, reason in OPT_IN.items():
        if mark not in str(config.option.markexpr):
            for item in items:
                if item.get_closest_marker(mark):
                    item.add_marker(pytest.mark.skip(reason=reason))


def pytest_unconfigure(config: pytest.Config) -> None:
    faulthandler.cancel_dump_traceback_later()
    if _stderr is not None:
        _stderr.close()


def pytest_collection_finish(session: pytest.Session) -> None:
    # What is there before the first test is moved out of the collector's sight: looking for pending tasks after each
    # test then goes through the objects that tests made, and through nothing else. Not again later: what hasten keeps
    # for the next `await` would go with the rest, and a cycle with that in it is never collected.
    gc.collect()
    gc.freeze()


def pytest_runtest_logfinish(nodeid: str) -> None:
    # pytest-xdist's processes keep the reports of their tests for a summary that only the first process prints. There
    # would soon be more of them than of all else that is gone through after each test.
    if _reporter is not None:
        _reporter.stats.clear()


def _limit(item: pytest.Item) -> float:
    marker = item.get_closest_marker("timeout")
    if marker is not None:
        return float(marker.args[0] if marker.args else marker.kwargs["timeout"])
    return float(item.config.getini("timeout") or 300)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[object]:
    assert _stderr is not None
    faulthandler.dump_traceback_later(_limit(item) + GRACE, exit=True, file=_stderr)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


def _open_files() -> dict[int, str]:
    """fd → what it leads to, of this process; empty where the platform does not tell."""
    files = {}
    try:
        names = os.listdir("/proc/self/fd")
    except OSError:
        return files
    for name in names:
        try:
            files[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue  # the folder's own descriptor, closed again by now
    return files


def _task_classes() -> list[type]:
    """The classes of tasks that there are now."""
    found: list[type] = [hasten.Task, asyncio.Task]
    for kind in found:  # which grows
        found += type.__subclasses__(kind)
    return found


def _pending_tasks() -> list[asyncio.Task[object]]:
    objects = gc.get_objects()
    # By type(), never by isinstance: __class__ of a mock or a proxy runs code. Nor by hashes of classes, which need not
    # have any. All in C, since this runs after each test.
    kinds = set(map(id, _task_classes()))
    tasks = itertools.compress(objects, map(kinds.__contains__, map(id, map(type, objects))))
    return [task for task in tasks if not task.done()]


def _new_files(before: dict[int, str]) -> list[str]:
    # libffi keeps its own file open from the first callback of ctypes on, whoever makes that.
    fresh = [(fd, to) for fd, to in sorted(_open_files().items()) if before.get(fd) != to and "/libffi.so" not in to]
    return [f"fd {fd} → {to}" for fd, to in fresh]


def _new_threads(before: set[threading.Thread]) -> list[str]:
    fresh = [thread for thread in threading.enumerate() if thread not in before]
    for thread in fresh:
        thread.join(PATIENCE)
    return [repr(thread) for thread in fresh if thread.is_alive()]


def _new_tasks(pending: list[asyncio.Task[object]]) -> list[str]:
    return [repr(task) for task in pending if id(task) not in _known_tasks]


@pytest.fixture(autouse=True)
def _nothing_leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test after which a thread, an open file or a pending task is left that was not there before."""
    if request.node.get_closest_marker("leaks"):
        yield
        return
    files, threads = _open_files(), set(threading.enumerate())
    yield
    left = _new_threads(threads)
    pending = _pending_tasks()
    files_left, tasks_left = _new_files(files), _new_tasks(pending)
    if files_left or tasks_left:
        del pending
        gc.collect()  # only what survives a collection is a leak; a cycle with a socket in it is not
        pending = _pending_tasks()
        files_left, tasks_left = _new_files(files), _new_tasks(pending)
    left += files_left + tasks_left
    _known_tasks.clear()
    _known_tasks.update(map(id, pending))
    if left:
        pytest.fail("left behind by the test:\n  " + "\n  ".join(left), pytrace=False)


@pytest.fixture(autouse=True)
def _asyncio_stays() -> Iterator[None]:
    """Fails a test after which the asyncio package is not what it was: install() without uninstall(), above all."""
    yield
    changed = []
    for names, name, value in _ASYNCIO:
        if names.get(name) is not value:
            changed.append(f"{names['__name__']}.{name} is {names.get(name)!r}")
            names[name] = value
    if changed:
        pytest.fail("the test left asyncio changed:\n  " + "\n  ".join(changed), pytrace=False)
