"""The loop's methods for input and output: connections, servers, sockets, processes.

Each of them calls a function of `net` or `process`.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl as ssl_module
import subprocess
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from hasten.net import sock_calls, sock_connect

if TYPE_CHECKING:
    from hasten.net.contract import NetLoop
    from hasten.net.servers import Server
    from hasten.process.contract import ProcessLoop

# What connects and serves is imported by the methods that need it: a program may start without.
_P = TypeVar("_P", bound=asyncio.BaseProtocol)
_Path = str | bytes | os.PathLike[str] | os.PathLike[bytes]
_ssl = ssl_module.SSLContext | None


class IoMethods:
    """What functions of `net` and `process` do for the loop. They are given it as their first argument."""

    __slots__ = ()

    # ---- connections ----------------------------------------------------------------------

    async def create_connection(  # type: ignore[override]
        self: NetLoop,
        protocol_factory: Callable[[], _P],
        host: Any = None,
        port: Any = None,
        *,
        ssl: bool | _ssl = None,
        family: int = 0,
        proto: int = 0,
        flags: int = 0,
        sock: socket.socket | None = None,
        local_addr: tuple[str, int] | None = None,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        happy_eyeballs_delay: float | None = None,
        interleave: int | None = None,
        all_errors: bool = False,
    ) -> tuple[asyncio.Transport, _P]:
        """Connect to host and port, or take over the connected `sock`; return (transport, protocol)."""
        from hasten.net import connecting

        return await connecting.create_connection(
            self,
            protocol_factory,
            host,
            port,
            ssl=ssl,
            family=family,
            proto=proto,
            flags=flags,
            sock=sock,
            local_addr=local_addr,
            server_hostname=server_hostname,
            ssl_handshake_timeout=ssl_handshake_timeout,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
            happy_eyeballs_delay=happy_eyeballs_delay,
            interleave=interleave,
            all_errors=all_errors,
        )

    async def create_unix_connection(  # type: ignore[override]
        self: NetLoop,
        protocol_factory: Callable[[], _P],
        path: _Path | None = None,
        *,
        ssl: bool | _ssl = None,
        sock: socket.socket | None = None,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> tuple[asyncio.Transport, _P]:
        """Connect to the unix socket at `path`, or take over the connected `sock`; return (transport, protocol)."""
        from hasten.net import connecting

        return await connecting.create_unix_connection(
            self,
            protocol_factory,
            path,
            ssl=ssl,
            sock=sock,
            server_hostname=server_hostname,
            ssl_handshake_timeout=ssl_handshake_timeout,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
        )

    async def connect_accepted_socket(  # type: ignore[override]
        self: NetLoop,
        protocol_factory: Callable[[], _P],
        sock: socket.socket,
        *,
        ssl: _ssl = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> tuple[asyncio.Transport, _P]:
        """Serve a socket that was accepted elsewhere; return (transport, protocol)."""
        from hasten.net import connecting

        return await connecting.connect_accepted_socket(
            self,
            protocol_factory,
            sock,
            ssl=ssl,
            ssl_handshake_timeout=ssl_handshake_timeout,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
        )

    async def create_server(  # type: ignore[override]
        self: NetLoop,
        protocol_factory: Callable[[], Any],
        host: str | Iterable[str] | None = None,
        port: Any = None,
        *,
        family: int = socket.AF_UNSPEC,
        flags: int = socket.AI_PASSIVE,
        sock: socket.socket | None = None,
        backlog: int = 100,
        ssl: _ssl = None,
        reuse_address: bool | None = None,
        reuse_port: bool | None = None,
        keep_alive: bool | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        start_serving: bool = True,
    ) -> Server:
        """Listen on TCP; return a Server. Raises OSError if no address could be bound."""
        from hasten.net import servers

        return await servers.create_server(
            self,
            protocol_factory,
            host,
            port,
            family=family,
            flags=flags,
            sock=sock,
            backlog=backlog,
            ssl=ssl,
            reuse_address=reuse_address,
            reuse_port=reuse_port,
            keep_alive=keep_alive,
            ssl_handshake_timeout=ssl_handshake_timeout,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
            start_serving=start_serving,
        )

    async def create_unix_server(  # type: ignore[override]
        self: NetLoop,
        protocol_factory: Callable[[], Any],
        path: _Path | None = None,
        *,
        sock: socket.socket | None = None,
        backlog: int = 100,
        ssl: _ssl = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        start_serving: bool = True,
        cleanup_socket: bool = True,
    ) -> Server:
        """Listen on a unix socket; return a Server. Raises OSError if `path` is in use or cannot be made."""
        from hasten.net import servers

        return await servers.create_unix_server(
            self,
            protocol_factory,
            path,
            sock=sock,
            backlog=backlog,
            ssl=ssl,
            ssl_handshake_timeout=ssl_handshake_timeout,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
            start_serving=start_serving,
            cleanup_socket=cleanup_socket,
        )

    async def create_datagram_endpoint(  # type: ignore[override]
        self: NetLoop,
        protocol_factory: Callable[[], _P],
        local_addr: Any = None,
        remote_addr: Any = None,
        *,
        family: int = 0,
        proto: int = 0,
        flags: int = 0,
        reuse_port: bool | None = None,
        allow_broadcast: bool | None = None,
        sock: socket.socket | None = None,
    ) -> tuple[asyncio.DatagramTransport, _P]:
        """Make an endpoint for datagrams; return (transport, protocol). Raises OSError if no address could be used."""
        from hasten.net import datagrams

        return await datagrams.create_datagram_endpoint(
            self,
            protocol_factory,
            local_addr,
            remote_addr,
            family=family,
            proto=proto,
            flags=flags,
            reuse_port=reuse_port,
            allow_broadcast=allow_broadcast,
            sock=sock,
        )

    async def start_tls(  # type: ignore[override]
        self: NetLoop,
        transport: asyncio.WriteTransport,
        protocol: asyncio.BaseProtocol,
        sslcontext: ssl_module.SSLContext,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> asyncio.Transport | None:
        """Upgrade a connection to TLS; return the transport to use from now on, None if it was closed before."""
        from hasten.net import tls

        return await tls.start_tls(
            self,
            transport,
            protocol,
            sslcontext,
            server_side=server_side,
            server_hostname=server_hostname,
            ssl_handshake_timeout=ssl_handshake_timeout,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
        )

    # ---- sockets --------------------------------------------------------------------------

    sock_recv = sock_calls.sock_recv
    sock_recv_into = sock_calls.sock_recv_into
    sock_recvfrom = sock_calls.sock_recvfrom
    sock_recvfrom_into = sock_calls.sock_recvfrom_into
    sock_sendall = sock_calls.sock_sendall
    sock_sendto = sock_calls.sock_sendto
    sock_accept = sock_calls.sock_accept

    async def sock_connect(self: NetLoop, sock: socket.socket, address: Any) -> None:
        """Connect a socket; a host name in `address` is looked up first."""
        await sock_connect.sock_connect(self, sock, address)

    # ---- files ----------------------------------------------------------------------------

    async def sendfile(
        self: NetLoop,
        transport: asyncio.WriteTransport,
        file: Any,
        offset: int = 0,
        count: int | None = None,
        *,
        fallback: bool = True,
    ) -> int:
        """Send a file behind what was written to a transport; return the number of bytes."""
        from hasten.net import sendfile

        return await sendfile.sendfile(self, transport, file, offset, count, fallback=fallback)

    async def sock_sendfile(
        self: NetLoop,
        sock: socket.socket,
        file: Any,
        offset: int = 0,
        count: int | None = None,
        *,
        fallback: bool | None = True,
    ) -> int:
        """Send a file over a connected stream socket; return the number of bytes."""
        from hasten.net import sendfile

        return await sendfile.sock_sendfile(self, sock, file, offset, count, fallback=bool(fallback))

    async def _sendfile_native(self: NetLoop, transport: Any, file: Any, offset: int, count: int | None) -> int:
        from hasten.net import sendfile

        return await sendfile.native(self, transport, file, offset, count)

    async def _sock_sendfile_native(
        self: NetLoop, sock: socket.socket, file: Any, offset: int, count: int | None
    ) -> int:
        from hasten.net import sendfile

        return await sendfile.sock_native(self, sock, file, offset, count)

    # ---- pipes ----------------------------------------------------------------------------

    async def connect_read_pipe(  # type: ignore[override]
        self: NetLoop, protocol_factory: Callable[[], _P], pipe: Any
    ) -> tuple[asyncio.ReadTransport, _P]:
        """Read from a pipe, FIFO, terminal or socket, an open file object; return (transport, protocol)."""
        from hasten.net import pipe_ends

        return await pipe_ends.connect_read_pipe(self, protocol_factory, pipe)

    async def connect_write_pipe(  # type: ignore[override]
        self: NetLoop, protocol_factory: Callable[[], _P], pipe: Any
    ) -> tuple[asyncio.WriteTransport, _P]:
        """Write to a pipe, FIFO, terminal or socket, an open file object; return (transport, protocol)."""
        from hasten.net import pipe_ends

        return await pipe_ends.connect_write_pipe(self, protocol_factory, pipe)

    # ---- processes ------------------------------------------------------------------------

    async def subprocess_exec(  # type: ignore[override]
        self: ProcessLoop,
        protocol_factory: Callable[[], _P],
        program: Any,
        *args: Any,
        stdin: Any = subprocess.PIPE,
        stdout: Any = subprocess.PIPE,
        stderr: Any = subprocess.PIPE,
        universal_newlines: bool = False,
        shell: bool = False,
        bufsize: int = 0,
        encoding: None = None,
        errors: None = None,
        text: Literal[False] | None = None,
        **kwargs: Any,
    ) -> tuple[asyncio.SubprocessTransport, _P]:
        """Run a program with arguments; return (transport, protocol). Further keywords are subprocess.Popen's."""
        from hasten.process import spawning

        spawning.check(universal_newlines, shell, bufsize, encoding, errors, text, shell_wanted=False)
        return await spawning.subprocess_exec(
            self, protocol_factory, (program, *args), False, stdin=stdin, stdout=stdout, stderr=stderr, **kwargs
        )

    async def subprocess_shell(  # type: ignore[override]
        self: ProcessLoop,
        protocol_factory: Callable[[], _P],
        cmd: str | bytes,
        *,
        stdin: Any = subprocess.PIPE,
        stdout: Any = subprocess.PIPE,
        stderr: Any = subprocess.PIPE,
        universal_newlines: bool = False,
        shell: bool = True,
        bufsize: int = 0,
        encoding: None = None,
        errors: None = None,
        text: Literal[False] | None = None,
        **kwargs: Any,
    ) -> tuple[asyncio.SubprocessTransport, _P]:
        """Run a command by the shell; return (transport, protocol). Further keywords are subprocess.Popen's."""
        from hasten.process import spawning

        spawning.check(universal_newlines, shell, bufsize, encoding, errors, text, shell_wanted=True)
        return await spawning.subprocess_exec(
            self, protocol_factory, cmd, True, stdin=stdin, stdout=stdout, stderr=stderr, **kwargs
        )

    def _connects_pipes_plainly(self) -> bool:
        """True unless a program has put methods of its own in the place of those that connect pipes."""
        return (
            getattr(self.connect_read_pipe, "__func__", None) is IoMethods.connect_read_pipe
            and getattr(self.connect_write_pipe, "__func__", None) is IoMethods.connect_write_pipe
        )
