"""The transport of a connected stream socket, TCP or unix.

Reads are tried at once (writes: see sender.py); the poller is asked only about what would block. It reports edges: a
read that comes back short has drained the socket (unless the peer hung up: then the end is still to be read), and a
full one goes on in the next tick, so that one busy connection does not starve the others.

Of a unix socket it reports what is there (LEVEL), so that a plain recv(2) may leave something behind: until something
is left unread, or a write has to wait. Then it reports edges, for good. See docs/why/002-edge-triggered-readiness.md.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from asyncio import constants
from contextvars import Context
from typing import Any

import cython

from hasten.kernel import functions, socket_channel
from hasten.kernel.channel import Channel
from hasten.net import sink as sinks
from hasten.net.sender import Sender
from hasten.net.server_base import ServerBase
from hasten.poll import events as ev

logger = logging.getLogger("asyncio")

_Transport = asyncio.Transport


@cython.cclass
class SocketTransport(Sender):
    """asyncio.Transport for a connected nonblocking stream socket. Made by open_stream()."""

    # aiohttp and others ask whether start_tls() takes this transport
    _start_tls_compatible = True
    # how asyncio's and hasten's sendfile() know what to try
    _sendfile_compatible = constants._SendfileMode.TRY_NATIVE

    def __init__(
        self,
        loop: Any,
        sock: socket.socket,
        protocol: asyncio.BaseProtocol,
        extra: dict[str, Any] | None = None,
        server: ServerBase | None = None,
        context: Context | None = None,
    ) -> None:
        self.attach(loop, socket_channel.hold(sock), protocol, extra, server, context)

    def attach(
        self,
        loop: Any,
        channel: Channel,
        protocol: Any,
        extra: dict[str, Any] | None,
        server: ServerBase | None,
        context: Context | None,
    ) -> int:
        self.setup(loop, channel, extra, context)
        self.internet = channel.internet()
        self.bind_protocol(protocol)
        self._server = server
        if server is not None:
            try:
                server._attach(self)
            except BaseException:  # a Ctrl-C, behind it perhaps: it never begins, and would never be taken off again
                self.take_off(server)
                raise
        return 0

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        # isinstance(transport, asyncio.Transport) holds without its layout
        return _Transport

    def status(self) -> list[str]:
        state = "polling" if self.waiting() else "idle"
        reading = "polling" if self.is_reading() else "idle"
        return [f"read={reading}", f"write=<{state}, bufsize={self.waiting() + self.late_size}>"]

    def enter(self) -> int:
        poller = self.scheduler._poller
        if not self.events and not self._conn_lost and (not self.closing or self.waiting()):
            level = ev.LEVEL if self.channel.read_by_level(True) else 0
            poller.register(self, ev.READ | level)
        if self.waiting() or self.courier is not None:
            self.want_write()
        return 0

    # ---- what fired -----------------------------------------------------------------------

    def turn_elsewhere(self) -> int:
        if self.inside:  # the protocol runs the loop, before it was read perhaps: it would fire again in each such tick
            self.read_by_edges()
        return Sender.turn_elsewhere(self)

    def react(self) -> int:
        self.channel.let_others_run()  # without a name for it, which would cost a reference: so below
        fired = self.fired
        self.fired = 0
        if fired & ev.READ:
            if self.paused or self.closing or self.at_end or self._conn_lost:
                self.leave_unread(fired)
            else:
                self.read(fired & ev.HANGUP)
        if fired & ev.WRITE and (self.waiting() or self.courier is not None):
            self.write_ready()
        return 0

    # ---- reading --------------------------------------------------------------------------

    def leave_unread(self, fired: int) -> int:
        """Note what fired and is not read now."""
        if not (self.closing or self.at_end or self._conn_lost):
            self.readable |= fired & (ev.READ | ev.HANGUP)
        return self.read_by_edges()

    def read_by_edges(self) -> int:
        """Have the poller report what comes, and not what is there: that stays unread, and would fire in each tick."""
        if self.events & ev.LEVEL:
            self.ask_for(self.events & ~ev.LEVEL)
        return 0

    def read(self, hangup: int) -> int:
        """Read once. A socket that has more is read again in the next tick."""
        sink = self.sink
        workshop = self.channel.workshop
        more = keep_open = False
        doing = sinks.ROOM
        try:
            sink.room(workshop)
            doing = sinks.READ
            n = self.channel.fill()
            if n > 0:
                more = hangup != 0 or self.channel.full
                doing = sinks.ARRIVED
                sink.arrived(workshop, n)
            elif n == 0:
                if self.at_end:  # get_buffer() has run the loop, which came to the end first
                    return 0
                doing = sinks.ENDED
                if self.scheduler.debug:
                    logger.debug("%r received EOF", self)
                sink = self.sink  # get_buffer() may have set another protocol
                self.at_end = True  # reading is over, writing may go on. Before the call, which may run the loop
                keep_open = sink.ended()
        except BaseException as exc:
            if doing == sinks.ENDED:
                self.at_end = False  # who runs the loop again, after a Ctrl-C, comes to it once more
            return self.fatal(exc, sink.blame(doing))
        if more:
            return self.again(ev.READ | hangup)
        if n != 0:  # the socket would block, and the poller tells of it next
            if self.channel.unseen and self.events:  # that is what its own method says: the kernel may see it otherwise
                return self.scheduler._poller.modify(self, self.events)
            return self.scheduler._poller.drained(self, ev.READ)
        if keep_open:
            self.read_by_edges()
        else:
            self.close()
        return 0


functions.own_methods(SocketTransport)


def open_stream(
    loop: Any,
    sock: socket.socket,
    protocol: asyncio.BaseProtocol,
    *,
    waiter: Any = None,
    extra: dict[str, Any] | None = None,
    server: ServerBase | None = None,
    context: Context | None = None,
) -> SocketTransport:
    """Make a transport of a connected nonblocking socket.

    connection_made() is scheduled, then reading starts, then `waiter` gets its result. `server` notes it until
    its end. The protocol's methods run in `context` (None: a copy of the current one).
    """
    return open_channel(loop, socket_channel.hold(sock), protocol, waiter, extra, server, context)


def open_channel(
    loop: Any,
    channel: Channel,
    protocol: asyncio.BaseProtocol,
    waiter: Any,
    extra: dict[str, Any] | None,
    server: ServerBase | None,
    context: Context | None,
) -> SocketTransport:
    """Do as open_stream(), for a channel."""
    protocol.connection_made  # noqa: B018 - what is no protocol fails here
    transport = SocketTransport.__new__(SocketTransport)
    transport.attach(loop, channel, protocol, extra, server, context)
    transport.waiter = waiter
    transport.begin_soon()
    return transport
