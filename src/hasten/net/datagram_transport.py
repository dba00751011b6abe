"""The transport of a socket of datagrams, UDP or unix.

What is sent waits in a queue until the loop's batch ends, and then leaves with one system call for many datagrams,
whatever their addresses are (where the kernel has such a call). What arrives is received many at a time, too. An error
of the network (as "connection refused", which is an answer of the peer's machine to an earlier datagram) goes to
error_received() and ends nothing; the datagram that met it is gone.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import deque
from contextvars import Context
from typing import Any

import cython

from hasten.kernel import buffers, datagram_channel, deques, functions, step
from hasten.kernel.datagram_channel import DatagramChannel
from hasten.net.flow_control import FlowControl, WaterMarks
from hasten.poll import events as ev

logger = logging.getLogger("asyncio")

TELL_AFTER = 5  # sends to a lost connection
if not cython.compiled:
    LATE_BYTES = 65536  # of one transport are put off at most
    LATE_LETTERS = 64  # what one system call takes
    HEADER = 8  # bytes that each datagram counts besides its own
    BY_CALLER, BY_POLLER, BY_BATCH = range(3)

deques.new()  # finds the class of deques now, at import


class _Kind(asyncio.DatagramTransport, asyncio.Transport):
    """What isinstance() takes a transport for: asyncio's own is both, too."""


@cython.cclass
class DatagramQueue(WaterMarks):
    """The datagrams that a transport has still to send."""

    letters: deque[Any]

    def __init__(self) -> None:
        WaterMarks.__init__(self)
        self.letters = deques.new()

    def put(self, letter: Any, n: int) -> int:
        """Put a datagram of `n` bytes behind the others."""
        deques.push(self.letters, letter)
        self.size += n + HEADER
        return 0

    def flush(self, channel: DatagramChannel) -> int:
        """Send until nothing waits, or it would block. An error is raised, and the datagram that met it is gone."""
        while deques.size(self.letters):
            if channel.unseen or (type(self.letters[0]) is not bytes and len(self.letters[0]) != 2):
                if not self.post_first(channel):
                    break
                continue
            n = channel.post(self.letters)
            if n == -2:
                self.take_off(1)  # before the error is made, which may run a destructor that sends
                channel.raise_failure()
            if n <= 0:
                break
            self.take_off(n)
        return 0

    def take_off(self, n: int) -> int:
        """Remove `n` datagrams from the front, which were sent or met an error."""
        while n > 0 and deques.size(self.letters):
            letter = deques.shift(self.letters)
            self.size -= len(letter if type(letter) is bytes else letter[0]) + HEADER
            n -= 1
        return 0

    def post_first(self, channel: DatagramChannel) -> bool:
        """Send the first one by the socket's own method; return False if it would block.

        It is taken off before, since the method may run anything, this too.
        """
        letter = deques.shift(self.letters)
        data, address = (letter, None) if type(letter) is bytes else (letter[0], letter[-1])
        self.size -= len(data) + HEADER
        if channel.post_by_method(data, address):
            return True
        self.letters.appendleft(letter)
        self.size += len(data) + HEADER
        return False

    def clear(self) -> int:
        """Drop what waits."""
        self.letters = deques.new()
        self.size = 0
        return 0


@cython.cclass
class DatagramTransport(FlowControl):
    """asyncio.DatagramTransport for a nonblocking socket. Made by open_datagrams()."""

    queue: DatagramQueue
    arrived: deque[tuple[bytes, Any]]
    address: Any
    failures: list[BaseException] | None
    blocked: bool

    if not cython.compiled:

        def waiting(self) -> int:
            return 0 if self.queue is None else self.queue.size

    def __cinit__(self) -> None:
        self.queue = DatagramQueue()
        self.arrived = deques.new()

    def attach(
        self,
        loop: Any,
        channel: DatagramChannel,
        protocol: Any,
        address: Any,
        waiter: Any,
        extra: dict[str, Any] | None,
        context: Context | None,
    ) -> int:
        self.setup(loop, channel, extra, context)
        self._protocol = protocol
        self.address = address
        self.waiter = waiter
        return 0

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        # isinstance(transport, asyncio.DatagramTransport) holds without its layout
        return _Kind

    def status(self) -> list[str]:
        reading = "polling" if self.events and self.is_reading() else "idle"
        state = "polling" if self.blocked else "idle"
        return [f"read={reading}", f"write=<{state}, bufsize={self.waiting()}>"]

    # ---- starting -------------------------------------------------------------------------

    def enter(self) -> int:
        poller = self.scheduler._poller
        if not self.events and not self._conn_lost and (not self.closing or self.waiting()):
            poller.register(self, ev.READ)
        return self.want_write() if self.blocked else 0

    # ---- what fired -----------------------------------------------------------------------

    def react(self) -> int:
        self.channel.let_others_run()
        fired = self.fired
        self.fired = 0
        if fired & ev.READ:
            if deques.size(self.arrived):
                self.deliver()  # what a pause or the loop's end has kept from the protocol
            if self.paused:
                self.readable |= fired & (ev.READ | ev.HANGUP)
            elif not (self.closing or self._conn_lost):
                self.read(fired & ev.HANGUP)
        if fired & ev.WRITE and self.blocked and not self._conn_lost:
            self.write_ready()
        return 0

    # ---- receiving ------------------------------------------------------------------------

    def read(self, hangup: int) -> int:
        """Receive some datagrams. A socket that may have more is looked at again in the next tick."""
        channel = cython.cast(DatagramChannel, self.channel)
        poller = self.scheduler._poller
        try:
            n = channel.collect(self.arrived)
        except OSError as exc:
            self.error_met(exc, BY_POLLER)
            return poller.modify(self, self.events) if self.events else 0  # it reports what else there is
        except BaseException as exc:
            if not deques.size(self.arrived):
                return self.fatal(exc, "Fatal read error on datagram transport")
            self.tell("No memory for datagrams that have arrived: they are lost", exc, self._protocol)
            n = 0
        if n >= 0:
            self.deliver()
        if self.closing or self._conn_lost:
            return 0
        if n >= 0 and (channel.full or hangup or deques.size(self.arrived)):
            return self.look_again(ev.READ)
        if channel.unseen and self.events:  # that is what its own method says: the kernel may see it otherwise
            return poller.modify(self, self.events)
        return poller.drained(self, ev.READ)

    def deliver(self) -> int:
        """Give the protocol what has arrived. Its exceptions are told to the loop's exception handler."""
        while deques.size(self.arrived) and not (self.paused or self.closing or self._conn_lost):
            data, addr = deques.shift(self.arrived)
            protocol = self._protocol
            try:
                protocol.datagram_received(data, addr)
            except BaseException as exc:
                self.tell("Exception in callback protocol.datagram_received()", exc, protocol)
        return 0

    # ---- sending --------------------------------------------------------------------------

    def sendto(self, data: Any, addr: Any = None) -> None:
        """Send a datagram, when the loop's batch ends or at once. What the kernel has no room for is kept.

        `addr` may be None if the endpoint has a remote address. Errors of the network go to error_received().

        Raises:
            TypeError: `data` is not bytes-like.
            ValueError: `addr` is another than the endpoint's remote address.
        """
        piece = data
        if type(data) is not bytes:
            if not isinstance(data, (bytes, bytearray, memoryview)):
                raise TypeError(f"data argument must be a bytes-like object, not {type(data).__name__!r}")
            piece = buffers.exact(data)
        if self.address:
            if addr is not None and addr is not self.address and addr != self.address:
                raise ValueError(f"Invalid address: must be None or {self.address}")
            addr = self.address
        if self._conn_lost and (self.address or self._loop is None):
            if self._conn_lost >= TELL_AFTER:
                logger.warning("socket.send() raised exception.")
            self._conn_lost += 1
            return
        if self._loop is None:
            raise RuntimeError("the transport was not initialized: it is made by the loop's methods")
        self.accept(self.letter(piece, addr), len(piece))

    def letter(self, data: bytes, addr: Any) -> Any:
        """Return a datagram in the form that the queue takes."""
        channel = cython.cast(DatagramChannel, self.channel)
        if channel.peer is not None:
            return data
        packed = channel.packed(addr)
        return (data, None, addr) if packed is None else (data, packed)

    def accept(self, letter: Any, n: int) -> int:
        """Put a datagram of `n` bytes into the queue, and send it now if it is not to be sent later."""
        if self.leaving:
            self.leave_to_parent()
        queue = self.queue
        queue.put(letter, n)
        if self._conn_lost:  # it was closed, but its socket is there until connection_lost(): as in asyncio
            self.send_waiting(BY_CALLER)
            return self.discard()
        if self.blocked:
            return self.pause_if_full()
        return 0 if self.put_off() else self.send_waiting(BY_CALLER)

    def put_off(self) -> bool:
        """Have the queue sent when the batch ends. False: it is to be sent now."""
        channel, queue = self.channel, self.queue
        departures = self.scheduler.departures
        if channel.unseen or queue.size > LATE_BYTES or queue.size > queue.high or not departures.open():
            return False
        if deques.size(queue.letters) > LATE_LETTERS or (
            len(queue.letters[-1]) == 3 and type(queue.letters[-1]) is tuple
        ):
            return False
        try:
            if not self.leaving:
                departures.add(self)
                self.leaving = True
            departures.soon()
        except MemoryError:
            return False
        return True

    def batch_ended(self) -> int:
        self.leaving = False
        return self.depart()

    def depart(self) -> int:
        if self.leaving:
            self.leave_to_parent()
        failures, self.failures = self.failures, None
        try:
            while failures:
                self.error_met(failures.pop(0), BY_BATCH)
        finally:  # also where that ends the loop
            if failures:
                self.failures = failures
            if self.waiting() and not self.blocked and not self._conn_lost:
                self.send_waiting(BY_BATCH)
        return 0

    def rescue(self) -> int:
        if self.blocked or self._conn_lost or self.channel.unseen:
            return 0
        queue = self.queue
        tries = deques.size(queue.letters)  # each error takes one off
        while tries > 0:
            tries -= 1
            try:
                queue.flush(cython.cast(DatagramChannel, self.channel))
                return 0
            except BaseException as exc:  # told in the loop's own thread
                if self.failures is None:
                    self.failures = []
                self.failures.append(exc)
        return 0

    def abandon(self) -> int:
        return self.discard()

    def send_waiting(self, where: int) -> int:
        """Send what waits, as far as the kernel takes it. `where` says who is told of errors, and how."""
        queue = self.queue
        errors = deques.size(queue.letters)  # as many at most: error_received() may send one more each time
        while errors > 0 and self.send_until_error(where):
            errors -= 1
            if errors > 0:
                self.blocked = False
        return 0

    def send_until_error(self, where: int) -> bool:
        """Send what waits. True: an error was told, and others wait, which go on in the next tick at the latest."""
        queue, channel = self.queue, cython.cast(DatagramChannel, self.channel)
        try:
            self.stir()
            queue.flush(channel)
        except OSError as exc:
            others = self.waiting() > 0 and not self._conn_lost
            if others:
                self.blocked = True  # what error_received() sends comes behind them
                self.look_again(ev.WRITE)
            self.error_met(exc, where)
            return others and bool(self.blocked) and self.waiting() > 0 and not self._conn_lost
        except BaseException as exc:
            self.fatal(exc, "Fatal write error on datagram transport")
            return False
        if self.waiting() and not self._conn_lost:
            self.want_write()
            self.pause_if_full()
        return False

    def want_write(self) -> int:
        """Ask the poller to report room in the socket's buffer."""
        poller = self.scheduler._poller
        self.blocked = True
        try:
            if self.events:
                poller.modify(self, ev.READ | ev.WRITE)
        except BaseException as exc:
            self.fatal(exc, "Fatal write error on datagram transport")
        return 0

    def write_ready(self) -> int:
        try:
            self.send_more()
        except (SystemExit, KeyboardInterrupt):
            self.blocked = True  # the rest, for who runs the loop again
            raise
        return 0

    def send_more(self) -> int:
        """Send what waits, since there is room, and do what waited for that."""
        poller = self.scheduler._poller
        before = self.waiting()
        self.blocked = False
        self.send_waiting(BY_POLLER)
        if self._conn_lost:
            return 0
        if not self.waiting():
            if self.events & ev.WRITE:
                poller.modify(self, ev.READ)  # a socket tells of room after each datagram that was taken
        elif self.waiting() == before:
            self.retry_later()  # a peer's buffer is full, and this socket has room: it does not tell when the peer has
        self.resume_if_drained()
        self.depart()  # resume_writing() may send
        if self.closing and not self.waiting() and not self._conn_lost:
            self.finish(None)
        return 0

    def error_met(self, exc: BaseException, where: int) -> int:
        """Tell the protocol of an error of the network, and go on; end the transport for any other error."""
        if not step.is_instance(exc, OSError):
            return self.fatal(exc, "Fatal write error on datagram transport")
        protocol = self._protocol
        if protocol is None:
            return 0
        if where == BY_CALLER:
            protocol.error_received(exc)
            return 0
        try:
            if where == BY_POLLER:
                protocol.error_received(exc)
            else:
                (self.context.copy() if self.inside else self.context).run(protocol.error_received, exc)
        except BaseException as error:
            self.tell("Exception in callback protocol.error_received()", error, protocol)
        return 0

    # ---- ending ---------------------------------------------------------------------------

    def discard(self) -> int:
        queue = self.queue
        return 0 if queue is None else queue.clear()

    def marks(self) -> WaterMarks | None:
        return self.queue

    def own_marks(self) -> WaterMarks:
        if self.queue is None:  # the collector has taken it away
            self.queue = DatagramQueue()
        return self.queue

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Have another protocol told of what arrives."""
        self._protocol = protocol

    def close(self) -> None:
        """Send what is buffered, then close; no more datagrams are delivered."""
        self.depart()
        if self.closing:
            self.end_soon()
            return
        self.closing = True
        if not self.waiting():
            self.finish(None)


functions.own_methods(DatagramTransport)


def open_datagrams(
    loop: Any,
    sock: socket.socket,
    protocol: Any,
    address: Any,
    waiter: Any,
    extra: dict[str, Any] | None,
    context: Context | None,
) -> DatagramTransport:
    """Make a transport of a nonblocking socket of datagrams.

    connection_made() is scheduled, then receiving starts, then `waiter` gets its result. `address` is the only one that
    may be sent to, or None. The protocol's methods run in `context` (None: a copy of the current one).
    """
    protocol.connection_made  # noqa: B018 - what is no protocol fails here
    transport = DatagramTransport.__new__(DatagramTransport)
    transport.attach(loop, datagram_channel.hold(sock), protocol, address, waiter, extra, context)
    transport.begin_soon()
    return transport
