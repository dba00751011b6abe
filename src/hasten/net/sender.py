"""The writing half of a transport: what waits, what is put off, the water marks, the end of our side.

A small write is put off until the loop's batch ends, and leaves with those of all other transports (core/departures);
a large one is tried at once. What the kernel does not take waits in an outbox. Whatever could show a program the
difference (close(), the size of the buffer, the socket itself…) first has depart() send what was put off.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterable
from typing import Any

import cython

from hasten.core import outcomes
from hasten.core.scheduler import Scheduler
from hasten.kernel import buffers, deques, step
from hasten.net.endpoint import Endpoint
from hasten.net.flow_control import FlowControl, WaterMarks
from hasten.net.outbox import Outbox
from hasten.poll import events as ev

logger = logging.getLogger("asyncio")

TELL_AFTER = 5  # writes to a lost connection
if not cython.compiled:
    LATE_BYTES = 65536  # of one transport are put off at most
    LATE_PIECES = 64  # what one system call takes


@cython.cclass
class Sender(FlowControl):
    """The base of transports that write a stream of bytes."""

    outbox: Outbox | None
    late: bytes | list[bytes] | None
    late_size: int
    rescued: int
    courier: Any
    if not cython.compiled:

        def waiting(self) -> int:
            return 0 if self.outbox is None else self.outbox.size

        def takes_late(self, n: int) -> bool:
            n += self.late_size
            if n > LATE_BYTES or self.channel.at_once or not self.scheduler.departures.open():
                return False
            return self.outbox is None or (self.outbox.size == 0 and n <= self.outbox.high)

        def leaves_first(self, data: bytes) -> bool:
            return False

    def discard(self) -> int:
        outbox = self.outbox
        if outbox is not None:
            outbox.clear()
        return 0

    # ---- writing --------------------------------------------------------------------------

    def write(self, data: Any) -> None:
        """Send bytes: few of them when the loop's batch ends, many at once. What the socket does not take is kept.

        Raises:
            TypeError: `data` is not bytes-like.
            RuntimeError: after write_eof().
        """
        if type(data) is bytes and self.leaves_first(data):
            return
        piece = data
        if type(data) is not bytes:
            if not isinstance(data, (bytes, bytearray, memoryview)):
                raise TypeError(f"data argument must be a bytes-like object, not {type(data).__name__!r}")
            piece = buffers.plain(data)  # looked at once, and before anything else is: that may run anything
        channel = self.channel
        if self._loop is not None:  # else it is over, and the collector may have taken the channel away
            channel.let_others_run()
        n = buffers.size(piece)
        if self.eof or self._conn_lost or self.filing:
            if n or self.eof or self.filing:
                self.cannot_write(n, "write")
            return
        if n == 0:
            return
        if self.takes_late(n) and self.put_off(data if type(data) is bytes else buffers.exact(piece)):
            return
        if self.late is not None and self.all_left(piece):
            return
        if self.waiting():
            self.keep(buffers.exact(piece))
            self.pause_if_full()
            return
        try:
            self.stir()
            rest = channel.send(piece)
            if rest is None:
                return
            self.keep(rest)
        except BaseException as exc:
            self.write_failed(exc)
            return
        self.want_write()
        self.pause_if_full()

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        """Send several pieces of bytes with one system call where possible. Raises as write() does."""
        pieces: list[bytes] = []
        total = 0
        for data in list_of_data:
            if not isinstance(data, (bytes, bytearray, memoryview)):
                raise TypeError(f"data argument must be a bytes-like object, not {type(data).__name__!r}")
            piece = buffers.exact(data)
            pieces.append(piece)
            total += len(piece)
        if self.eof or self._conn_lost or self.filing:
            if pieces or self.eof or self.filing:
                self.cannot_write(total, "writelines")
            return
        first = 0
        if self.takes_late(total):
            while first < len(pieces) and (not pieces[first] or self.put_off(pieces[first])):
                first += 1
            if first == len(pieces):
                return
        self.depart()
        if self._conn_lost:
            return
        idle = not self.waiting()
        for piece in pieces[first:]:
            if piece:
                self.keep(piece)
        if not self.waiting():
            return
        if idle:
            if self.flush() < 0:
                return
            if self.waiting():
                self.want_write()
        self.pause_if_full()

    # ---- writing when the batch ends --------------------------------------------------------

    def put_off(self, piece: bytes) -> bool:
        """Put a piece, which is not empty, off until the end of the batch. False: there is no room for one more."""
        try:
            if not self.leaving:
                self.scheduler.departures.add(self)
                self.leaving = True
            late = self.late
            if late is None:
                self.late = piece
            elif type(late) is bytes:
                self.late = deques.pair(late, piece)  # runs no destructor, which could write
            elif len(late) < LATE_PIECES:
                cython.cast(list, late).append(piece)
            else:
                return False
            self.late_size += len(piece)
            self.scheduler.departures.soon()
        except MemoryError:
            return False
        return True

    def all_left(self, piece: Any) -> bool:
        """Send what was put off, with `piece` if it can be put behind that. True if nothing is left to do."""
        if self.leave_to_parent():
            return False
        together = type(piece) is bytes and self.put_off(piece)
        self.depart()
        return together or self._conn_lost > 0

    def batch_ended(self) -> int:
        self.leaving = False
        return self.send_late()  # nothing above the high-water mark was put off: nothing is to be paused

    def depart(self) -> int:
        if self.late is not None:
            self.leave_to_parent()
            self.send_late()
            self.pause_if_full()
        return 0

    def rescue(self) -> int:
        if self.late is None or self.rescued:  # of what was left once, the loop sends the rest, as in asyncio
            return 0
        try:
            n = self.send_now(self.late)
        except BaseException:
            return 0  # it is met once more, in the loop's own thread
        if n == self.late_size:
            self.late = None
        else:
            self.rescued = n  # only noted: to cut it off needs memory
        self.late_size -= n
        return 0

    def abandon(self) -> int:
        self.late = None
        self.late_size = self.rescued = 0
        return 0

    def send_late(self) -> int:
        """Send what was put off, with one system call."""
        late, size, gone = self.late, self.late_size, self.rescued
        self.late = None
        self.late_size = self.rescued = 0
        if late is None:
            return 0
        if type(late) is bytes and gone == 0:
            self.stir()
            if self.channel.send_whole(late):
                return 0
        return self.send_rest(late, size, gone)

    def send_rest(self, late: bytes | list[bytes], size: int, gone: int) -> int:
        """Go on with what send_late() has taken: `size` bytes are to be sent, `gone` before them are sent already."""
        try:
            n = 0
            if type(late) is not bytes:
                n = 0 if gone else self.send_now(late)
            elif gone == 0:
                n = max(self.channel.outcome(late), 0)
            if n == size:
                return 0
            self.keep_all(late)
            outbox = self.own_outbox()
            outbox.consume(gone + n)
        except BaseException as exc:
            return self.write_failed(exc)
        if gone and (self.flush() < 0 or not self.waiting()):  # the poller may have told of room already
            return 0
        return self.want_write()

    def send_now(self, late: bytes | list[bytes]) -> int:
        """Return how many bytes the socket took, with one system call."""
        channel = self.channel
        self.stir()
        if type(late) is bytes:
            n = channel.send_from(late, 0)
        else:
            n = channel.send_many(cython.cast(list, late), 0)
        return max(n, 0)

    def keep_all(self, late: bytes | list[bytes]) -> int:
        if type(late) is bytes:
            return self.keep(late)
        for piece in cython.cast(list, late):
            self.keep(piece)
        return 0

    def cannot_write(self, n: int, method: str) -> int:
        """Refuse the `n` bytes that a method was given: our side has ended, or the connection is lost."""
        if self.eof:
            raise RuntimeError(f"Cannot call {method}() after write_eof()")
        if self.filing and not self._conn_lost:
            raise RuntimeError(f"unable to {method}; sendfile is in progress: await it first")
        if self._conn_lost >= TELL_AFTER:
            logger.warning("socket.send() raised exception.")
        self._conn_lost += 1
        return 0

    def write_failed(self, exc: BaseException) -> int:
        """End the connection, which does not take bytes any more."""
        return self.fatal(exc, "Fatal write error on socket transport")

    def keep(self, data: bytes) -> int:
        """Put data behind what waits. No other code runs meanwhile: it could write, and its bytes would come first."""
        outbox = self.own_outbox()
        return outbox.put(data)

    def own_outbox(self) -> Outbox:
        """Return the outbox, made when it is first needed: most connections never have anything that waits."""
        if self.outbox is None:
            made = Outbox()
            if self.outbox is None:  # uncompiled, to make one may have run a destructor that wrote
                self.outbox = made
        return self.outbox

    def marks(self) -> WaterMarks | None:
        return self.outbox

    def own_marks(self) -> WaterMarks:
        return self.own_outbox()

    def want_write(self) -> int:
        """Ask the poller to report room in the socket's buffer."""
        poller = self.scheduler._poller
        try:
            # a method of its own may have taken less than there is room for: that is told anew
            if self.events and (self.channel.unseen or not self.events & ev.WRITE):
                self.ask_for(ev.READ | ev.WRITE)
            else:
                poller.drained(self, ev.WRITE)
        except BaseException as exc:
            self.write_failed(exc)
        return 0

    def want_no_write(self) -> int:
        """Have the poller report no more room."""
        return self.ask_for(ev.READ)

    def ask_for(self, events: int) -> int:
        """Ask the poller for other events: from now on it reports edges only, and the channel is read accordingly."""
        poller = self.scheduler._poller
        self.channel.read_by_level(False)
        return poller.modify(self, events)

    def flush(self) -> int:
        """Send what waits until it is gone or would block; return -2 when the connection broke."""
        outbox = self.outbox
        try:
            if outbox is not None:
                self.stir()
                outbox.flush(self.channel)
        except BaseException as exc:
            self.write_failed(exc)
            return -2
        return 0

    def write_ready(self) -> int:
        before = self.waiting()
        if self._conn_lost or self.flush() < 0:
            return 0
        if self.waiting() == before and before and self.channel.unseen:
            self.retry_later()
        elif self.waiting():
            self.want_write()
        elif not (self.internet or self.filing):
            # a unix socket tells of room after each message that the peer takes
            self.want_no_write()
        try:
            self.resume_if_drained()
        finally:  # also where resume_writing() ends the loop: nobody would come back to it
            if self.closing:
                self.depart()  # resume_writing() may write
            if not self.waiting() and not self._conn_lost:
                self.flushed()
        return 0

    def flushed(self) -> int:
        """Do what waited for an empty buffer: close, go on with a file, or shut our side down."""
        if self.closing:
            self.finish(None)
        elif self.filing:
            self.tell_courier(None)
        elif self.eof:
            self.shut_writing()
        return 0

    # ---- a file, behind what is buffered (net/sendfile) -------------------------------------

    def _begin_file(self) -> bool:
        """Refuse writes until _end_file(), and send what was put off. Return True if something is buffered.

        Raises:
            RuntimeError: a file is being sent already, or after write_eof().
            SendfileNotAvailableError: the socket has methods of its own, which the kernel would pass by.
        """
        if self.channel.unseen:
            raise asyncio.SendfileNotAvailableError("the socket of this transport has methods of its own to send with")
        self.depart()  # may call pause_writing(), which may do anything
        if self.eof:
            raise RuntimeError("Cannot call sendfile() after write_eof()")
        if self.filing:
            raise RuntimeError("sendfile is in progress on this transport already: await it first")
        self.filing = True
        return self.waiting() > 0

    def _send_file(self, fd: int, offset: int, count: int) -> int:
        """Have the kernel send of the file `fd`; return the number of bytes, 0 at its end. Raises OSError."""
        if self._conn_lost or self._loop is None:
            raise ConnectionError("the transport was closed while a file was being sent")
        channel = self.channel
        self.stir()
        return channel.send_file(fd, offset, count)  # type: ignore[no-any-return]

    def _room(self) -> Any:
        """Return a future that is done when nothing is buffered and more may be sent, or the connection is lost.

        Its result is the exception that ended the connection, or None.
        """
        self.courier = made = self.scheduler.create_future()
        if self._conn_lost:
            self.tell_courier(None)
        else:
            self.want_write()
        return made

    def _end_file(self) -> None:
        """Take writes again, and shut our side down if write_eof() was called meanwhile."""
        self.filing = False
        self.courier = None
        if self._conn_lost or self.waiting() or self.scheduler.is_closed():
            return
        if not self.internet and self.events & ev.WRITE:
            try:
                self.ask_for(ev.READ)
            except BaseException as exc:
                self.fatal(exc, "Fatal write error on socket transport")
                return
        self.flushed()

    def tell_courier(self, exc: BaseException | None) -> int:
        courier, self.courier = self.courier, None
        if courier is not None:
            outcomes.set_unless_done(courier, exc)
        return 0

    @property
    def _protocol_paused(self) -> bool:
        outbox = self.outbox
        return outbox is not None and bool(outbox.paused)

    def can_write_eof(self) -> bool:
        """True: a stream can be half-closed."""
        return True

    def write_eof(self) -> None:
        """End our side after what is buffered; the peer may go on sending."""
        self.depart()
        if self.closing or self.eof:
            return
        self.eof = True
        if not (self.waiting() or self.filing):
            self.shut_writing()

    def shut_writing(self) -> int:
        channel = self.channel
        try:
            self.stir()
            channel.shut_writing()
        except BaseException as exc:
            self.fatal(exc, "Fatal error on transport")
        return 0

    # ---- ending ---------------------------------------------------------------------------

    def close(self) -> None:
        """Send what is buffered, then close; no more data is delivered."""
        self.depart()
        if self.closing:
            self.end_soon()
            return
        self.closing = True
        if not self.waiting():
            self.finish(None)

    def finish(self, exc: BaseException | None) -> int:
        try:
            return Endpoint.finish(self, exc)
        finally:
            self.tell_courier(exc)


def send_before_fork() -> None:
    """Send what was put off: the child has a copy of it, and would send it a second time."""
    loop = step.running_loop()
    if isinstance(loop, Scheduler):
        cython.cast(Scheduler, loop).departures.send_all()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=send_before_fork)
