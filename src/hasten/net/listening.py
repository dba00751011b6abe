"""A listening socket being accepted on: a connection costs no Task and no Future, its transport is made on the spot."""

from __future__ import annotations

import errno
import socket
from asyncio.trsock import TransportSocket
from typing import Any

import cython

from hasten.core.scheduler import Scheduler
from hasten.kernel import socket_channel, step
from hasten.kernel.socket_channel import SocketChannel
from hasten.net import stream
from hasten.net.server_base import ServerBase

# The process or the system is out of descriptors or memory: the connection stays in the queue, try again later.
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_ACCEPT_RETRY_DELAY = 1.0  # seconds

# Errors that Linux had pending on the new connection and hands to accept(2), which says to go on with the next one.
_LOST_BEFORE_ACCEPT = {
    getattr(errno, name)
    for name in (
        "ECONNABORTED",
        "EPERM",
        "EPROTO",
        "ENETDOWN",
        "ENOPROTOOPT",
        "EHOSTDOWN",
        "ENONET",
        "EHOSTUNREACH",
        "ENETUNREACH",
    )
    if hasattr(errno, name)
}


@cython.cclass
class Listener:
    """One listening socket of a Server (see servers.py)."""

    loop: Any
    scheduler: Scheduler
    server: Any  # a ServerBase
    sock: Any
    inner: Any
    handle: Any
    fd: int
    family: int
    most: int
    retry: Any

    def __init__(self, loop: Any, server: Any, sock: socket.socket) -> None:
        if not isinstance(loop, Scheduler):
            raise TypeError(f"a hasten event loop is needed, not {loop!r}")
        if not isinstance(server, ServerBase):  # also None
            raise TypeError(f"a hasten server is needed, not {server!r}")
        self.loop = self.scheduler = loop
        self.server = server
        self.sock = sock
        self.fd = sock.fileno()
        inner = socket_channel.acceptor(sock)
        self.inner = sock if inner is None else inner
        self.family = -1 if inner is None else int(sock.family)
        self.handle = None
        self.most = self.server._backlog + 1
        self.retry = None

    def start(self) -> None:
        """Begin to accept."""
        self.retry = None
        self.handle = self.loop._add_reader(self.fd, self._accept)

    def stop(self) -> None:
        """Stop accepting. Raises OSError if the poller fails; it is stopped nevertheless."""
        retry, self.retry = self.retry, None
        if retry is not None:
            retry.cancel()
        self.unwatch()

    def unwatch(self) -> int:
        handle, self.handle = self.handle, None
        # a cancelled handle was replaced: the socket was closed by others, and its number is another file's now
        if handle is not None and not handle.cancelled():
            self.loop._remove_reader(self.fd)
        return 0

    def _accept(self) -> None:
        """Take the waiting connections, at most as many as `backlog`, so that other I/O has its turn too."""
        for _ in range(self.most):
            try:
                channel = socket_channel.accept(self.inner, self.fd, self.family)
            except OSError as exc:
                if exc.errno in _LOST_BEFORE_ACCEPT:
                    continue
                if exc.errno not in _EXHAUSTED:
                    raise  # the loop reports it
                self.pause(exc)
                return
            if channel is None:
                return
            if self.scheduler.debug:
                self.server._tell_accepted(channel.peername(), channel.socket())
            self.open(channel)
            if self.server._sockets is None:
                return  # closed by the protocol factory

    def pause(self, exc: OSError) -> int:
        """Stop listening for a second: the kernel would report the same connection again and again."""
        self.loop.call_exception_handler(
            {
                "message": "socket.accept() out of system resource",
                "exception": exc,
                "socket": TransportSocket(self.sock),
            }
        )
        if self.server._sockets is not None:  # the handler may have closed the server
            # the timer first: without memory for it, the kernel reports the connection again
            self.retry = self.loop.call_later(_ACCEPT_RETRY_DELAY, self.resume)
            self.unwatch()
        return 0

    def resume(self) -> None:
        """Begin to accept again."""
        try:
            self.start()
        except MemoryError:  # which the loop reports
            self.retry = self.loop.call_later(_ACCEPT_RETRY_DELAY, self.resume)
            raise

    def open(self, channel: SocketChannel) -> int:
        """Make the protocol and the transport of the new connection."""
        server = self.server
        protocol = None
        try:
            context = step.context_copy(server._context)
            protocol = server.make_protocol(context)
            if server._sockets is None:
                channel.close()
            elif server._tls is None:
                stream.open_channel(self.loop, channel, protocol, None, None, server, context)
            else:
                server._open_tls(channel, protocol, context)
        except (SystemExit, KeyboardInterrupt):
            channel.close()
            raise
        except BaseException as exc:
            channel.close()
            server._report(exc, protocol)
        return 0
