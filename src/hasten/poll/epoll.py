"""The poller on Linux's epoll. Its contract: contract.py.

Everything is registered edge-triggered (EPOLLET) unless LEVEL is asked for, with EPOLLRDHUP, so that the end of a
stream is seen without one more read. The event's data carries the fd and a generation: a report that belongs to an
earlier owner of the same fd is recognised and dropped. Where such reports go on, the fd was closed behind our back
while a duplicate keeps its file open: nobody can take it out any more, so the poller begins anew without it. Wake-ups
come by an eventfd that is never read: registered edge-triggered, each write to it is a new edge.
"""

from __future__ import annotations

from typing import Any

import cython

from hasten.kernel.epoll import Epoll
from hasten.poll.contract import Poller, Watch

STRAYS = 16  # polls in a row with reports that are nobody's; one or two come of edges


@cython.no_gc_clear  # type: ignore[attr-defined] # as Poller is
@cython.cclass
class EpollPoller(Poller):
    """Watches fds with epoll."""

    queue: Epoll
    table: list[Any]
    generations: int
    stray: bool
    strays: int
    name = "epoll"

    def __cinit__(self) -> None:
        self.queue = Epoll.__new__(Epoll)  # without an fd, for who forgets __init__(): errors, not null pointers
        self.table = []

    def __init__(self) -> None:
        Poller.__init__(self)
        self.lasting = True
        self.queue = Epoll()
        self.table = [None] * 64
        self.generations = 0
        self.stray = False
        self.strays = 0

    def register(self, watch: Watch, events: int) -> int:
        fd = watch.fd
        if fd < 0:
            raise ValueError(f"invalid file descriptor: {fd}")
        known = self.take_place(fd)
        self.generations += 1
        watch.generation = self.generations & 0x7FFFFFFF
        if known:
            self.queue.change(fd, events, watch.generation)
        else:
            self.queue.add(fd, events, watch.generation)
        self.make_room(watch)  # only now: any number may be given as an fd, but not every one is open
        watch.events = events
        watch.fired = 0
        self.table[fd] = watch
        self.watching += 1
        self.stirred = True
        return 0

    def make_room(self, watch: Watch) -> int:
        """Have a place in the table for what the kernel watches already; without memory, have it do so no more."""
        fd, room = watch.fd, len(self.table)
        try:
            if fd >= room:
                self.table.extend([None] * (fd + 64 - room + 1))
        except BaseException:  # nobody would know whose it is, and it would be reported for ever
            self.queue.remove(fd)
            raise
        return 0

    def take_place(self, fd: int) -> bool:
        """Have the watch of an fd make way; return True if the kernel may know it. Raises ValueError if it stays."""
        item = self.watch_of(fd)
        if item is None:
            return False
        before = cython.cast(Watch, item)
        if not before.make_way() or self.watch_of(fd) is not before:
            raise ValueError(f"file descriptor {fd} is watched already")
        self.table[fd] = None
        self.watching -= 1
        before.events = before.fired = 0
        return True

    def modify(self, watch: Watch, events: int) -> int:
        self.change(watch, events)
        watch.events = events
        self.stirred = True
        return 0

    def change(self, watch: Watch, events: int) -> int:
        """Ask for other events. If the number is another file's by now, the old one's reports are nobody's."""
        before = watch.generation
        self.generations += 1
        watch.generation = self.generations & 0x7FFFFFFF
        try:
            self.queue.change(watch.fd, events, watch.generation)
        except BaseException:
            watch.generation = before
            raise
        return 0

    def unregister(self, watch: Watch) -> int:
        fd = watch.fd
        watch.events = watch.fired = 0
        if 0 <= fd < len(self.table) and self.table[fd] is watch:
            self.table[fd] = None
            self.watching -= 1
            self.queue.remove(fd)
        return 0

    def watch_of(self, fd: int) -> Watch | None:
        if 0 <= fd < len(self.table):
            return self.table[fd]  # type: ignore[no-any-return]
        return None

    def all_watches(self) -> list[Watch]:
        return [watch for watch in self.table if watch is not None]

    def wait(self, timeout: float) -> int:
        queue = self.queue
        if not queue.left():  # else a MemoryError cut the last harvest short
            if self.stray or self.strays:
                self.count_strays()
            queue.wait(timeout)
        self.found = queue.left()
        return 0

    def count_strays(self) -> int:
        """Note if the latest poll had a report that is nobody's. If that goes on, have no such reports any more."""
        self.strays = self.strays + 1 if self.stray else 0
        self.stray = False
        if self.strays < STRAYS:
            return 0
        self.strays = 0
        queue = self.queue
        try:
            queue.renew()
            for item in self.table:
                if item is not None:
                    watch = cython.cast(Watch, item)
                    queue.restore(watch.fd, watch.events, watch.generation)
            queue.replace()
        except (OSError, MemoryError):  # no descriptor or memory to spare: all stays as it was, and later, perhaps
            queue.stay()
        return 0

    def take(self) -> Watch | None:
        # Without names for what is looked at: each would cost a reference, for each report.
        if not self.queue.next():
            self.found = 0
            return None
        self.found = self.queue.left()
        if self.queue.fd < 0 or self.queue.fd >= len(self.table):  # below 0: the eventfd
            return None
        watch = self.table[self.queue.fd]
        if watch is None or cython.cast(Watch, watch).generation != self.queue.generation:
            self.stray = True
            return None
        cython.cast(Watch, watch).fired |= self.queue.events
        return cython.cast(Watch, watch)

    def wake(self) -> int:
        if self.sleeping:
            self.sleeping = False
            self.queue.wake()
        return 0

    def close(self) -> None:
        self.queue.close()
        self.table = []
        self.found = self.watching = 0
