"""What a test leaves behind: tasks that still run, transports and servers that are open, files, threads."""

from __future__ import annotations

import asyncio
import functools
import gc
import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from hasten.aio import running
from hasten.core.registry import all_tasks
from hasten.core.task import Task
from hasten.diagnosis import census, standing
from hasten.diagnosis.showing import plain, short
from hasten.loop import Loop
from hasten.testing import outside, places
from hasten.testing.simulation import SimulatedLoop

KINDS = ("tasks", "transports", "fds", "threads")
# A thread that was told to end gets this long to do so. Seconds.
PATIENCE = 1.0
_MAKE_TRANSPORTS = (
    "create_connection create_server create_unix_connection create_unix_server create_datagram_endpoint"
    " connect_accepted_socket connect_read_pipe connect_write_pipe"
)
# What plugins run tests in, and cancel when the last is over: anyio's.
_OF_PLUGINS = frozenset({"TestRunner._run_tests_and_fixtures"})
Problem = tuple[str, str]  # one of KINDS (or "blocks"), and a text


class Known:
    """A set of objects that keeps none of them alive, and calls no method of theirs."""

    def __init__(self) -> None:
        self._refs: dict[int, weakref.ref[Any]] = {}

    def add(self, obj: Any) -> None:
        self._refs[id(obj)] = weakref.ref(obj)

    def prune(self) -> None:
        """Forget what is no more."""
        self._refs = {key: ref for key, ref in self._refs.items() if ref() is not None}

    def __contains__(self, obj: Any) -> bool:
        ref = self._refs.get(id(obj))
        return ref is not None and ref() is obj

    def __iter__(self) -> Iterator[Any]:
        return iter([obj for obj in (ref() for ref in list(self._refs.values())) if obj is not None])


class Checks:
    """A mixin of loops, which tells a Ledger what happens on them."""

    _ledger: Ledger

    def run_forever(self) -> None:
        """Run until stop() is called."""
        ledger = self._ledger
        ledger.used = True
        with ledger.watching(self):
            super().run_forever()  # type: ignore[misc]

    def close(self) -> None:
        """Release everything. Closing again does nothing."""
        if not self.is_closed() and not self.is_running():  # type: ignore[attr-defined]
            self._ledger.ends(self)
        super().close()  # type: ignore[misc]


def _noting(name: str) -> Callable[..., Any]:
    """A loop's method that notes which line had it make something."""

    @functools.wraps(getattr(Loop, name))
    async def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        place = places.caller(2)
        made = await getattr(super(Checks, self), name)(*args, **kwargs)
        self._ledger.made(made[0] if isinstance(made, tuple) else made, place)
        return made

    return method


for _method in _MAKE_TRANSPORTS.split():
    if hasattr(Loop, _method):
        setattr(Checks, _method, _noting(_method))


class CheckedLoop(Checks, Loop):
    """The loop that tests run on with the plugin."""


class CheckedSimulatedLoop(Checks, SimulatedLoop):
    """The same on virtual time."""


class Ledger:
    """What there is before a test and what is left after it."""

    def __init__(self, watching: Callable[[Any], Any], origins: Origins) -> None:
        self.watching = watching
        self.origins = origins
        self.used = False  # a loop ran in this test
        self.loops, self.servers = Known(), Known()
        self.places: dict[int, tuple[weakref.ref[Any], places.Place | None]] = {}
        self.found: list[Problem] = []
        self.tasks, self.transports = Known(), Known()
        self.files: dict[int, str] = {}
        self.told: set[int] = set()  # descriptors of transports and servers, told as such
        self.threads, self.old_loops = Known(), Known()

    # ---- what the loops tell ------------------------------------------------------------------

    def begin_loop(self, loop: Any) -> None:
        loop._ledger = self
        self.loops.add(loop)
        self.note(loop, places.caller(2))

    def note(self, obj: Any, place: places.Place | None) -> None:
        self.places[id(obj)] = weakref.ref(obj), place

    def made(self, obj: Any, place: places.Place | None) -> None:
        """Note a transport, or a server, and the line that made it."""
        if isinstance(obj, asyncio.AbstractServer):
            self.servers.add(obj)
        # of a transport with TLS, the one below it
        self.note(getattr(getattr(obj, "_ssl_protocol", None), "_transport", None) or obj, place)

    def place_of(self, obj: Any) -> places.Place | None:
        ref, place = self.places.get(id(obj), (None, None))
        return place if ref is not None and ref() is obj else None

    def left(self, loop: Any) -> None:
        """Take down which tasks are left where they are about to be cancelled, all at once."""
        for task in sorted(all_tasks(loop), key=standing.name_of):
            if task not in self.tasks and not _is_cancelled(task) and _name(task) not in _OF_PLUGINS:
                self.tasks.add(task)  # told once
                self.found.append(("tasks", _task(task)))

    def ends(self, loop: Any) -> None:
        """Take down what is open on a loop that is being closed."""
        self.left(loop)
        self._look_at_transports(loop)

    def _look_at_transports(self, loop: Any) -> None:
        for server in self.servers:
            if server.get_loop() is loop and server.sockets and server not in self.transports:
                self.transports.add(server)
                name = ", ".join(str(sock.getsockname()) for sock in server.sockets)
                self.told.update(sock.fileno() for sock in server.sockets)
                self.found.append(("transports", f"a server on {name}{self._made(server)}"))
        for watch in loop._poller.watched():
            if not hasattr(watch, "is_closing") or watch.is_closing() or watch in self.transports:
                continue
            self.transports.add(watch)
            self.told.add(watch.fd)
            self.found.append(("transports", f"an open transport, {_transport(watch)}{self._made(watch)}"))

    def _made(self, obj: Any) -> str:
        place = self.place_of(obj)
        return "" if place is None else f"\n      made at {places.told(place)}"

    # ---- a test -------------------------------------------------------------------------------

    def begin(self) -> None:
        """Note what there is before a test."""
        self.used, self.found, self.told = False, [], set()
        self.tasks, self.transports = Known(), Known()
        self.threads, self.old_loops = Known(), Known()
        self.loops.prune()
        self.servers.prune()
        self.places = {key: value for key, value in self.places.items() if value[0]() is not None}
        self.files = open_files()
        self._excuse()
        self.origins.begin()

    def _excuse(self) -> None:
        for loop in self.loops:
            self.old_loops.add(loop)
            if not loop.is_closed():
                for task in all_tasks(loop):
                    self.tasks.add(task)
                for watch in loop._poller.watched():
                    self.transports.add(watch)
        for server in self.servers:
            self.transports.add(server)
        for thread in threading.enumerate():
            self.threads.add(thread)

    @contextmanager
    def excused(self) -> Iterator[None]:
        """What is made inside is to last longer than the test: the fixtures of a module, or of the session."""
        before, found = open_files(), len(self.found)
        old_tasks = [each for each in self.loops if not each.is_closed()]
        pending = Known()
        for loop in old_tasks:
            for task in all_tasks(loop):
                pending.add(task)
        try:
            yield
        finally:
            for fd, to in open_files().items():
                if before.get(fd) != to:
                    self.files[fd] = to
            mine = [task for task in pending if task not in self.tasks]
            self._excuse()
            for task in mine:  # made by the test before, and no less left behind for that
                self.tasks._refs.pop(id(task), None)
            del self.found[found:]

    def end(self) -> list[Problem]:
        """Return what the test has left behind."""
        if self.used:
            self._look_at_threads()
            for loop in self.loops:
                if not loop.is_closed():
                    self._look_at_loop(loop)
            self._look_at_files()
        self.origins.end()
        return self.take()

    def take(self) -> list[Problem]:
        """Return what was found, once."""
        found, self.found = self.found, []
        return found

    def _look_at_loop(self, loop: Any) -> None:
        if loop.is_running():
            return
        self.left(loop)
        self._look_at_transports(loop)

    def _look_at_threads(self) -> None:
        new = [each for each in threading.enumerate() if each not in self.threads and not each.daemon]
        for thread in new:
            thread.join(0 if self._idle(thread) else PATIENCE)
        for thread in new:
            if thread.is_alive() and not self._idle(thread):
                place = self.origins.threads.get(thread.name)
                text = f"a thread that still runs: {thread.name}"
                frame = sys._current_frames().get(thread.ident or 0)
                if frame is not None:
                    text += f", at {places.told((frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_qualname))}"
                self.found.append(("threads", text + _started(place)))

    @staticmethod
    def _idle(thread: threading.Thread) -> bool:
        """An idle thread of a pool waits for others who use the pool."""
        frame = sys._current_frames().get(thread.ident or 0)
        return frame is not None and outside.is_idle(frame)

    def _new_files(self) -> dict[int, str]:
        return {fd: to for fd, to in open_files().items() if self.files.get(fd) != to and fd not in self.told}

    def _look_at_files(self) -> None:
        if not self._new_files():
            return
        gc.collect()  # only what survives a collection is a leak
        new = self._new_files()
        unclosed = [each for each in self.loops if not each.is_closed() and each not in self.old_loops]
        loops = [self.place_of(loop) for loop in unclosed]
        for loop in unclosed:
            self.found.append(("fds", f"an event loop that was not closed{self._made(loop)}"))
        for fd, to in sorted(new.items()):
            name, place = self.origins.of(fd, to)
            if loops and (to.startswith("anon_inode:[event") if place is None else place in loops):
                continue  # a loop's own
            self.found.append(("fds", f"an open file: fd {fd}, {name}{_started(place, 'opened')}"))


def _started(place: places.Place | None, verb: str = "started") -> str:
    return "" if place is None else f"\n      {verb} at {places.told(place)}"


def _name(task: Any) -> str:
    return plain(census.name_of_coroutine(standing.coroutine_of(task)))


def _is_cancelled(task: Any) -> bool:
    """True if somebody has asked for that; by the method of its make, its class's own may be anybody's."""
    for make in (Task, asyncio.Task):
        if make in type(task).__mro__:
            return bool(make.cancelling(task))
    return False


def _task(task: Any) -> str:
    """One text of a task that is left: what it is, where it was made, where it stands."""
    name = _name(task)
    made = standing.created_at(task)
    text = f"a task that still runs: {plain(short(standing.name_of(task)))}, {name}()"
    stands = places.where(task)
    if made is not None and (stands is None or places.is_users(made[0])):
        text += f"\n      made at {places.told(made)}"
    if stands is not None and places.is_users(stands[0]):
        text += f"\n      it waits at {places.told(stands)}"
    return text


def _transport(transport: Any) -> str:
    info = transport.get_extra_info
    own, peer = info("sockname"), info("peername")
    if own or peer:
        return plain(f"{own or 'a socket'} to {peer or 'nobody'}")
    return f"{type(transport).__name__} of fd {transport.fd}"


def open_files() -> dict[int, str]:
    """Return fd → what it leads to, of this process; empty where the platform does not tell."""
    files: dict[int, str] = {}
    try:
        names = os.listdir("/proc/self/fd")
    except OSError:
        return files
    for name in names:
        try:
            to = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue  # the folder's own descriptor, closed again by now
        if not to.endswith("/schedstat"):  # blocks.py reads it, in its thread
            files[int(name)] = to
    return files


class Origins:
    """Which line opened a file or a socket, or started a thread: from the interpreter's audit events."""

    _hooked = False
    _active: Origins | None = None

    def __init__(self) -> None:
        self.paths: dict[str, places.Place | None] = {}
        self.sockets: list[tuple[weakref.ref[Any], places.Place | None]] = []
        self.threads: dict[str, places.Place | None] = {}

    def begin(self) -> None:
        """Listen. An audit hook cannot be taken out again: one for the process, which does nothing between tests."""
        self.__init__()  # type: ignore[misc]
        Origins._active = self
        if not Origins._hooked:
            Origins._hooked = True
            sys.addaudithook(_heard)

    def end(self) -> None:
        """Listen no longer."""
        Origins._active = None

    def hear(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            path = args[0]
            if type(path) is str and not path.endswith((".py", ".pyc", "/schedstat")):
                self.paths[os.path.abspath(path)] = places.caller(3)
        elif event == "socket.__new__":
            self.sockets.append((weakref.ref(args[0]), places.caller(3)))
        else:
            thread = getattr(args[0], "__self__", None)
            if type(thread) is threading.Thread:
                self.threads[thread.name] = places.caller(3)

    def of(self, fd: int, to: str) -> tuple[str, places.Place | None]:
        """Return what a descriptor is, and where it was opened."""
        for ref, place in self.sockets:
            sock = ref()
            if sock is not None and sock.fileno() == fd:
                return repr(sock), place
        return places.shown(to), self.paths.get(to)


_EVENTS = frozenset({"open", "socket.__new__", "_thread.start_new_thread", "_thread.start_joinable_thread"})


def _heard(event: str, args: tuple[Any, ...]) -> None:
    active = Origins._active
    if active is not None and event in _EVENTS:
        try:
            active.hear(event, args)
        except Exception:  # what is heard of goes on, whatever becomes of our note
            pass


@contextmanager
def told_of_leftovers(ledger: Ledger) -> Iterator[None]:
    """Have the ledger told of what a Runner, asyncio's or ours, cancels at its end."""
    stock: Any = asyncio.runners
    real_stock, real_ours = stock._cancel_all_tasks, running._cancel_all

    def first(real: Callable[[Any], None]) -> Callable[[Any], None]:
        def cancel_all(loop: Any) -> None:
            if isinstance(loop, Checks):
                ledger.left(loop)
            real(loop)

        return cancel_all

    ours: Any = running
    stock._cancel_all_tasks, ours._cancel_all = first(real_stock), first(real_ours)
    try:
        yield
    finally:
        stock._cancel_all_tasks, ours._cancel_all = real_stock, real_ours
