"""TLS over our stream transports, for now with the interpreter's own ``asyncio.sslproto``.

That engine is a BufferedProtocol on one side and an application transport on the other: the socket's transport feeds
it, and it feeds the program's protocol.
"""

from __future__ import annotations

import asyncio
from asyncio import sslproto
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from hasten.net import stream

try:
    import ssl
except ImportError:  # an interpreter built without OpenSSL
    ssl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    import contextvars

    from hasten.kernel.channel import Channel
    from hasten.net.contract import NetLoop


class TlsOptions(NamedTuple):
    """How one side wants its connections encrypted. Times are in seconds; None means asyncio's default (60, 30)."""

    context: ssl.SSLContext | None  # None: the default context, on the client's side only
    server_hostname: str | None = None
    handshake_timeout: float | None = None
    shutdown_timeout: float | None = None


class Engine(sslproto.SSLProtocol):
    """asyncio's engine, which takes a connection closed under its handshake for a handshake that succeeded."""

    def connection_lost(self, exc: BaseException | None) -> None:
        """Tell the caller that waits for the handshake that it will not complete, then do the rest."""
        if exc is None:
            self._wakeup_waiter(ConnectionAbortedError("The connection was closed before the TLS handshake completed"))
        super().connection_lost(exc)


def options(
    context: Any, server_hostname: str | None, handshake_timeout: float | None, shutdown_timeout: float | None
) -> TlsOptions | None:
    """Bring together what was given as ``ssl=`` and the arguments around it; None where TLS was not asked for.

    Raises:
        TypeError: `context` is neither a context nor a bool nor None.
        ValueError: a timeout was given without ``ssl=``.
    """
    refuse_unused_timeouts(bool(context), handshake_timeout, shutdown_timeout)
    if not context:
        return None
    if context is not True:
        check_context(context)
    return TlsOptions(None if context is True else context, server_hostname, handshake_timeout, shutdown_timeout)


def server_options(context: Any, handshake_timeout: float | None, shutdown_timeout: float | None) -> TlsOptions | None:
    """Do as options(), for a server, which has no default context.

    Raises:
        TypeError: `context` is neither a context nor None.
        ValueError: a timeout was given without ``ssl=``.
    """
    if isinstance(context, bool):
        raise TypeError("ssl argument must be an SSLContext or None: a server needs a context with its certificate")
    return options(context, None, handshake_timeout, shutdown_timeout)


def refuse_unused_timeouts(tls: bool, handshake_timeout: float | None, shutdown_timeout: float | None) -> None:
    """Raise ValueError where a TLS timeout was given and there is no TLS."""
    if handshake_timeout is not None and not tls:
        raise ValueError("ssl_handshake_timeout is only meaningful with ssl")
    if shutdown_timeout is not None and not tls:
        raise ValueError("ssl_shutdown_timeout is only meaningful with ssl")


def check_context(context: Any) -> None:
    """Raise TypeError where `context` cannot wrap a connection (any object with ``wrap_bio`` can)."""
    if not hasattr(context, "wrap_bio"):
        raise TypeError(f"ssl argument must be an SSLContext, a bool or None, not {context!r}")


def open_tls(
    loop: NetLoop,
    channel: Channel,
    protocol: asyncio.BaseProtocol,
    tls: TlsOptions,
    *,
    waiter: asyncio.Future[None],
    over: Callable[[asyncio.Transport, asyncio.Future[None]], object] | None = None,
    server_side: bool = False,
    server: Any = None,
    context: contextvars.Context | None = None,
) -> asyncio.Transport:
    """Start a TLS handshake on a connected socket and return the transport that `protocol` will use.

    ``protocol.connection_made`` is called after the handshake, then `waiter` is done; a failed handshake sets its
    exception. ``over(transport, waiter)`` is called then.

    Raises:
        ValueError: a timeout is not positive, or a server has no context.
    """
    engine = _engine(loop, protocol, tls, waiter, server_side, call_connection_made=True)
    transport: asyncio.Transport = engine._get_app_transport()
    try:
        if over is not None:
            waiter.add_done_callback(partial(over, transport))
        # Last: the socket is the transport's own from then on. Who closed it because of a later error would close
        # it under the transport, which would find the next connection under the same number.
        stream.open_channel(loop, channel, engine, None, None, server, context)
    except BaseException:
        transport.close()  # it has nothing to close, and would warn that it was left open
        raise
    return transport


async def start_tls(
    loop: NetLoop,
    transport: asyncio.WriteTransport,
    protocol: asyncio.BaseProtocol,
    sslcontext: ssl.SSLContext,
    *,
    server_side: bool = False,
    server_hostname: str | None = None,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
) -> asyncio.Transport | None:
    """Upgrade the connection of `transport` to TLS; return the transport that `protocol` must use from now on.

    None when `transport` was closed before, as with asyncio: programs look for that.

    Raises:
        TypeError: `sslcontext` is no SSLContext, or `transport` cannot be upgraded.
        ssl.SSLError, ConnectionError: the handshake failed; the connection is closed.
    """
    if ssl is None:
        raise RuntimeError("Python ssl module is not available")
    if not isinstance(sslcontext, ssl.SSLContext):
        raise TypeError(f"sslcontext is expected to be an instance of ssl.SSLContext, got {sslcontext!r}")
    if not getattr(transport, "_start_tls_compatible", False):
        raise TypeError(f"transport {transport!r} is not supported by start_tls(): it needs an open stream transport")
    if transport.is_closing():
        return None

    waiter = loop.create_future()
    tls = TlsOptions(sslcontext, server_hostname, ssl_handshake_timeout, ssl_shutdown_timeout)
    engine = _engine(loop, protocol, tls, waiter, server_side, call_connection_made=False)
    app_transport: asyncio.Transport = engine._get_app_transport()

    # Nothing may reach the engine before its connection_made(): it has no transport to answer on until then.
    lower: Any = transport
    lower.pause_reading()
    if server_side:
        _hand_over_early_bytes(protocol, engine)
    lower.set_protocol(engine)
    made = loop.call_soon(engine.connection_made, lower)
    resumed = loop.call_soon(lower.resume_reading)
    try:
        await waiter
    except BaseException:
        lower.close()
        made.cancel()
        resumed.cancel()
        waiter = None  # it holds the exception, whose traceback holds this frame
        raise
    return app_transport


def _engine(
    loop: NetLoop,
    protocol: asyncio.BaseProtocol,
    tls: TlsOptions,
    waiter: Any,
    server_side: bool,
    *,
    call_connection_made: bool,
) -> Any:
    make: Any = Engine
    return make(
        loop,
        protocol,
        tls.context,
        waiter,
        server_side,
        tls.server_hostname,
        call_connection_made=call_connection_made,
        ssl_handshake_timeout=tls.handshake_timeout,
        ssl_shutdown_timeout=tls.shutdown_timeout,
    )


def _hand_over_early_bytes(protocol: asyncio.BaseProtocol, engine: Any) -> None:
    """Give the engine what the client sent right after asking for TLS and a StreamReader has already taken in."""
    buffer = getattr(getattr(protocol, "_stream_reader", None), "_buffer", None)
    if buffer and isinstance(buffer, bytearray):
        engine._incoming.write(buffer)
        buffer.clear()
