"""File descriptors that somebody else owns: callbacks for them, and tasks that wait for them once.

Callbacks (add_reader() and add_writer()) are level-triggered as in asyncio: they are called again as long as the fd is
ready. Who waits (net/sock_calls) tries first and waits only for what would block, so edges suffice; where the poller is
lasting, the fd then stays registered for who waits next, which saves two system calls for each wait. Nobody tells us
when it is closed: the object that it belongs to is known by a weak reference, and a wait for another object of the same
number begins anew.
"""

from __future__ import annotations

import errno
import weakref
from collections.abc import Callable
from typing import Any

import cython

from hasten.core import describe, state
from hasten.core import future as futures
from hasten.core.future import Future
from hasten.core.handle import Handle
from hasten.core.scheduler import Scheduler
from hasten.kernel.step import Step
from hasten.poll import events as ev
from hasten.poll.contract import Watch


@cython.cclass
class FdWatch(Watch):
    """One fd with the callbacks for reading and writing, and with those who wait for it."""

    loop: Scheduler
    reader: Handle | None
    writer: Handle | None
    owner: object
    reading: Future[None] | None
    writing: Future[None] | None
    read_from: Any
    written_to: Any
    file: weakref.ref[Any] | None
    quiet: bool
    hung: bool
    drained: bool
    if not cython.compiled:

        def waited_for(self) -> bool:
            return any(fut is not None and fut.status == state.PENDING for fut in (self.reading, self.writing))

        def level(self) -> bool:
            return self.reader is not None or self.writer is not None

    def __init__(self, loop: Scheduler, fd: int) -> None:
        self.loop = loop
        self.fd = fd

    def dispatch(self) -> int:
        fired = self.fired
        self.fired = 0
        self.queued = False
        self.tell(fired)
        if not self.level():
            return 0
        if self.events != wanted(self) | ev.LEVEL:
            settle(self)  # what was waited for is no longer, and would be reported for ever
        return run_both(fired, self.reader, self.writer, self.loop._step)

    def tell(self, fired: int) -> int:
        """Tell those who wait."""
        self.drained = False
        if fired & ev.HANGUP:
            self.hung = True
        if self.reading is not None and fired & ev.READ:
            self.end_wait(ev.READ).finish(None)
        if self.writing is not None and fired & ev.WRITE:
            self.end_wait(ev.WRITE).finish(None)
        return 0

    def end_wait(self, event: int) -> Future[None]:
        """Forget who waits for READ or WRITE; return the future."""
        if event == ev.READ:
            fut, self.reading = self.reading, None
            self.read_from = None
        else:
            fut, self.writing = self.writing, None
            self.written_to = None
        return fut  # type: ignore[return-value]

    def make_way(self) -> bool:
        self.strand_closed()
        return not (self.level() or self.waited_for())

    def is_of(self, file: object) -> bool:
        """True if those who wait here wait for this object."""
        return self.file is not None and self.file() is file

    def note_read(self, n: int, room: int) -> int:
        """Note that a read into so much room gave `n` bytes: a short one has drained it, unless the peer hung up."""
        self.drained = self.quiet and 0 < n < room and not self.hung and (self.events & ev.READ) != 0
        return 0

    def strand_closed(self) -> int:
        """End the waits for objects that were closed: nothing would ever wake who waits there."""
        if self.reading is not None and not has_fd(self.read_from, self.fd):
            self.strand(ev.READ)
        if self.writing is not None and not has_fd(self.written_to, self.fd):
            self.strand(ev.WRITE)
        return 0

    def strand(self, event: int) -> int:
        fut = self.end_wait(event)
        if fut is not None:  # to ask its object may have run anything
            text = f"Socket with file descriptor {self.fd} was closed while a task waited on it"
            fut.fail(OSError(errno.EBADF, text))
        return 0


def has_fd(file: Any, fd: int) -> bool:
    """True if the object still has the descriptor. One that is closed may raise anything."""
    try:
        return file.fileno() == fd  # type: ignore[no-any-return]
    except (MemoryError, RecursionError):
        raise
    except Exception:
        return False


def run_both(fired: int, reader: Handle | None, writer: Handle | None, st: Step) -> int:
    """Run the callbacks. They are arguments, so that they are held: one may remove itself or the other."""
    if fired & ev.READ and reader is not None:
        reader.run(st)
    if fired & ev.WRITE and writer is not None:
        writer.run(st)
    return 0


def fileno(fd: Any) -> int:
    """Return the file descriptor of an int or an object with fileno(). Raises ValueError or TypeError."""
    if isinstance(fd, int):
        number = int(fd)
    else:
        try:
            number = int(fd.fileno())
        except (AttributeError, TypeError, ValueError):
            raise ValueError(
                f"Invalid file object: {fd!r}: a file descriptor or an open object with fileno() was expected"
            ) from None
    if not -1 <= number <= 0x7FFFFFFF:
        raise ValueError(f"Invalid file descriptor: {number}")
    if number < 0:
        raise ValueError(f"Invalid file descriptor: {number}: is it closed?")
    return number


def known(loop: Scheduler, fd: Any) -> int:
    """Do as fileno(); know an object that was closed since it was added by its identity, as in asyncio."""
    try:
        return fileno(fd)
    except ValueError:
        watch = owned_by(loop, fd) if isinstance(loop, Scheduler) else None  # compiled, None is no wrong type
        if watch is None:
            raise
        return cython.cast(Watch, watch).fd


def owned_by(loop: Scheduler, owner: object) -> FdWatch | None:
    """Return the FdWatch that was made for an object, or None."""
    if not isinstance(owner, int):
        for each in loop._poller.all_watches():
            if type(each) is FdWatch:
                watch = cython.cast(FdWatch, each)
                if watch.owner is owner:
                    return watch
    return None


def obtain(loop: Scheduler, fd: int) -> FdWatch | None:
    """Return the FdWatch of an fd, or None. Raises RuntimeError if a transport has the fd."""
    watch = loop._poller.watch_of(fd)
    if watch is None:
        return None
    if type(watch) is not FdWatch:
        raise RuntimeError(f"File descriptor {fd!r} is used by transport {watch!r}")
    return cython.cast(FdWatch, watch)


def known_of(loop: Scheduler, fd: int, file: object) -> FdWatch | None:
    """Return the FdWatch where waits for this object are registered already, or None."""
    watch = loop._poller.watch_of(fd)
    if type(watch) is not FdWatch:
        return None
    found = cython.cast(FdWatch, watch)
    return found if found.is_of(file) else None


def wanted(watch: FdWatch) -> int:
    """Return the events that somebody is there for."""
    events = 0
    if watch.reader is not None or watch.reading is not None:
        events |= ev.READ
    if watch.writer is not None or watch.writing is not None:
        events |= ev.WRITE
    return events


def settle(watch: FdWatch) -> int:
    """Make the poller look for what somebody is there for."""
    events = wanted(watch)
    poller = watch.loop._poller
    if watch.level():
        events |= ev.LEVEL
    elif poller.lasting and watch.file is not None and not watch.events & ev.LEVEL:
        if watch.quiet and events:
            events |= ev.READ | ev.WRITE  # costs nothing, and the next wait finds it there
        else:
            events |= watch.events & (ev.READ | ev.WRITE if watch.quiet else ev.READ)
    if events == 0:
        if watch.events:
            poller.unregister(watch)
    elif watch.events == 0:
        poller.register(watch, events)
    else:
        poller.modify(watch, events)
    return 0


def add(
    loop: Scheduler, fd: int, event: int, callback: Callable[..., Any], args: tuple[Any, ...], owner: object = None
) -> Handle:
    """Call callback(*args) whenever fd is ready for `event` (READ or WRITE); replace an earlier callback.

    `owner` is the object that fd was asked of: it can take the callback away even when it is closed by then. None: the
    callback is of hasten's own, and one.
    """
    loop._check_closed()
    if owner is not None:
        describe.check_callback(callback, "add_reader" if event == ev.READ else "add_writer")
    # all that may run anybody's code comes first, and what is replaced is dropped last
    new = Handle(callback, args, loop, None)
    watch = obtain(loop, fd)
    if watch is None:
        made = FdWatch(loop, fd)
        watch = obtain(loop, fd)
        if watch is None:
            watch = made
    before = replace(watch, event, new, owner)
    if before is not None:
        before.cancel()
    return new


def replace(watch: FdWatch, event: int, new: Handle, owner: object) -> Handle | None:
    """Have a watch call `new`, if the poller takes it; return what it called before."""
    before_owner = watch.owner
    before = watch.reader if event == ev.READ else watch.writer
    watch.owner = owner
    put(watch, event, new)
    try:
        settle(watch)
    except BaseException:
        put(watch, event, before)
        watch.owner = before_owner
        raise
    return before


def put(watch: FdWatch, event: int, callback: Handle | None) -> int:
    if event == ev.READ:
        watch.reader = callback
    else:
        watch.writer = callback
    return 0


def remove(loop: Scheduler, fd: int, event: int) -> bool:
    """Remove a callback; return False if there was none."""
    if loop._closed:
        return False
    watch = obtain(loop, fd)
    if watch is None:
        return False
    before = watch.reader if event == ev.READ else watch.writer
    if before is None:
        return False
    put(watch, event, None)
    try:
        settle(watch)
    finally:
        before.cancel()  # it is not called any more, even if the poller refuses: the fd was closed, say
    return True


# ---- waiting once -----------------------------------------------------------------------------------


def wait_once(loop: Scheduler, file: Any, fd: int, event: int, quiet: bool, anew: bool) -> FdWatch:
    """Have a new future told of READ or WRITE, once: it is `reading` or `writing` of what is returned.

    Arguments:
        file: the object whose fd it is.
        quiet: it tells of room only after a write fell short.
        anew: it may be ready already; else it would have blocked just now.

    Raises:
        RuntimeError: a transport has the fd, or somebody waits for the same already.
        OSError: the poller does not take it.
    """
    loop._check_closed()
    fut = Future(loop=loop) if loop.debug else futures.new_future(loop, loop._ready)
    watch = known_of(loop, fd, file)
    if watch is None:
        watch = claim(loop, file, fd)
    before = watch.reading if event == ev.READ else watch.writing
    if before is not None and before.status == state.PENDING:
        action = "read from" if event == ev.READ else "write to"
        raise RuntimeError(
            f"File descriptor {fd} already has a task waiting to {action} it: await that one first, or cancel it"
        )
    watch.quiet = quiet
    if event == ev.READ:
        watch.reading, watch.read_from = fut, file
    else:
        watch.writing, watch.written_to = fut, file
    poller = loop._poller
    try:
        if anew:
            watch.fired &= ~event  # that was before
        if anew or not watch.events & event or watch.level() or (watch.events & ev.WRITE and not quiet):
            settle(watch)
        else:
            poller.drained(watch, event)
    except BaseException:
        leave(watch, event, fut)
        raise
    return watch


def claim(loop: Scheduler, file: Any, fd: int) -> FdWatch:
    """Return a watch for those who wait for an object: a new one, or the callbacks' one of its fd."""
    try:
        ref = weakref.ref(file)
    except TypeError:  # it is registered for each wait
        ref = None
    made = FdWatch(loop, fd)
    made.file = ref
    watch = obtain(loop, fd)
    if watch is None:
        return made
    watch.strand_closed()
    if obtain(loop, fd) is not watch:  # that may have run anything
        return claim(loop, file, fd)
    if not (watch.level() or watch.waited_for()):
        return made  # takes its place
    if watch.events:
        watch.loop._poller.modify(watch, watch.events)
    watch.file = ref  # only now: what is known is not registered once more
    watch.drained = watch.hung = False
    return watch


def leave(watch: FdWatch, event: int, fut: Future[None]) -> int:
    """End a wait that was not fired."""
    loop = watch.loop
    if loop is None or (watch.reading if event == ev.READ else watch.writing) is not fut:
        return 0  # None: the collector takes it apart
    watch.end_wait(event)
    if not loop._closed and (watch.level() or not loop._poller.lasting or watch.file is None):
        try:
            settle(watch)
        except Exception:  # its fd was closed, or there is no memory: what it still reports is a false alarm
            pass
    return 0


def check_free(loop: Scheduler, fd: int) -> None:
    """Raise RuntimeError if a transport has the fd."""
    loop._check_closed()
    obtain(loop, fd)
