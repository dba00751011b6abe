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

from hasten.kernel import link as links
from hasten.kernel import sockio
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

    def begin(self) -> int:
        """The first callback: connection_made(), then reading, then who waits for the connection."""
        if not self.started:
            self.started = True
            try:
                self._protocol.connection_made(self)
            except (SystemExit, KeyboardInterrupt):
                self.begin_soon()  # reading, for who runs the loop again
                raise
            except BaseException as exc:
                self._tell("Exception in callback protocol.connection_made()", exc)
        waiter = self.waiter
        self.waiter = None
        try:
            if not self.closing or self.buffered:
                self.scheduler._poller.register(self, ev.READ)
        except (OSError, ValueError) as exc:
            if waiter is not None and not waiter.done():
                waiter.set_exception(exc)
            self._force_close(exc)
            return 0
        if self.buffered:
            self.want_write()
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        return 0

    def bind_protocol(self, protocol: Any) -> int:
        self._protocol = protocol
        if isinstance(protocol, _BufferedProtocol):
            self.get_buffer = protocol.get_buffer
            self.data_received = protocol.buffer_updated
        else:
            self.get_buffer = None
            # a protocol without it may still write, as in asyncio: the error comes with the first data
            self.data_received = getattr(protocol, "data_received", None)
        return 0

    # ---- what fired -----------------------------------------------------------------------

    def react(self) -> int:
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
        try:
            data = sockio.recv(self.link.made, self.fd, self.latest, not self.internet)
        except OSError as exc:
            return self.fatal(exc, "Fatal read error on socket transport")
        if data is None:
            return self.scheduler._poller.drained(self, ev.READ)
        n = len(data)
        if n == 0:
            return self.reached_end()
        self.latest = n
        full = n == sockio.capacity
        lent = sockio.lent
        try:
            self.data_received(data)
        except (SystemExit, KeyboardInterrupt):
            self.again(ev.READ | ev.HANGUP if hangup else ev.READ)  # for who runs the loop again
            raise
        except BaseException as exc:
            return self.fatal(exc, "Fatal error: protocol.data_received() call failed.")
        if lent:
            sockio.give_back(data, lent)
        if hangup or full:
            return self.again(ev.READ | ev.HANGUP if hangup else ev.READ)
        return self.scheduler._poller.drained(self, ev.READ)

    def read_buffer(self, hangup: bool) -> int:
        try:
            buf = self.get_buffer(-1)
            if len(buf) == 0:
                raise RuntimeError("get_buffer() returned an empty buffer")
        except (SystemExit, KeyboardInterrupt):
            self.again(ev.READ | ev.HANGUP if hangup else ev.READ)  # for who runs the loop again
            raise
        except BaseException as exc:
            return self.fatal(exc, "Fatal error: protocol.get_buffer() call failed.")
        try:
            n = sockio.recv_into(self.link.made, self.fd, buf, not self.internet)
            full = n == sockio.capacity
        except (SystemExit, KeyboardInterrupt):
            self.again(ev.READ | ev.HANGUP if hangup else ev.READ)  # for who runs the loop again
            raise
        except BaseException as exc:
            return self.fatal(exc, "Fatal read error on socket transport")
        if n < 0:
            return self.scheduler._poller.drained(self, ev.READ)
        if n == 0:
            return self.reached_end()
        try:
            self.data_received(n)
        except (SystemExit, KeyboardInterrupt):
            self.again(ev.READ | ev.HANGUP if hangup else ev.READ)  # for who runs the loop again
            raise
        except BaseException as exc:
            return self.fatal(exc, "Fatal error: protocol.buffer_updated() call failed.")
        if hangup or full:
            return self.again(ev.READ | ev.HANGUP if hangup else ev.READ)
        return self.scheduler._poller.drained(self, ev.READ)

    def reached_end(self) -> int:
        """The peer ended its side."""
        try:
            keep_open = self._protocol.eof_received()
        except (SystemExit, KeyboardInterrupt):
            self.again(ev.READ | ev.HANGUP)
            raise
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
            events = self.readable
            self.readable = 0
            self.again(events)

    # ---- writing --------------------------------------------------------------------------

    def write(self, data: Any) -> None:
        """Sends bytes at once as far as the socket takes them; keeps the rest and sends it later."""
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"data argument must be a bytes-like object, not {type(data).__name__!r}")
        if self.eof or self._conn_lost:
            if len(data) or self.eof:
                self.cannot_write()
            return
        if self.buffered:
            if len(data):
                self.keep(data)
                self.pause_if_full()
            return
        if not len(data):
            return
        try:
            n = sockio.send(self.link.made, self.fd, data)
        except (SystemExit, KeyboardInterrupt):
            raise
        except OSError as exc:
            self.fatal(exc, "Fatal write error on socket transport")
            return
        total = len(data) if type(data) is bytes else memoryview(data).nbytes
        if n == total:
            return
        if n > 0:
            # what is left of bytes could be kept as they are, but they may be much longer
            data = bytes(memoryview(data).cast("B")[n:]) if type(data) is not bytes or n > 65536 else data[n:]
        self.keep(data)
        self.want_write()
        self.pause_if_full()

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        """Sends several pieces of bytes with one system call."""
        pieces = []
        for data in list_of_data:
            if not isinstance(data, (bytes, bytearray, memoryview)):
                raise TypeError(f"data argument must be a bytes-like object, not {type(data).__name__!r}")
            pieces.append(data)
        if self.eof or self._conn_lost:
            if pieces:
                self.cannot_write()
            return
        idle = not self.buffered
        for data in pieces:
            if len(data):
                self.keep(data)
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

    def keep(self, data: Any) -> int:
        """Puts data behind what waits. Mutable buffers are copied: their owner may change them."""
        if type(data) is not bytes:
            data = bytes(data)
        if self.buffer is None:
            self.buffer = deque()
        self.buffer.append(data)
        self.buffered += len(data)
        return 0

    def want_write(self) -> int:
        """Asks the poller for room in the socket's buffer."""
        if self.events and not self.events & ev.WRITE:
            self.scheduler._poller.modify(self, ev.READ | ev.WRITE)
        else:
            self.scheduler._poller.drained(self, ev.WRITE)
        return 0

    def flush(self) -> int:
        """Sends what waits until it is gone or would block; -1 when the connection broke."""
        buffer = self.buffer
        while self.buffered:
            try:
                if len(buffer) == 1:  # type: ignore[arg-type]
                    n = sockio.send_from(self.link.made, self.fd, buffer[0], self.sent)  # type: ignore[index]
                else:
                    n = sockio.send_many(self.link.made, self.fd, buffer, self.sent)  # type: ignore[arg-type]
            except OSError as exc:
                self.fatal(exc, "Fatal write error on socket transport")
                return -2
            if n < 0:
                break
            self.consume(n)
        return 0

    def consume(self, n: int) -> int:
        """Takes `n` bytes that were sent off the buffer's front."""
        self.buffered -= n
        while n > 0:
            first = self.buffer[0]  # type: ignore[index]
            left = len(first) - self.sent
            if n < left:
                self.sent += n
                return 0
            n -= left
            self.sent = 0
            self.buffer.popleft()  # type: ignore[union-attr]
        return 0

    def write_ready(self) -> int:
        if self._conn_lost or self.flush() < 0:
            return 0
        if self.buffered:
            self.scheduler._poller.drained(self, ev.WRITE)
        elif not self.internet:
            # a unix socket tells of room after each message that the peer takes
            self.scheduler._poller.modify(self, ev.READ)
        self.resume_if_drained()
        if not self.buffered and not self._conn_lost:
            self.flushed()
        return 0

    def flushed(self) -> int:
        """What waited for an empty buffer."""
        if self.closing:
            self.finish(None)
        elif self.eof:
            try:
                self.link.shut_writing()
            except OSError as exc:
                self.fatal(exc, "Fatal write error on socket transport")
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
            try:
                self.link.shut_writing()
            except OSError as exc:
                self.fatal(exc, "Fatal error on transport")

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
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self._tell("protocol.pause_writing() failed", exc)
        return 0

    def resume_if_drained(self) -> int:
        if not self.protocol_paused or self.buffered > self.low:
            return 0
        self.protocol_paused = False
        try:
            self._protocol.resume_writing()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self._tell("protocol.resume_writing() failed", exc)
        return 0

    # ---- ending ---------------------------------------------------------------------------

    def close(self) -> None:
        """Sends what is buffered, then closes; no more data is delivered."""
        if self.closing:
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
