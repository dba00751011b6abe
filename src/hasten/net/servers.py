"""Listening: create_server, create_unix_server, the Server they return, and the accepting of connections."""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import logging
import os
import socket
import sys
from asyncio import trsock
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from hasten.core import outcomes
from hasten.core.again import to_the_end
from hasten.net import dns, server_sockets, sockets, tls
from hasten.net.listening import Listener
from hasten.net.server_base import ServerBase
from hasten.primitives.gathering import gather
from hasten.primitives.sleeping import sleep

if TYPE_CHECKING:
    import ssl as ssl_module

    from hasten.net.contract import AddrInfo, NetLoop

logger = logging.getLogger("asyncio")

_ProtocolFactory = Callable[[], asyncio.BaseProtocol]


class Server(ServerBase, asyncio.AbstractServer):
    """Listening sockets and the connections accepted on them. Made by create_server and create_unix_server.

    Behaves as asyncio's newest on every Python: :meth:`wait_closed` waits for the connections too, and
    :meth:`close_clients` and :meth:`abort_clients` are there.
    """

    def __init__(
        self,
        loop: NetLoop,
        listening: Sequence[socket.socket],
        protocol_factory: _ProtocolFactory,
        options: tls.TlsOptions | None,
        backlog: int,
        unlink: tuple[str | bytes, int] | None = None,
    ) -> None:
        self._loop = loop
        self._sockets = list(listening)  # None: closed
        self._protocol_factory = protocol_factory
        self._tls = options
        self._backlog = backlog
        self._unlink = unlink  # the path and inode of a unix socket that closing removes
        self._listeners: list[Listener] = []
        self._serving = False
        self._serving_forever_fut: Any = None
        self._clients = set()
        self._waiters: list[Any] | None = []  # None: closed, and the last connection is gone
        self._context = contextvars.copy_context()  # each connection runs in a copy of it

    def __repr__(self) -> str:
        return f"<{self.__class__.__name__} sockets={self.sockets!r}>"

    @property
    def sockets(self) -> tuple[trsock.TransportSocket, ...]:
        """The listening sockets; empty once the server is closed."""
        return tuple([trsock.TransportSocket(sock) for sock in self._sockets or ()])

    @property
    def _ssl_context(self) -> ssl_module.SSLContext | None:
        return None if self._tls is None else self._tls.context

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The loop that the server belongs to."""
        return self._loop  # type: ignore[return-value]

    def is_serving(self) -> bool:
        """True while connections are being accepted."""
        return self._serving

    def close(self) -> None:
        """Stop accepting and close the listening sockets; connections that were accepted live on.

        Raises:
            OSError: the system told of an error. The server is closed nevertheless.
        """
        listening, self._sockets = self._sockets, None
        if listening is None:
            return
        self._serving = False
        try:
            failures = self._stop_listening(listening)
            forever = self._serving_forever_fut
            if forever is not None and not forever.done():
                forever.cancel()
            self._serving_forever_fut = None
            self._wake_waiters_if_done()
        except BaseException:  # no memory, or Ctrl-C
            self._sockets = listening  # close() may be called again, and goes on
            raise
        if failures:
            raise failures.pop(0)

    def _stop_listening(self, listening: list[socket.socket]) -> list[OSError]:
        """Return what the system told of: it ends neither the others' turn nor the server's."""
        failures: list[OSError] = []
        while self._listeners:
            try:
                self._listeners[0].stop()
            except OSError as exc:
                failures.append(exc)
            del self._listeners[0]
        for sock in listening:
            try:
                sock.close()
            except OSError as exc:
                failures.append(exc)
        if self._unlink is not None:
            server_sockets.unlink_if_ours(*self._unlink)
        return failures

    def close_clients(self) -> None:
        """Close every connection; what is buffered is still sent."""
        for transport in self._clients.copy():
            transport.close()

    def abort_clients(self) -> None:
        """Close every connection at once and drop what is buffered."""
        for transport in self._clients.copy():
            transport.abort()

    async def start_serving(self) -> None:
        """Begin to accept connections; do nothing if that was begun already.

        Raises:
            RuntimeError: the server is closed.
        """
        self._start_serving()
        # The first connections may be answered before the caller that waits here goes on, as with asyncio.
        await sleep(0)

    async def serve_forever(self) -> None:
        """Accept connections until cancelled; then close the server and its connections.

        Raises:
            RuntimeError: the server is closed, or serve_forever() runs already.
        """
        if self._serving_forever_fut is not None:
            raise RuntimeError(f"server {self!r} is already being awaited on serve_forever()")
        if self._sockets is None:
            raise RuntimeError(f"server {self!r} is closed")
        self._start_serving()
        self._serving_forever_fut = self._loop.create_future()
        try:
            await self._serving_forever_fut
        except asyncio.CancelledError:
            try:
                self.close()
                self.close_clients()
                await self.wait_closed()
            finally:
                raise
        finally:
            self._serving_forever_fut = None

    async def wait_closed(self) -> None:
        """Wait until the server is closed and its last connection is gone, in whichever order."""
        if self._waiters is None:
            return
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        await waiter

    def _start_serving(self) -> None:
        if self._serving:
            return
        if self._sockets is None:
            raise RuntimeError(f"server {self!r} is closed")
        for sock in self._sockets:
            sock.listen(self._backlog)
            sockets.set_nodelay(sock)
        self._listeners = [Listener(self._loop, self, sock) for sock in self._sockets]
        for listener in self._listeners:
            listener.start()
        self._serving = True

    def _tell_accepted(self, address: Any, conn: socket.socket) -> None:
        """Log a new connection, in debug mode."""
        logger.debug("%r got a new connection from %r: %r", self, address, conn)

    def _open_tls(self, channel: Any, protocol: asyncio.BaseProtocol, context: contextvars.Context) -> None:
        """Put TLS on a connection that was accepted; if the handshake fails, debug mode tells."""
        loop = self._loop
        assert self._tls is not None
        waiter = loop.create_future()
        over = partial(self._handshake_over, protocol)
        tls.open_tls(
            loop, channel, protocol, self._tls, waiter=waiter, over=over, server_side=True, server=self, context=context
        )

    def _handshake_over(self, protocol: asyncio.BaseProtocol, transport: asyncio.Transport, waiter: Any) -> None:
        exc = asyncio.CancelledError() if waiter.cancelled() else waiter.exception()
        if exc is not None:
            transport.close()
            self._report(exc, protocol, transport)

    def _report(self, exc: BaseException, protocol: Any, transport: Any = None) -> None:
        """Tell why an incoming connection came to nothing: as asyncio in debug mode only, or if memory gave out."""
        if not self._loop.get_debug() and not isinstance(exc, MemoryError):
            return
        details = {"message": "Error on transport creation for incoming connection", "exception": exc}
        if protocol is not None:
            details["protocol"] = protocol
        if transport is not None:
            details["transport"] = transport
        self._loop.call_exception_handler(details)

    @to_the_end
    def _wake_waiters_if_done(self) -> None:
        if self._sockets is not None or self._clients or self._waiters is None:
            return
        for waiter in self._waiters:
            outcomes.set_unless_done(waiter)
        self._waiters = None  # last, since this is called again if it is interrupted


async def create_server(
    loop: NetLoop,
    protocol_factory: _ProtocolFactory,
    host: str | Iterable[str] | None = None,
    port: Any = None,
    *,
    family: int = socket.AF_UNSPEC,
    flags: int = socket.AI_PASSIVE,
    sock: socket.socket | None = None,
    backlog: int = 100,
    ssl: ssl_module.SSLContext | None = None,
    reuse_address: bool | None = None,
    reuse_port: bool | None = None,
    keep_alive: bool | None = None,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
    start_serving: bool = True,
) -> Server:
    """Listen on `port` of `host` (a name, an address, several, or None for every interface), or on the bound `sock`.

    `protocol_factory` is called for each connection, in a copy of the context that this was called in.

    Raises:
        OSError: no address could be bound.
        ValueError, TypeError: the arguments do not fit together.
    """
    options = tls.server_options(ssl, ssl_handshake_timeout, ssl_shutdown_timeout)
    if sock is not None:
        sockets.refuse_ssl_socket(sock)
    if host is not None or port is not None:
        if sock is not None:
            raise ValueError("host/port and sock can not be specified at the same time")
        if reuse_address is None:
            reuse_address = os.name == "posix" and sys.platform != "cygwin"
        wanted = server_sockets.SocketOptions(reuse_address, bool(reuse_port), bool(keep_alive))
        listening = server_sockets.bind_all(loop, await _resolve_hosts(loop, host, port, family, flags), wanted)
    elif sock is None:
        raise ValueError("Neither host/port nor sock were specified")
    elif sock.type != socket.SOCK_STREAM:
        raise ValueError(f"A Stream Socket was expected, got {sock!r}")
    else:
        listening = [sock]

    server = Server(loop, listening, protocol_factory, options, backlog)
    return await _serve(server, start_serving, ours=sock is None, tells=loop.get_debug())


async def create_unix_server(
    loop: NetLoop,
    protocol_factory: _ProtocolFactory,
    path: str | bytes | os.PathLike[str] | os.PathLike[bytes] | None = None,
    *,
    sock: socket.socket | None = None,
    backlog: int = 100,
    ssl: ssl_module.SSLContext | None = None,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
    start_serving: bool = True,
    cleanup_socket: bool = True,
) -> Server:
    """Listen on the unix socket `path`, or on the bound `sock`.

    A socket that an earlier server left at `path` is replaced. With `cleanup_socket` closing the server removes the
    path, unless somebody else has put a socket of their own there meanwhile.

    Raises:
        OSError: the path is in use by something else, or cannot be created.
        ValueError, TypeError: the arguments do not fit together.
    """
    options = tls.server_options(ssl, ssl_handshake_timeout, ssl_shutdown_timeout)
    if path is not None:
        if sock is not None:
            raise ValueError("path and sock can not be specified at the same time")
        sock = server_sockets.bind_unix(os.fspath(path))
    elif sock is None:
        raise ValueError("path was not specified, and no sock specified")
    else:
        sockets.refuse_ssl_socket(sock)
        if sock.family != socket.AF_UNIX or sock.type != socket.SOCK_STREAM:
            raise ValueError(f"A UNIX Domain Stream Socket was expected, got {sock!r}")

    ours = path is not None
    try:
        unlink = server_sockets.file_identity(sock.getsockname()) if cleanup_socket else None
        server = Server(loop, [sock], protocol_factory, options, backlog, unlink)
    except BaseException:
        if ours:
            sock.close()
        raise
    return await _serve(server, start_serving, ours)


async def _serve(server: Server, start_serving: bool, ours: bool, tells: bool = False) -> Server:
    """Start `server` if that is wanted; it is closed where that fails, but sockets that are not `ours` stay open."""
    try:
        for sock in server._sockets or ():
            sock.setblocking(False)
        if start_serving:
            await server.start_serving()
        if tells:
            logger.info("%r is serving", server)
    except BaseException:
        if not ours:
            server._sockets = []
            server._unlink = None
        server.close()
        raise
    return server


async def _resolve_hosts(
    loop: NetLoop, host: str | Iterable[str] | None, port: Any, family: int, flags: int
) -> list[AddrInfo]:
    """Return the addresses of all hosts, each once."""
    hosts: list[Any]
    if host == "":
        hosts = [None]
    elif isinstance(host, str) or not isinstance(host, Iterable):
        hosts = [host]
    else:
        hosts = list(host)
    if len(hosts) == 1:
        found = [await _resolve_host(loop, hosts[0], port, family, flags)]
    else:
        found = await gather(*[_resolve_host(loop, name, port, family, flags) for name in hosts])
    return list(dict.fromkeys(itertools.chain.from_iterable(found)))


async def _resolve_host(loop: NetLoop, name: Any, port: Any, family: int, flags: int) -> Sequence[AddrInfo]:
    infos = await dns.ensure_resolved(loop, (name, port), family=family, type=socket.SOCK_STREAM, flags=flags)
    if not infos:
        raise OSError(f"getaddrinfo({name!r}) returned empty list")
    return infos
