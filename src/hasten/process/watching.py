"""How a loop learns that a child has ended: by a pidfd in its poller; where there is none, by a thread that waits.

Only children that were given to watch() are waited for, each by its own number, so that nobody else's child is reaped.
That a child is reaped and that its end is told are one step of the loop's thread: until then its number is not anybody
else's, and to send it a signal is safe.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import threading
import time
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Any

from hasten.core import report

if TYPE_CHECKING:
    from subprocess import Popen

logger = logging.getLogger("asyncio")

Told = Callable[[int], object]

# Seconds until we look again for a status that is not to be had yet, although the child has ended: another thread is
# just taking it by Popen.wait(), or a debugger that holds the child has not looked yet.
AGAIN = 0.01
# Seconds that a loop which closes waits, in all, for children that were killed before. They need a millisecond.
LAST = 0.25
_STATUS_UNKNOWN = 255  # the return code that asyncio gives when somebody else has reaped the child
_AT_ONCE = (getattr(os, "WNOHANG", 0),)  # not on Windows, where there is no waitpid() for it either
_threads = count(1)


class Child:
    """A child under watch."""

    __slots__ = ("killed", "locked", "pidfds", "popen", "statuses", "told")

    def __init__(self, popen: Popen[bytes], told: Told) -> None:
        self.popen = popen
        self.told = told  # is called with the return code, in the loop; again if that was cut short
        self.pidfds: list[int] = []  # one, or none: a thread waits
        self.killed = False  # it will end soon: a loop that closes may wait for that
        self.locked: list[bool] = []  # what acquiring Popen's lock has returned, until it is released
        self.statuses: list[tuple[int, int]] = []  # what waitpid() has returned

    @property
    def pidfd(self) -> int:
        """The pidfd; -1: a thread waits."""
        return self.pidfds[0] if self.pidfds else -1

    def open(self) -> None:
        """Get a pidfd, and keep it whatever a signal handler does: see reap(). Raises AttributeError, OSError."""
        self.pidfds.extend(map(os.pidfd_open, (self.popen.pid,)))

    def send_signal(self, sig: int) -> None:
        """Send a signal. Nothing happens if the child has ended. Raises OSError, PermissionError above all."""
        if self.popen.returncode is not None:
            return
        try:
            if self.pidfd >= 0 and not self._signalled_by_pidfd(sig):
                return
            os.kill(self.popen.pid, sig)
        except ProcessLookupError:
            pass

    def _signalled_by_pidfd(self, sig: int) -> bool:
        """Send a signal to this very process, also if somebody else has reaped it; return True if kill() is to try."""
        try:
            signal.pidfd_send_signal(self.pidfd, sig)
        except ProcessLookupError:
            return False
        except OSError:  # a sandbox that knows the older system call only; or the signal really is not allowed
            return True
        return False

    def reap(self, locked: list[bool] | None = None) -> int | None:
        """Return the return code of a child that has ended; None if it is not to be had now. Never blocks.

        Popen's own lock is taken: a program may use the Popen object in other threads. Whatever cuts this short, a
        signal handler that raises above all, it is safe to call again: so each call of C whose result must not be lost
        keeps it by itself. Handlers run between two calls.

        Arguments:
            locked: a list of its own for another thread than the loop's.

        Raises:
            ChildProcessError: somebody else has reaped it.
            OSError: waitpid() fails otherwise.
        """
        popen: Any = self.popen
        lock = popen._waitpid_lock
        locked = self.locked if locked is None else locked
        if not locked:
            locked.extend(map(lock.acquire, (False,)))
        try:
            if not locked[0]:
                return None
            code: int | None = popen.returncode
            if code is None:
                statuses = self.statuses
                if not statuses:
                    statuses.extend(map(os.waitpid, (popen.pid,), _AT_ONCE))
                found, status = statuses[0]
                if found:
                    code = popen.returncode = os.waitstatus_to_exitcode(status)
                else:
                    statuses.clear()
            return code
        finally:
            ours = locked[0]
            del locked[:]
            if ours:
                lock.release()

    def close(self, loop: Any) -> None:
        """Give the pidfd back. What cuts this short may have it called again."""
        if not self.pidfds:
            return
        fd = self.pidfds[0]
        try:
            loop._remove_reader(fd)
        # refused by the system: closed, it is gone for the poller nevertheless; or its number is still a transport's
        except (OSError, RuntimeError) as exc:
            report.tell(loop, {"message": "The poller failed to let a child process go", "exception": exc})
        del self.pidfds[:]
        os.close(fd)


class Children:
    """The children of one loop.

    It is given the loop with each call and keeps no reference to it, which would be a circle.
    """

    __slots__ = ("_watched", "owner")

    def __init__(self) -> None:
        self._watched: set[Child] = set()
        self.owner = os.getpid()

    def watch(self, loop: Any, popen: Popen[bytes], told: Told) -> Child:
        """Have told(return code) called in the loop once the child has ended.

        Raises RuntimeError, MemoryError or the like if neither a pidfd nor a thread can be had.
        """
        child = Child(popen, told)
        self._watched.add(child)
        try:
            if not self._watch_pidfd(loop, child):
                name = f"hasten-waitpid-{next(_threads)}"
                threading.Thread(target=self._wait, name=name, args=(loop, child), daemon=True).start()
        except BaseException:
            self._forget(loop, child)
            raise
        return child

    def _watch_pidfd(self, loop: Any, child: Child) -> bool:
        """Return False where that is not possible."""
        try:
            child.open()
        except ProcessLookupError:  # a signal handler has reaped it by now, or SIGCHLD is ignored
            loop.call_soon(self._look, loop, child)
            return True
        except (AttributeError, OSError):  # another system, an old kernel, a sandbox; no descriptor left
            return False
        try:
            loop._add_reader(child.pidfd, self._look, loop, child)
        except OSError:  # the user's limit of watches
            child.close(loop)
            return False
        return True

    def _wait(self, loop: Any, child: Child) -> None:
        """Wait in a thread for the child's end; the loop reaps it."""
        try:
            _until_it_has_ended(child.popen)
        except (OSError, MemoryError):
            pass  # who was faster has the status, or the loop looks again and again
        while child in self._watched:
            try:
                loop.call_soon_threadsafe(self._look, loop, child)
                return
            except MemoryError:
                time.sleep(AGAIN)
            except RuntimeError:
                break
        if child.popen.returncode is None:
            with contextlib.suppress(OSError):
                child.reap([])
            if loop.is_closed():
                logger.warning("Loop %r that handles pid %r is closed", loop, child.popen.pid)

    def _look(self, loop: Any, child: Child) -> None:
        """Reap a child that has ended, tell, and let it go."""
        if child not in self._watched:
            return
        try:
            code = self._code(loop, child)
            if code is not None:
                child.told(code)
                self._forget(loop, child)
                return
            loop.call_later(AGAIN, self._look, loop, child)
            if child.pidfd >= 0:
                loop._remove_reader(child.pidfd)
        except BaseException:
            # No memory; a protocol without process_exited(); or it ends the loop, and who runs it again hears of the
            # child. Each step may be done twice.
            loop.call_soon(self._look, loop, child)
            raise

    def _code(self, loop: Any, child: Child) -> int | None:
        """Return the child's return code, whatever waitpid() says; None if it is not to be had yet."""
        pid = child.popen.pid
        try:
            return child.reap()
        except ChildProcessError:
            child.popen.returncode = _STATUS_UNKNOWN
            logger.warning(
                "child process pid %d exit status already read: will report returncode %d", pid, _STATUS_UNKNOWN
            )
        except OSError as exc:
            child.popen.returncode = _STATUS_UNKNOWN
            message = f"The status of child process {pid} cannot be read: return code {_STATUS_UNKNOWN} is told"
            report.tell(loop, {"message": message, "exception": exc})
        return _STATUS_UNKNOWN

    def _forget(self, loop: Any, child: Child) -> None:
        child.close(loop)
        self._watched.discard(child)

    def close(self, loop: Any) -> None:
        """Reap and tell of those that have ended, and give up watching the others: the loop closes.

        What was killed is waited for, a quarter of a second at most. For what runs on, its Popen object is there. An
        error is reported; what ends the program leaves the rest to the next close().
        """
        ours = self.owner == os.getpid()  # in a forked child, they are the parent's children
        deadline = time.monotonic() + LAST
        while self._watched:
            child = next(iter(self._watched))
            try:
                if ours and child.killed and child.pidfd >= 0:
                    _wait_for(child.pidfd, deadline)
                code = self._code(loop, child) if ours else None
                if code is not None:
                    child.told(code)
            except Exception as exc:
                message = f"The end of child process {child.popen.pid} cannot be told"
                report.tell(loop, {"message": message, "exception": exc})
            child.told = _tell_nobody  # a thread that waits on holds the child
            self._forget(loop, child)


def _tell_nobody(code: int) -> None:
    """Take the place of what a closed loop would have called."""


def _until_it_has_ended(popen: Popen[bytes]) -> None:
    """Block until a child has ended, and leave its status alone where the system allows it."""
    if not hasattr(os, "waitid"):
        popen.wait()
        return
    while True:
        found = os.waitid(os.P_PID, popen.pid, os.WEXITED | os.WNOWAIT)
        if found is None or found.si_code != os.CLD_STOPPED:
            return
        # macOS tells of stopped children too, again and again until that is taken
        os.waitid(os.P_PID, popen.pid, os.WSTOPPED | os.WNOHANG)


def _wait_for(pidfd: int, deadline: float) -> None:
    """Wait until a child has ended, or time is over."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.poll(max(0.0, deadline - time.monotonic()) * 1000)
