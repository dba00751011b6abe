"""Streams: the interpreter's own, with what Pythons before 3.14 lack.

Lacking before 3.14: an exception raised by a plain function that start_server() calls is reported, and the connection
closed; a reader knows the new transport after start_tls(). Before 3.13: readuntil() takes a tuple of separators; a
handler task that is cancelled closes its connection. Before 3.12: start_tls() has ssl_shutdown_timeout.
"""

from __future__ import annotations

import asyncio
import socket
import sys

if sys.version_info >= (3, 14):
    from asyncio import StreamReader as StreamReader
    from asyncio import StreamReaderProtocol as StreamReaderProtocol
    from asyncio import StreamWriter as StreamWriter
    from asyncio import open_connection as open_connection
    from asyncio import start_server as start_server

    if hasattr(socket, "AF_UNIX"):
        from asyncio import open_unix_connection as open_unix_connection
        from asyncio import start_unix_server as start_unix_server
else:
    import ssl
    from collections import deque
    from collections.abc import Awaitable, Callable
    from functools import partial
    from os import PathLike
    from typing import TYPE_CHECKING, Any, cast

    from hasten.core import outcomes
    from hasten.core.again import to_the_end
    from hasten.kernel import sharing

    _Connected = Callable[["StreamReader", "StreamWriter"], Awaitable[None] | None]
    _DEFAULT_LIMIT = 2**16

    class StreamReader(asyncio.StreamReader, metaclass=sharing.Shared):
        """The reading side of a connection: see asyncio.StreamReader."""

        if TYPE_CHECKING:
            _buffer: bytearray
            _limit: int
            _eof: bool
            _transport: asyncio.BaseTransport | None

            def _maybe_resume_transport(self) -> None: ...
            async def _wait_for_data(self, func_name: str) -> None: ...

            _exception: BaseException | None
            _waiter: asyncio.Future[None] | None

        def _wakeup_waiter(self) -> None:
            if self._waiter is not None:
                outcomes.set_unless_done(self._waiter)  # first: interrupted before, it stays there to be woken
                self._waiter = None

        # Of the end of a stream somebody hears also if a Ctrl-C comes before or in the middle of one of these two.

        @to_the_end
        def feed_eof(self) -> None:
            """Note that nothing more will come."""
            self._eof = True
            if self._waiter is not None:
                outcomes.set_unless_done(self._waiter)
                self._waiter = None

        @to_the_end
        def set_exception(self, exc: BaseException) -> None:
            """Note what has ended the stream: who reads gets it."""
            self._exception = exc
            if self._waiter is not None:
                outcomes.fail_unless_done(self._waiter, exc)
                self._waiter = None

        async def read(self, n: int = -1) -> bytes:
            """Return what has come, `n` bytes at most, and wait for it if nothing has; empty at the end of the stream.

            If `n` is negative: all until the end.
            """
            blocks: list[bytes] = []
            some = n >= 0  # what is no number fails here: it does not wait for data first
            while self._exception is None:
                if n == 0:
                    return b""
                if not self._buffer and not self._eof:
                    await self._wait_for_data("read")
                if some:
                    data = bytes(memoryview(self._buffer)[:n])
                    del self._buffer[:n]
                    self._maybe_resume_transport()
                    return data
                if not self._buffer and self._eof:
                    return b"".join(blocks)
                # not left to grow in the buffer: beyond the limit nothing more would be read from the transport
                blocks.append(bytes(self._buffer))
                self._buffer.clear()
                self._maybe_resume_transport()
            raise self._exception

        async def readuntil(self, separator: bytes | tuple[bytes, ...] = b"\n") -> bytes:  # type: ignore[override]
            """Return all up to and including the separator, or the first to be complete of a tuple of them.

            IncompleteReadError at the end of the stream; LimitOverrunError if there is too much before the separator;
            ValueError for an empty separator or tuple.
            """
            if not isinstance(separator, tuple):
                return await super().readuntil(separator)
            separators = sorted(separator, key=len)
            if not separators:
                raise ValueError("Separator should contain at least one element")
            if not separators[0]:
                raise ValueError("Separator should be at least one-byte string")
            exc = self.exception()
            if exc is not None:
                raise exc
            begin, end = await self._find(separators)
            if begin > self._limit:
                raise asyncio.LimitOverrunError("Separator is found, but chunk is longer than limit", begin)
            chunk = bytes(self._buffer[:end])
            del self._buffer[:end]
            self._maybe_resume_transport()
            return chunk

        async def _find(self, separators: list[bytes]) -> tuple[int, int]:
            """Find where the separator that is complete first begins and ends; of several at once, the shortest."""
            searched = 0  # no separator begins before here
            while True:
                found = [(at + len(s), len(s)) for s in separators if (at := self._buffer.find(s, searched)) >= 0]
                if found:
                    end, length = min(found)
                    return end - length, end
                searched = max(0, len(self._buffer) + 1 - len(separators[-1]))
                if searched > self._limit:
                    raise asyncio.LimitOverrunError("Separator is not found, and chunk exceed the limit", searched)
                if self._eof:
                    rest = bytes(self._buffer)
                    self._buffer.clear()
                    raise asyncio.IncompleteReadError(rest, None)
                await self._wait_for_data("readuntil")

    class StreamWriter(asyncio.StreamWriter, metaclass=sharing.Shared):
        """The writing side of a connection: see asyncio.StreamWriter."""

        if TYPE_CHECKING:
            _loop: asyncio.AbstractEventLoop
            _protocol: StreamReaderProtocol
            _transport: asyncio.WriteTransport

        async def start_tls(
            self,
            sslcontext: ssl.SSLContext,
            *,
            server_hostname: str | None = None,
            ssl_handshake_timeout: float | None = None,
            ssl_shutdown_timeout: float | None = None,
        ) -> None:
            """Go on over TLS; timeouts are in seconds. Raises ssl.SSLError if the handshake fails."""
            protocol = self._protocol
            await self.drain()
            transport = await self._loop.start_tls(
                self._transport,
                protocol,
                sslcontext,
                server_side=protocol._client_connected_cb is not None,
                server_hostname=server_hostname,
                ssl_handshake_timeout=ssl_handshake_timeout,
                ssl_shutdown_timeout=ssl_shutdown_timeout,
            )
            if transport is None:
                raise RuntimeError("the loop's start_tls() gave no transport")
            self._transport = transport
            protocol._replace_transport(transport)

    class StreamReaderProtocol(asyncio.StreamReaderProtocol, metaclass=sharing.Shared):
        """The protocol that feeds a StreamReader: see asyncio.StreamReaderProtocol."""

        if TYPE_CHECKING:
            _loop: asyncio.AbstractEventLoop
            _client_connected_cb: _Connected | None
            _over_ssl: bool
            _reject_connection: bool
            _strong_reader: StreamReader | None
            _task: asyncio.Task[None] | None
            _transport: asyncio.WriteTransport | None

            @property
            def _stream_reader(self) -> StreamReader | None: ...

            _paused: bool
            _drain_waiters: deque[asyncio.Future[None]]

        # To the end: who waits in read(), drain() or wait_closed() is woken although a Ctrl-C comes first.

        @to_the_end
        def eof_received(self) -> bool:
            """Tell the reader that nothing more will come. True: our side stays open, as it cannot over TLS."""
            return bool(super().eof_received())

        @to_the_end
        def connection_lost(self, exc: Exception | None) -> None:
            """Wake who waits in read(), drain() or wait_closed()."""
            super().connection_lost(exc)

        @to_the_end
        def resume_writing(self) -> None:
            """Wake who waits in drain()."""
            self._paused = False
            for waiter in self._drain_waiters:
                outcomes.set_unless_done(waiter)

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            connected, rejected = self._client_connected_cb, self._reject_connection
            self._client_connected_cb = None  # the base class does the rest
            try:
                super().connection_made(transport)
            finally:
                self._client_connected_cb = connected
            reader = self._stream_reader
            if rejected or connected is None or reader is None:
                return
            # not every loop's transports are instances of it: uvloop's are not before Python 3.14
            transport = cast("asyncio.WriteTransport", transport)
            # Reader and writer are the callee's: not held here, they notice when they are dropped unclosed.
            self._strong_reader = None
            try:
                res = connected(reader, StreamWriter(transport, self, reader, self._loop))
            except Exception as exc:
                self._failed(transport, exc)
                return
            if asyncio.iscoroutine(res):
                self._task = self._loop.create_task(res)
                self._task.add_done_callback(partial(self._ended, transport))

        def _ended(self, transport: asyncio.WriteTransport, task: asyncio.Task[None]) -> None:
            if task.cancelled():
                transport.close()
                return
            exc = task.exception()
            if exc is not None:
                self._failed(transport, exc)

        def _failed(self, transport: asyncio.WriteTransport, exc: BaseException) -> None:
            context = {
                "message": "Unhandled exception in client_connected_cb",
                "exception": exc,
                "transport": transport,
            }
            self._loop.call_exception_handler(context)
            transport.close()

        def _replace_transport(self, transport: asyncio.WriteTransport) -> None:
            self._transport = transport
            self._over_ssl = transport.get_extra_info("sslcontext") is not None
            reader = self._stream_reader
            if reader is not None:
                reader._transport = transport

    sharing.note(StreamReader, asyncio.StreamReader)
    sharing.note(StreamWriter, asyncio.StreamWriter)
    sharing.note(StreamReaderProtocol, asyncio.StreamReaderProtocol)

    def _pair(limit: int) -> tuple[StreamReader, StreamReaderProtocol]:
        loop = asyncio.get_running_loop()
        reader = StreamReader(limit=limit, loop=loop)
        return reader, StreamReaderProtocol(reader, loop=loop)

    def _acceptor(connected: _Connected, limit: int) -> Callable[[], StreamReaderProtocol]:
        loop = asyncio.get_running_loop()
        callback: Any = connected  # the base class calls it a callback on readers and writers of its own
        return partial(_accepted, limit, loop, callback)

    def _accepted(limit: int, loop: asyncio.AbstractEventLoop, callback: Any) -> StreamReaderProtocol:
        return StreamReaderProtocol(StreamReader(limit=limit, loop=loop), callback, loop=loop)

    def _given(protocol: StreamReaderProtocol) -> StreamReaderProtocol:
        return protocol

    async def open_connection(
        host: str | None = None, port: int | str | None = None, *, limit: int = _DEFAULT_LIMIT, **kwds: Any
    ) -> tuple[StreamReader, StreamWriter]:
        """Connect to a TCP server; return (reader, writer).

        Arguments:
            host: a name or an address.
            port: a number, or a service's name.
            limit: how many bytes the reader buffers, and the longest line of readline().
            kwds: those of loop.create_connection(), as `ssl` and `local_addr`.

        Raises:
            OSError: the name is not known, or nobody answers there.
        """
        loop: Any = asyncio.get_running_loop()
        reader, protocol = _pair(limit)
        transport, _ = await loop.create_connection(partial(_given, protocol), host, port, **kwds)
        try:
            return reader, StreamWriter(transport, protocol, reader, loop)
        except BaseException:
            transport.abort()  # nobody else has it
            raise

    async def start_server(
        client_connected_cb: _Connected,
        host: str | list[str] | None = None,
        port: int | str | None = None,
        *,
        limit: int = _DEFAULT_LIMIT,
        **kwds: Any,
    ) -> asyncio.Server:
        """Serve TCP: call `client_connected_cb(reader, writer)` for each connection; return the server.

        Arguments:
            client_connected_cb: a function, or a coroutine function, which is run as a task.
            host: an address or a name to listen at, or several (None: all of the machine's).
            port: a number (0: the system chooses; see the server's `sockets`), or a service's name.
            limit: how many bytes a reader buffers, and the longest line of readline().
            kwds: those of loop.create_server(), as `ssl` and `backlog`.

        Raises:
            OSError: the address cannot be listened at, as when somebody else does.
        """
        factory = _acceptor(client_connected_cb, limit)
        loop: Any = asyncio.get_running_loop()
        server: asyncio.Server = await loop.create_server(factory, host, port, **kwds)
        return server

    if hasattr(socket, "AF_UNIX"):

        async def open_unix_connection(
            path: str | PathLike[str] | None = None, *, limit: int = _DEFAULT_LIMIT, **kwds: Any
        ) -> tuple[StreamReader, StreamWriter]:
            """Connect to the unix socket at `path`; return (reader, writer).

            `limit` is how many bytes the reader buffers; other keywords are loop.create_unix_connection()'s.
            """
            loop: Any = asyncio.get_running_loop()
            reader, protocol = _pair(limit)
            transport, _ = await loop.create_unix_connection(partial(_given, protocol), path, **kwds)
            try:
                return reader, StreamWriter(transport, protocol, reader, loop)
            except BaseException:
                transport.abort()
                raise

        async def start_unix_server(
            client_connected_cb: _Connected,
            path: str | PathLike[str] | None = None,
            *,
            limit: int = _DEFAULT_LIMIT,
            **kwds: Any,
        ) -> asyncio.Server:
            """Serve a unix socket, as start_server() does TCP; other keywords are loop.create_unix_server()'s."""
            factory = _acceptor(client_connected_cb, limit)
            return await asyncio.get_running_loop().create_unix_server(factory, path, **kwds)
