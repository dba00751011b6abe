"""The poller on the standard library's selectors: for every platform. Its contract: contract.py.

Selectors tell what is ready as long as it is. What fired for an edge-triggered watch is therefore not looked for
again until drained() is called.
"""

from __future__ import annotations

import os
import selectors
import socket
from typing import Any

import cython

from hasten.poll import events as ev
from hasten.poll.contract import Poller, Watch


@cython.cclass
class SelectorsPoller(Poller):
    """Watches fds with selectors.DefaultSelector."""

    selector: Any
    watches: dict[int, Watch]
    ripe: list[tuple[Watch, int]]
    armed: dict[int, int]
    waker: Any
    woken: Any
    pid: int
    name = "selectors"

    def __init__(self) -> None:
        Poller.__init__(self)
        self.watches = {}
        self.ripe = []
        self.armed = {}
        self.pid = os.getpid()
        self.woken, self.waker = socket.socketpair()
        try:
            self.selector = selectors.DefaultSelector()
        except OSError:  # no fd to spare
            self.woken.close()
            self.waker.close()
            raise
        self.woken.setblocking(False)
        self.waker.setblocking(False)
        self.selector.register(self.woken, selectors.EVENT_READ)

    def arm(self, fd: int, events: int) -> int:
        """Make the selector look for `events` of an fd, and no others."""
        events &= ev.READ | ev.WRITE
        before = self.armed.get(fd, 0)
        if self.pid != os.getpid():
            return self.refuse_child(events)
        if events == before:
            return 0
        # READ and WRITE have the values of selectors.EVENT_READ and EVENT_WRITE
        if events == 0:
            self.forget(fd)  # may find no memory: then nothing has changed
            del self.armed[fd]
            return 0
        if before == 0:
            try:
                self.selector.register(fd, events)
            except KeyError:  # it knows the number, since there was no memory once to finish what was begun here
                self.forget(fd)
                self.selector.register(fd, events)
        else:
            try:
                self.selector.modify(fd, events)
            except (FileNotFoundError, KeyError):  # closed and opened anew: the kernel forgot it, and the selector
                self.selector.register(fd, events)
        self.armed[fd] = events
        return 0

    def forget(self, fd: int) -> int:
        """Take an fd out of the selector, whatever has become of it."""
        try:
            self.selector.unregister(fd)
        except (KeyError, ValueError, OSError):  # closed behind our back
            pass
        return 0

    def refuse_child(self, events: int) -> int:
        """Refuse `events` after a fork: the kernel's object is shared, and a change here would change the parent's."""
        if events:
            raise RuntimeError("this event loop was made before a fork: the child process has to make its own")
        return 0

    def register(self, watch: Watch, events: int) -> int:
        fd = watch.fd
        if fd < 0:
            raise ValueError(f"invalid file descriptor: {fd}")
        self.take_place(fd)
        self.arm(fd, 0)  # it is armed yet if there was no memory to unregister an earlier owner of the number
        self.arm(fd, events)
        watch.events = events
        watch.fired = 0
        self.watches[fd] = watch
        self.watching = len(self.watches)
        self.stirred = True
        return 0

    def take_place(self, fd: int) -> int:
        """Have the watch of an fd make way, if there is one. Raises ValueError if it stays."""
        item = self.watches.get(fd)
        if item is None:
            return 0
        before = cython.cast(Watch, item)
        if not before.make_way() or self.watches.get(fd) is not before:
            raise ValueError(f"file descriptor {fd} is watched already")
        return self.unregister(before)

    def modify(self, watch: Watch, events: int) -> int:
        if watch.events == events:  # the number may stand for another file by now
            self.arm(watch.fd, 0)
        self.arm(watch.fd, events)
        watch.events = events
        self.stirred = True
        return 0

    def unregister(self, watch: Watch) -> int:
        watch.events = watch.fired = 0
        if self.watches.get(watch.fd) is watch:
            del self.watches[watch.fd]
            self.watching = len(self.watches)
            self.arm(watch.fd, 0)
        return 0

    def drained(self, watch: Watch, events: int) -> int:
        if watch.events and not watch.events & ev.LEVEL:
            self.arm(watch.fd, self.armed.get(watch.fd, 0) | (watch.events & events))
        return 0

    def watch_of(self, fd: int) -> Watch | None:
        return self.watches.get(fd)

    def all_watches(self) -> list[Watch]:
        return list(self.watches.values())

    def wait(self, timeout: float) -> int:
        if self.pid != os.getpid():
            self.refuse_child(ev.READ)
        if self.ripe:  # a MemoryError cut the last harvest short
            return 0
        found = self.selector.select(None if timeout < 0 else min(timeout, 86400.0))
        for key, events in reversed(found):  # take() begins at the end
            if key.fileobj is self.woken:
                self.empty()
            else:
                self.fire(key.fd, events)
        return 0

    def fire(self, fd: int, events: int) -> int:
        item = self.watches.get(fd)
        if item is None:
            return 0
        watch = cython.cast(Watch, item)
        self.ripe.append((watch, events))
        self.found = len(self.ripe)
        if not watch.events & ev.LEVEL:
            self.arm(fd, self.armed.get(fd, 0) & ~events)
        return 0

    def take(self) -> Watch | None:
        if not self.ripe:
            self.found = 0
            return None
        item, events = self.ripe[-1]
        watch = cython.cast(Watch, item)
        registered = self.watches.get(watch.fd) is watch  # may find no memory for the number
        del self.ripe[-1:]  # of none, too: a trace function may have run the loop meanwhile
        self.found = len(self.ripe)
        if not registered:
            return None
        watch.fired |= events
        return watch

    def empty(self) -> None:
        """Read what wake() wrote."""
        try:
            while self.woken.recv(4096):
                pass
        except (BlockingIOError, InterruptedError):
            pass

    def wake(self) -> int:
        if self.sleeping:
            self.sleeping = False
            try:
                self.waker.send(b"\0")
            except OSError:  # full: it is awake already
                pass
        return 0

    def close(self) -> None:
        if self.woken is not None:
            self.selector.close()
            self.woken.close()
            self.waker.close()
            self.woken = self.waker = None
            self.watches.clear()
            self.ripe.clear()
            self.found = self.watching = 0
            self.armed.clear()
