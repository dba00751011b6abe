"""What epoll.pyx does, in plain Python."""

from __future__ import annotations

import errno
import os
import select

READ, WRITE, HANGUP, LEVEL = 1, 2, 4, 8


class Epoll:
    """An epoll instance with an eventfd to end its waits."""

    def __init__(self) -> None:
        self._pid = os.getpid()  # after a fork the kernel's object is the parent's
        self._epoll = select.epoll()
        self._new: select.epoll | None = None
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._epoll.register(self._wake, select.EPOLLIN | select.EPOLLET)
        self._generations: dict[int, int] = {}
        self._ready: list[tuple[int, int]] = []
        self.fd = -1
        self.events = 0
        self.generation = 0

    @staticmethod
    def _wanted(events: int) -> int:
        mask = 0 if events & LEVEL else select.EPOLLET
        if events & READ:
            mask |= select.EPOLLIN | select.EPOLLRDHUP
            if not events & LEVEL:
                mask |= select.EPOLLPRI  # a read of TCP ends at urgent data, with more behind it
        if events & WRITE:
            mask |= select.EPOLLOUT
        return mask

    def check_process(self) -> None:
        """Refuse to go on in a forked child: the epoll is shared, and a change here would change the parent's."""
        if self._pid != os.getpid():
            raise RuntimeError("this event loop was made before a fork: the child process has to make its own")

    def add(self, fd: int, events: int, generation: int) -> None:
        self.check_process()
        self._generations[fd] = generation
        try:
            self._epoll.register(fd, self._wanted(events))
        except FileExistsError:
            self._epoll.modify(fd, self._wanted(events))

    def change(self, fd: int, events: int, generation: int) -> None:
        self.check_process()
        self._generations[fd] = generation
        try:
            self._epoll.modify(fd, self._wanted(events))
        except FileNotFoundError:
            self._epoll.register(fd, self._wanted(events))

    def remove(self, fd: int) -> None:
        self._generations.pop(fd, None)
        if self._epoll.closed or self._pid != os.getpid():
            return
        try:
            self._epoll.unregister(fd)
        except OSError as exc:
            if exc.errno not in (errno.ENOENT, errno.EBADF, errno.EPERM):
                raise

    def renew(self) -> None:
        """Make one more epoll of the kernel's: restore() each descriptor in it, then replace() this one by it.

        Where one of these fails, call stay().
        """
        self.check_process()
        self._new = select.epoll()
        self._new.register(self._wake, select.EPOLLIN | select.EPOLLET)

    def restore(self, fd: int, events: int, generation: int) -> None:
        """Add a descriptor to the new epoll, unless it was closed. What holds already is reported."""
        wanted, new = self._wanted(events), self._new
        assert new is not None
        try:
            # Only the old one can tell whether the number stands for the same file: it may be another's by now.
            self._epoll.modify(fd, wanted)
        except OSError as exc:
            if exc.errno not in (errno.ENOENT, errno.EBADF, errno.EPERM):
                raise
            return
        new.register(fd, wanted)

    def replace(self) -> None:
        """Put the new epoll in the old one's place."""
        new = self._new
        assert new is not None
        self._epoll.close()
        self._epoll, self._new = new, None

    def stay(self) -> None:
        """Let go of what renew() has made. A new epoll that is not used would count among what the user may watch."""
        if self._new is not None:
            self._new.close()
            self._new = None

    def wait(self, timeout: float) -> None:
        """Wait at most `timeout` seconds for events. Then next() loads them one by one."""
        self.check_process()
        found = self._epoll.poll(None if timeout < 0 else min(timeout, 86400.0))
        self._ready = [(fd, mask) for fd, mask in reversed(found) if fd != self._wake]

    def left(self) -> int:
        """How many events next() has not loaded yet."""
        return len(self._ready)

    def next(self) -> bool:
        """Load the next event: its fd, events and generation. False: there is none."""
        if not self._ready:
            return False
        self.fd, mask = self._ready.pop()
        self.generation = self._generations.get(self.fd, -1)
        self.events = 0
        if mask & (select.EPOLLIN | select.EPOLLPRI | select.EPOLLRDHUP):
            self.events |= READ
        if mask & select.EPOLLOUT:
            self.events |= WRITE
        if mask & (select.EPOLLRDHUP | select.EPOLLPRI):
            self.events |= HANGUP  # a short read is not the last
        if mask & (select.EPOLLHUP | select.EPOLLERR):
            self.events |= READ | WRITE | HANGUP
        return True

    def wake(self) -> None:
        os.eventfd_write(self._wake, 1)

    def fileno(self) -> int:
        """The epoll fd; -1 once closed."""
        return -1 if self._epoll.closed else self._epoll.fileno()

    def close(self) -> None:
        """Close both fds. Closing again does nothing."""
        if not self._epoll.closed:
            self._epoll.close()
            os.close(self._wake)
