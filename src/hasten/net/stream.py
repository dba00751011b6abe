"""The transport of a connected stream socket, TCP or unix.

Reads and writes are tried at once; the poller is asked only about what would block. It reports edges: a read that
comes back short has drained the socket (unless the peer hung up: then the end is still to be read), and a full one
goes on in the next tick, so that one busy connection does not starve the others.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections import deque
from collections.abc import Iterable
from contextvars import Context
from typing import Any

import cython

from hasten.kernel import deques, sockio
from hasten.kernel import link as links
from hasten.kernel.link import Link
from hasten.net.endpoint import Endpoint
from hasten.poll import events as ev

logger = logging.getLogger("asyncio")

_Transport = asyncio.Transport
_BufferedProtocol = asyncio.BufferedProtocol
HIGH_WATER = 64 * 1024
TELL_AFTER = 5  # writes to a lost connection


@cython.cclass
class SocketTransport(Endpoint):
    """asyncio.Transport for a connected nonblocking stream socket. Made by open_stream()."""

    data_received: Any
    get_buffer: Any
    waiter: Any
    buffer: deque[bytes] | None
    sent: int
    buffered: int
    high: int
    low: int
    latest: int
    paused: bool
    readable: int
    at_end: bool
    eof: bool
    protocol_paused: bool
    internet: bool
    if not cython.compiled:
        data_received = get_buffer = waiter = buffer = None
        sent = buffered = latest = readable = 0
        paused = at_end = eof = protocol_paused = internet = False

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
        self.attach(loop, links.hold(sock), protocol, extra, server, context)

    def attach(
        self, loop: Any, link: Link, protocol: Any, extra: dict[str, Any] | None, server: Any, context: Context | None
    ) -> int:
        self.setup(loop, link, extra, context)
        self.high = HIGH_WATER
        self.low = HIGH_WATER // 4
        self.internet = link.internet()
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
        state = "polling" if self.buffered else "idle"
        reading = "polling" if self.is_reading() else "idle"
        return [f"read={reading}", f"write=<{state}, bufsize={self.buffered}>"]

    def discard(self) -> int:
        self.buffer = None
        self.buffered = self.sent = 0
        return 0

    def release(self) -> int:
        self.data_received = self.get_buffer = None
        return 0

    # ---- starting -------------------------------------------------------------------------

    def start(self) -> int:
        """Reading, then who waits for the connection."""
        poller = self.scheduler._poller
        error = None
        try:
            if not self.events and not self._conn_lost and (not self.closing or self.buffered):
                poller.register(self, ev.READ)
        except BaseException as exc:
            self.let_pass(exc)
            error = exc
        waiter, self.waiter = self.waiter, None
        waited_for = waiter is not None and not waiter.done()
        if error is None:
            if self.buffered:
                self.want_write()
            if waited_for:
                waiter.set_result(None)
        elif waited_for:
            self._force_close(error)
            waiter.set_exception(error)
        else:
            self.fatal(error, "Fatal error on transport")
        return 0

    def bind_protocol(self, protocol: Any) -> int:
        # all is looked up before anything is changed: what a protocol's attributes run may raise
        get_buffer = received = None
        if isinstance(protocol, _BufferedProtocol):
            get_buffer = protocol.get_buffer
            received = protocol.buffer_updated
        else:
            # a protocol without it may still write, as in asyncio: the error comes with the first data
            received = getattr(protocol, "data_received", None)
        former = (self._protocol, self.data_received, self.get_buffer)  # dropped last: that may run anything
        self._protocol = protocol
        self.data_received = received
        self.get_buffer = get_buffer
        del former
        return 0

    # ---- what fired -----------------------------------------------------------------------

    def react(self) -> int:
        sockio.let_others_run()
        fired = self.fired
        self.fired = 0
        if fired & ev.READ:
            self.read_ready(fired & ev.HANGUP != 0)
        if fired & ev.WRITE and self.buffered:
            self.write_ready()
        return 0

    # ---- reading --------------------------------------------------------------------------

    def read_ready(self, hangup: bool) -> int:
        """One read, unless the protocol pauses: a socket that has more goes on in the next tick."""
        if self.closing or self.at_end or self._conn_lost:
            return 0
        if self.paused:
            self.readable = ev.READ | ev.HANGUP if hangup else ev.READ
            return 0
        if self.get_buffer is None:
            return self.read_chunk(hangup)
        return self.read_buffer(hangup)

    def read_chunk(self, hangup: bool) -> int:
        link = self.link
        try:
            data = sockio.recv(link, self.latest, not self.internet)
        except BaseException as exc:
            return self.fatal(exc, "Fatal read error on socket transport")
        if data is None:
            return self.go_on(False, False)
        full = link.full
        lent = link.lent
        n = len(data)
        if n == 0:
            return self.reached_end()
        self.latest = n
        try:
            self.data_received(data)
        except BaseException as exc:
            return self.fatal(exc, "Fatal error: protocol.data_received() call failed.")
        if lent:
            sockio.give_back(data, lent)
        return self.go_on(hangup, full)

    def read_buffer(self, hangup: bool) -> int:
        link = self.link
        updated = self.data_received  # of the same protocol, should get_buffer() set another one
        try:
            buf = self.get_buffer(-1)
        except BaseException as exc:
            return self.fatal(exc, "Fatal error: protocol.get_buffer() call failed.")
        try:
            n = sockio.recv_into(link, buf, not self.internet)
        except BaseException as exc:
            return self.fatal(exc, "Fatal read error on socket transport")
        if n == -1:
            return self.go_on(False, False)
        full = link.full
        if n == 0:
            return self.reached_end()
        if n == sockio.NO_ROOM:
            empty = RuntimeError("get_buffer() returned an empty buffer")
            return self.fatal(empty, "Fatal error: protocol.get_buffer() call failed.")
        try:
            updated(n)
        except BaseException as exc:
            return self.fatal(exc, "Fatal error: protocol.buffer_updated() call failed.")
        return self.go_on(hangup, full)

    def go_on(self, hangup: bool, full: bool) -> int:
        """There is more to read; or the socket would block, and the poller tells of it next."""
        if hangup or full:
            return self.again(ev.READ | ev.HANGUP if hangup else ev.READ)
        poller = self.scheduler._poller
        return poller.drained(self, ev.READ)

    def reached_end(self) -> int:
        """The peer ended its side."""
        try:
            keep_open = bool(self._protocol.eof_received())
        except BaseException as exc:
            return self.fatal(exc, "Fatal error: protocol.eof_received() call failed.")
        if keep_open:
            # reading is over, writing goes on
            self.at_end = True
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
        """Delivers no data until resume_reading()."""
        if not self.closing:
            self.paused = True

    def resume_reading(self) -> None:
        """Delivers data again."""
        if self.closing or not self.paused:
            return
        self.paused = False
        if self.readable:
            events, self.readable = self.readable, 0
            self.look_again(events)

    # ---- writing --------------------------------------------------------------------------

    def write(self, data: Any) -> None:
        """Sends bytes at once as far as the socket takes them; keeps the rest and sends it later."""
        piece = data
        if type(data) is not bytes:
            if not isinstance(data, (bytes, bytearray, memoryview)):
                raise TypeError(f"data argument must be a bytes-like object, not {type(data).__name__!r}")
            piece = sockio.plain(data)  # looked at once, and before anything else is: that may run anything
        sockio.let_others_run()
        n = sockio.size(piece)
        if self.eof or self._conn_lost:
            if n or self.eof:
                self.cannot_write()
            return
        if n == 0:
            return
        if self.buffered:
            self.keep(sockio.exact(piece))
            self.pause_if_full()
            return
        try:
            self.stir()
            rest = sockio.send(self.link, piece)
            if rest is None:
                return
            self.keep(rest)
        except BaseException as exc:
            self.fatal(exc, "Fatal write error on socket transport")
            return
        self.want_write()
        self.pause_if_full()

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        """Sends several pieces of bytes with one system call."""
        pieces = []
        for data in list_of_data:
            if not isinstance(data, (bytes, bytearray, memoryview)):
                raise TypeError(f"data argument must be a bytes-like object, not {type(data).__name__!r}")
            pieces.append(sockio.exact(data))
        if self.eof or self._conn_lost:
            if pieces:
                self.cannot_write()
            return
        idle = not self.buffered
        for piece in pieces:
            if piece:
                self.keep(piece)
        if not self.buffered:
            return
        if idle:
            if self.flush() < 0:
                return
            if self.buffered:
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
        """Puts data behind what waits. Nothing runs meanwhile: it could write too, and come before these data."""
        if self.buffer is None:
            self.buffer = deques.new()
        deques.push(self.buffer, data)
        self.buffered += len(data)
        return 0

    def want_write(self) -> int:
        """Asks the poller for room in the socket's buffer."""
        poller = self.scheduler._poller
        try:
            if self.events and not self.events & ev.WRITE:
                poller.modify(self, ev.READ | ev.WRITE)
            else:
                poller.drained(self, ev.WRITE)
            if self.link.foreign and self.events:  # it may have taken less than there is room for
                self.again(ev.WRITE)
        except BaseException as exc:
            self.fatal(exc, "Fatal write error on socket transport")
        return 0

    def flush(self) -> int:
        """Sends what waits until it is gone or would block; -2 when the connection broke."""
        link = self.link
        while self.buffered:
            buffer = self.buffer
            try:
                if deques.size(buffer) == 1:  # type: ignore[arg-type]
                    n = sockio.send_from(link, buffer[0], self.sent)  # type: ignore[index]
                else:
                    n = sockio.send_many(link, buffer, self.sent)  # type: ignore[arg-type]
            except BaseException as exc:
                self.fatal(exc, "Fatal write error on socket transport")
                return -2
            if n <= 0:
                break
            self.stir()
            self.consume(n)
        return 0

    def consume(self, n: int) -> int:
        """Takes `n` bytes that were sent off the buffer's front."""
        buffer = self.buffer
        if buffer is None or n > self.buffered:
            return 0  # it was discarded meanwhile
        self.buffered -= n
        while n > 0:
            first = buffer[0]
            left = len(first) - self.sent
            if n < left:
                self.sent += n
                return 0
            n -= left
            self.sent = 0
            deques.shift(buffer)
        return 0

    def write_ready(self) -> int:
        if self._conn_lost or self.flush() < 0:
            return 0
        poller = self.scheduler._poller
        if self.buffered:
            self.want_write()
        elif not self.internet:
            # a unix socket tells of room after each message that the peer takes
            poller.modify(self, ev.READ)
        self.resume_if_drained()
        if not self.buffered and not self._conn_lost:
            self.flushed()
        return 0

    def flushed(self) -> int:
        """What waited for an empty buffer."""
        if self.closing:
            self.finish(None)
        elif self.eof:
            self.shut_writing()
        return 0

    def can_write_eof(self) -> bool:
        """Streams can be half-closed."""
        return True

    def write_eof(self) -> None:
        """Ends our side after what is buffered; the peer may go on sending."""
        if self.closing or self.eof:
            return
        self.eof = True
        if not self.buffered:
            self.shut_writing()

    def shut_writing(self) -> int:
        link = self.link
        try:
            self.stir()
            link.shut_writing()
        except BaseException as exc:
            self.fatal(exc, "Fatal error on transport")
        return 0

    def get_write_buffer_size(self) -> int:
        """Bytes that wait to be sent."""
        return self.buffered

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """(low, high)"""
        return self.low, self.high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Above `high` bytes the protocol is paused, at `low` it is resumed."""
        if high is None:
            high = HIGH_WATER if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
        self.high = int(min(high, sys.maxsize))
        self.low = int(min(low, sys.maxsize))
        self.pause_if_full()

    def pause_if_full(self) -> int:
        if self.buffered <= self.high or self.protocol_paused or self._protocol is None:
            return 0
        self.protocol_paused = True
        try:
            self._protocol.pause_writing()
        except BaseException as exc:
            self.tell("protocol.pause_writing() failed", exc, self._protocol)
        return 0

    def resume_if_drained(self) -> int:
        if not self.protocol_paused or self.buffered > self.low:
            return 0
        self.protocol_paused = False
        try:
            self._protocol.resume_writing()
        except BaseException as exc:
            self.tell("protocol.resume_writing() failed", exc, self._protocol)
        return 0

    # ---- ending ---------------------------------------------------------------------------

    def close(self) -> None:
        """Sends what is buffered, then closes; no more data is delivered."""
        if self.closing:
            self.end_soon()
            return
        self.closing = True
        if not self.buffered:
            self.finish(None)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hands the connection over to another protocol."""
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
    """Makes a transport of a connected nonblocking socket.

    connection_made() is scheduled, then reading starts, then `waiter` gets its result. `server` has _attach() and
    _detach(). The protocol's methods run in `context` (None: a copy of the current one).
    """
    return open_link(loop, links.hold(sock), protocol, waiter, extra, server, context)


def open_link(
    loop: Any,
    link: Link,
    protocol: asyncio.BaseProtocol,
    waiter: Any,
    extra: dict[str, Any] | None,
    server: Any,
    context: Context | None,
) -> SocketTransport:
    """open_stream() of a link."""
    protocol.connection_made  # noqa: B018 - what is no protocol fails here
    transport = SocketTransport.__new__(SocketTransport)
    transport.attach(loop, link, protocol, extra, server, context)
    transport.waiter = waiter
    transport.begin_soon()
    return transport
