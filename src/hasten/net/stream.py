"""The transport of a connected stream socket, TCP or unix.

Reads and writes are tried at once; the poller is asked only about what would block. It reports edges: a read that
comes back short has drained the socket (unless the peer hung up: then the end is still to be read), and a full one
goes on in the next tick, so that one busy connection does not starve the others.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterable
from contextvars import Context
from typing import Any

import cython

from hasten.core import outcomes
from hasten.kernel import buffers, socket_channel
from hasten.kernel.channel import Channel
from hasten.net import sink as sinks
from hasten.net.endpoint import Endpoint
from hasten.net.outbox import HIGH_WATER, Outbox
from hasten.net.sink import Sink
from hasten.poll import events as ev

logger = logging.getLogger("asyncio")

_Transport = asyncio.Transport
TELL_AFTER = 5  # writes to a lost connection


@cython.cclass
class SocketTransport(Endpoint):
    """asyncio.Transport for a connected nonblocking stream socket. Made by open_stream()."""

    sink: Sink
    waiter: Any
    outbox: Outbox | None
    paused: bool
    readable: int
    at_end: bool
    eof: bool
    internet: bool
    if not cython.compiled:
        sink = sinks.NOWHERE
        waiter = outbox = None
        readable = 0
        paused = at_end = eof = internet = False

        def waiting(self) -> int:
            return 0 if self.outbox is None else self.outbox.size

    def __cinit__(self) -> None:
        self.sink = sinks.NOWHERE

    # aiohttp and others ask whether start_tls() takes this transport
    _start_tls_compatible = True

    def __init__(
        self,
        loop: Any,
        sock: socket.socket,
        protocol: asyncio.BaseProtocol,
        extra: dict[str, Any] | None = None,
        server: Any = None,
        context: Context | None = None,
    ) -> None:
        self.attach(loop, socket_channel.hold(sock), protocol, extra, server, context)

    def attach(
        self,
        loop: Any,
        channel: Channel,
        protocol: Any,
        extra: dict[str, Any] | None,
        server: Any,
        context: Context | None,
    ) -> int:
        self.setup(loop, channel, extra, context)
        self.internet = channel.internet()
        self.bind_protocol(protocol)
        self._server = server
        if server is not None:
            server._attach(self)
        return 0

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        # isinstance(transport, asyncio.Transport) holds without its layout
        return _Transport

    def status(self) -> list[str]:
        state = "polling" if self.waiting() else "idle"
        reading = "polling" if self.is_reading() else "idle"
        return [f"read={reading}", f"write=<{state}, bufsize={self.waiting()}>"]

    def discard(self) -> int:
        outbox = self.outbox
        if outbox is not None:
            outbox.clear()
        return 0

    def release(self) -> int:
        self.sink = sinks.NOWHERE
        return 0

    # ---- starting -------------------------------------------------------------------------

    def start(self) -> int:
        """Start reading, then wake who waits for the connection."""
        poller = self.scheduler._poller
        error = None
        try:
            if not self.events and not self._conn_lost and (not self.closing or self.waiting()):
                poller.register(self, ev.READ)
        except BaseException as exc:
            self.let_pass(exc)
            error = exc
        waiter, self.waiter = self.waiter, None
        waited_for = waiter is not None and not waiter.done()
        if error is None:
            if self.waiting():
                self.want_write()
            if waited_for:
                outcomes.set_unless_done(waiter)
        elif waited_for:
            self._force_close(error)
            outcomes.fail_unless_done(waiter, error)
        else:
            self.fatal(error, "Fatal error on transport")
        return 0

    def bind_protocol(self, protocol: Any) -> int:
        sink = sinks.sink_of(protocol)  # before anything is changed: what a protocol's attributes run may raise
        former = (self._protocol, self.sink)  # dropped last: that may run anything
        self._protocol = protocol
        self.sink = sink
        del former
        return 0

    # ---- what fired -----------------------------------------------------------------------

    def react(self) -> int:
        channel = self.channel
        channel.let_others_run()
        fired = self.fired
        self.fired = 0
        if fired & ev.READ and not (self.closing or self.at_end or self._conn_lost):
            if self.paused:
                self.readable = fired & (ev.READ | ev.HANGUP)
            else:
                self.read(fired & ev.HANGUP)
        if fired & ev.WRITE and self.waiting():
            self.write_ready()
        return 0

    # ---- reading --------------------------------------------------------------------------

    def read(self, hangup: int) -> int:
        """Read once. A socket that has more is read again in the next tick."""
        channel = self.channel
        sink = self.sink
        workshop = channel.workshop
        more = keep_open = False
        doing = sinks.ROOM
        try:
            sink.room(workshop)
            doing = sinks.READ
            n = channel.fill()
            if n > 0:
                more = hangup != 0 or channel.full
                doing = sinks.ARRIVED
                sink.arrived(workshop, n)
            elif n == 0:
                doing = sinks.ENDED
                sink = self.sink  # get_buffer() may have set another protocol
                keep_open = sink.ended()
        except BaseException as exc:
            return self.fatal(exc, sink.blame(doing))
        if more:
            return self.again(ev.READ | hangup)
        if n != 0:  # the socket would block, and the poller tells of it next
            poller = self.scheduler._poller
            return poller.drained(self, ev.READ)
        if keep_open:
            self.at_end = True  # reading is over, writing goes on
        else:
            self.close()
        return 0

    def is_reading(self) -> bool:
        """True while data is delivered to the protocol."""
        return not self.closing and not self.paused

    @property
    def _paused(self) -> bool:
        return bool(self.paused)

    def pause_reading(self) -> None:
        """Deliver no data until resume_reading()."""
        if not self.closing:
            self.paused = True

    def resume_reading(self) -> None:
        """Deliver data again."""
        if self.closing or not self.paused:
            return
        self.paused = False
        if self.readable:
            events, self.readable = self.readable, 0
            self.look_again(events)

    # ---- writing --------------------------------------------------------------------------

    def write(self, data: Any) -> None:
        """Send bytes, at once as far as the socket takes them; keep the rest and send it later.

        Raises:
            TypeError: `data` is not bytes-like.
            RuntimeError: after write_eof().
        """
        piece = data
        if type(data) is not bytes:
            if not isinstance(data, (bytes, bytearray, memoryview)):
                raise TypeError(f"data argument must be a bytes-like object, not {type(data).__name__!r}")
            piece = buffers.plain(data)  # looked at once, and before anything else is: that may run anything
        channel = self.channel
        if self._loop is not None:  # else it is over, and the collector may have taken the channel away
            channel.let_others_run()
        n = buffers.size(piece)
        if self.eof or self._conn_lost:
            if n or self.eof:
                self.cannot_write()
            return
        if n == 0:
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
            self.fatal(exc, "Fatal write error on socket transport")
            return
        self.want_write()
        self.pause_if_full()

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        """Send several pieces of bytes with one system call where possible. Raises as write() does."""
        pieces = []
        for data in list_of_data:
            if not isinstance(data, (bytes, bytearray, memoryview)):
                raise TypeError(f"data argument must be a bytes-like object, not {type(data).__name__!r}")
            pieces.append(buffers.exact(data))
        if self.eof or self._conn_lost:
            if pieces:
                self.cannot_write()
            return
        idle = not self.waiting()
        for piece in pieces:
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

    def cannot_write(self) -> int:
        if self.eof:
            raise RuntimeError("Cannot call write() after write_eof()")
        if self._conn_lost >= TELL_AFTER:
            logger.warning("socket.send() raised exception.")
        self._conn_lost += 1
        return 0

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

    def want_write(self) -> int:
        """Ask the poller to report room in the socket's buffer."""
        poller = self.scheduler._poller
        try:
            if self.events and not self.events & ev.WRITE:
                poller.modify(self, ev.READ | ev.WRITE)
            else:
                poller.drained(self, ev.WRITE)
            if self.channel.unseen and self.events:  # the send may have taken less than there is room for
                self.again(ev.WRITE)
        except BaseException as exc:
            self.fatal(exc, "Fatal write error on socket transport")
        return 0

    def flush(self) -> int:
        """Send what waits until it is gone or would block; return -2 when the connection broke."""
        outbox = self.outbox
        try:
            if outbox is not None:
                self.stir()
                outbox.flush(self.channel)
        except BaseException as exc:
            self.fatal(exc, "Fatal write error on socket transport")
            return -2
        return 0

    def write_ready(self) -> int:
        if self._conn_lost or self.flush() < 0:
            return 0
        poller = self.scheduler._poller
        if self.waiting():
            self.want_write()
        elif not self.internet:
            # a unix socket tells of room after each message that the peer takes
            poller.modify(self, ev.READ)
        self.resume_if_drained()
        if not self.waiting() and not self._conn_lost:
            self.flushed()
        return 0

    def flushed(self) -> int:
        """Do what waited for an empty buffer: close, or shut our side down."""
        if self.closing:
            self.finish(None)
        elif self.eof:
            self.shut_writing()
        return 0

    def can_write_eof(self) -> bool:
        """True: a stream can be half-closed."""
        return True

    def write_eof(self) -> None:
        """End our side after what is buffered; the peer may go on sending."""
        if self.closing or self.eof:
            return
        self.eof = True
        if not self.waiting():
            self.shut_writing()

    def shut_writing(self) -> int:
        channel = self.channel
        try:
            self.stir()
            channel.shut_writing()
        except BaseException as exc:
            self.fatal(exc, "Fatal error on transport")
        return 0

    def get_write_buffer_size(self) -> int:
        """The number of bytes that wait to be sent."""
        return self.waiting()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """The water marks in bytes: (low, high)."""
        outbox = self.outbox
        if outbox is None:
            return HIGH_WATER // 4, HIGH_WATER
        return outbox.low, outbox.high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the water marks: above `high` bytes the protocol is paused, at `low` it is resumed.

        One that is None follows from the other: low is a quarter of high, which is 64 KiB by default.

        Raises:
            ValueError: not high >= low >= 0.
        """
        outbox = self.own_outbox()
        outbox.set_limits(high, low)
        self.pause_if_full()

    def pause_if_full(self) -> int:
        outbox = self.outbox
        if outbox is None or self._protocol is None or not outbox.overflows():
            return 0
        try:
            self._protocol.pause_writing()
        except BaseException as exc:
            self.tell("protocol.pause_writing() failed", exc, self._protocol)
        return 0

    def resume_if_drained(self) -> int:
        outbox = self.outbox
        if outbox is None or not outbox.is_low_again():
            return 0
        try:
            self._protocol.resume_writing()
        except BaseException as exc:
            self.tell("protocol.resume_writing() failed", exc, self._protocol)
        return 0

    # ---- ending ---------------------------------------------------------------------------

    def close(self) -> None:
        """Send what is buffered, then close; no more data is delivered."""
        if self.closing:
            self.end_soon()
            return
        self.closing = True
        if not self.waiting():
            self.finish(None)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand the connection over to another protocol."""
        self.bind_protocol(protocol)


def open_stream(
    loop: Any,
    sock: socket.socket,
    protocol: asyncio.BaseProtocol,
    *,
    waiter: Any = None,
    extra: dict[str, Any] | None = None,
    server: Any = None,
    context: Context | None = None,
) -> SocketTransport:
    """Make a transport of a connected nonblocking socket.

    connection_made() is scheduled, then reading starts, then `waiter` gets its result. `server` has _attach() and
    _detach(). The protocol's methods run in `context` (None: a copy of the current one).
    """
    return open_channel(loop, socket_channel.hold(sock), protocol, waiter, extra, server, context)


def open_channel(
    loop: Any,
    channel: Channel,
    protocol: asyncio.BaseProtocol,
    waiter: Any,
    extra: dict[str, Any] | None,
    server: Any,
    context: Context | None,
) -> SocketTransport:
    """Do as open_stream(), for a channel."""
    protocol.connection_made  # noqa: B018 - what is no protocol fails here
    transport = SocketTransport.__new__(SocketTransport)
    transport.attach(loop, channel, protocol, extra, server, context)
    transport.waiter = waiter
    transport.begin_soon()
    return transport
