"""What every test gets: a fresh loop, a check that nothing leaks, and an end to hangs."""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import TextIO

import pytest

import hasten

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
_known_tasks: set[int] = set()


def pytest_configure(config: pytest.Config) -> None:
    global _stderr
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # a shell's background job inherits that, and so would each program that a test interrupts
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "leaks(reason): the test leaves threads, files or tasks behind, and says why")
    for mark, reason in OPT_IN.items():
        config.addinivalue_line("markers", f"{mark}: {reason}")
    # pytest is not capturing at this point: this is the terminal's stderr, or the worker's
    _stderr = os.fdopen(os.dup(2), "w")


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
    # test then goes through the objects that tests made, and through nothing else.
    gc.collect()
    gc.freeze()


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


def _pending_tasks() -> list[asyncio.Task[object]]:
    objects = gc.get_objects()
    # by type(), never by isinstance: __class__ of a mock or a proxy runs code
    types = {id(kind): kind for kind in map(type, objects)}  # nor by their hashes: a metaclass may have none
    kinds = {number for number, kind in types.items() if issubclass(kind, (hasten.Task, asyncio.Task))}
    return [each for each in objects if id(type(each)) in kinds and not each.done()] if kinds else []


def _new_files(before: dict[int, str]) -> list[str]:
    return [f"fd {fd} → {to}" for fd, to in sorted(_open_files().items()) if before.get(fd) != to]


def _new_threads(before: set[threading.Thread]) -> list[str]:
    fresh = [thread for thread in threading.enumerate() if thread not in before]
    for thread in fresh:
        thread.join(PATIENCE)
    return [repr(thread) for thread in fresh if thread.is_alive()]


def _new_tasks() -> list[str]:
    return [repr(task) for task in _pending_tasks() if id(task) not in _known_tasks]


@pytest.fixture(autouse=True)
def _nothing_leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test after which a thread, an open file or a pending task is left that was not there before."""
    if request.node.get_closest_marker("leaks"):
        yield
        return
    files, threads = _open_files(), set(threading.enumerate())
    yield
    left = _new_threads(threads)
    files_left, tasks_left = _new_files(files), _new_tasks()
    if files_left or tasks_left:
        gc.collect()  # only what survives a collection is a leak; a cycle with a socket in it is not
        files_left, tasks_left = _new_files(files), _new_tasks()
    left += files_left + tasks_left
    _known_tasks.clear()
    _known_tasks.update(id(task) for task in _pending_tasks())
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


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A fresh hasten loop. It is closed afterwards, and must have no pending task by then."""
    fresh = hasten.new_event_loop()
    try:
        yield fresh
        if not fresh.is_closed():
            pending = [repr(task) for task in hasten.all_tasks(fresh) if not task.done()]
            if pending:
                pytest.fail("the test ended with tasks pending on its loop:\n  " + "\n  ".join(pending), pytrace=False)
            fresh.run_until_complete(fresh.shutdown_asyncgens())
            fresh.run_until_complete(fresh.shutdown_default_executor())
    finally:
        fresh.close()
