"""add_reader() and add_writer(): callbacks for file descriptors that somebody else owns.

As in asyncio they are level-triggered: a callback is called again as long as its fd is ready.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cython

from hasten.core import describe
from hasten.core.handle import Handle
from hasten.core.scheduler import Scheduler
from hasten.kernel.step import Step
from hasten.poll import events as ev
from hasten.poll.contract import Watch


@cython.cclass
class FdWatch(Watch):
    """One fd with the callbacks for reading and writing."""

    loop: Scheduler
    reader: Handle | None
    writer: Handle | None
    owner: object

    def __init__(self, loop: Scheduler, fd: int) -> None:
        self.loop = loop
        self.fd = fd

    def dispatch(self) -> int:
        fired = self.fired
        self.fired = 0
        self.queued = False
        return run_both(fired, self.reader, self.writer, self.loop._step)


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


def settle(watch: FdWatch) -> int:
    """Make the poller look for what the callbacks are there for."""
    events = 0
    if watch.reader is not None:
        events |= ev.READ
    if watch.writer is not None:
        events |= ev.WRITE
    poller = watch.loop._poller
    if events == 0:
        if watch.events:
            poller.unregister(watch)
    elif watch.events == 0:
        poller.register(watch, events | ev.LEVEL)
    else:
        poller.modify(watch, events | ev.LEVEL)
    return 0


def add(
    loop: Scheduler, fd: int, event: int, callback: Callable[..., Any], args: tuple[Any, ...], owner: object = None
) -> Handle:
    """Call callback(*args) whenever fd is ready for `event` (READ or WRITE); replace an earlier callback.

    `owner` is the object that fd was asked of: it can take the callback away even when it is closed by then.
    """
    loop._check_closed()
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


def check_free(loop: Scheduler, fd: int) -> None:
    """Raise RuntimeError if a transport has the fd."""
    loop._check_closed()
    obtain(loop, fd)
