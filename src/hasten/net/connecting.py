"""Outgoing connections: resolve, try the addresses (one after the other, or racing), hand the socket to a transport."""

from __future__ import annotations

import asyncio
import collections
import logging
import operator
import os
import socket
from collections.abc import Callable, Coroutine, Sequence
from contextvars import Context
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from hasten.core import outcomes
from hasten.core.again import to_the_end
from hasten.kernel.socket_channel import hold
from hasten.net import dns, opening, sockets, stream, tls

if TYPE_CHECKING:
    import ssl as ssl_module

    from hasten.net.contract import AddrInfo, NetLoop

logger = logging.getLogger("asyncio")

_P = TypeVar("_P", bound=asyncio.BaseProtocol)


async def create_connection(
    loop: NetLoop,
    protocol_factory: Callable[[], _P],
    host: Any = None,
    port: Any = None,
    *,
    ssl: bool | ssl_module.SSLContext | None = None,
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
    """Connect to `host` and `port`, or take over the connected `sock`; return ``(transport, protocol)``.

    Arguments:
        ssl: a context, or True for the default one: TLS, verified against `server_hostname` (default: `host`).
        local_addr: ``(host, port)`` to bind to first.
        happy_eyeballs_delay: seconds after which the next address is tried beside the earlier ones (RFC 8305);
            None tries one after the other.
        interleave: how many addresses of the first family come before the families alternate; 0 keeps the
            resolver's order.
        all_errors: raise an ExceptionGroup of all failures rather than one OSError that sums them up.

    Raises:
        OSError: no address could be connected to; ExceptionGroup with `all_errors`.
        ValueError, TypeError: the arguments do not fit together.
    """
    if server_hostname is not None and not ssl:
        raise ValueError("server_hostname is only meaningful with ssl")
    if server_hostname is None and ssl:
        # A numeric host is verified as such, "" turns the check of the name off.
        if not host:
            raise ValueError("You must set server_hostname when using ssl without a host")
        server_hostname = host
    encryption = tls.options(ssl, server_hostname, ssl_handshake_timeout, ssl_shutdown_timeout)
    if sock is not None:
        sockets.refuse_ssl_socket(sock)

    ours = False
    if host is not None or port is not None:
        if sock is not None:
            raise ValueError("host/port and sock can not be specified at the same time")
        infos = dns.numeric_addrinfos((host, port), family, socket.SOCK_STREAM, proto)
        if infos is None:
            infos = await _resolve(loop, (host, port), family, proto, flags)
        local_infos = None if local_addr is None else await _resolve(loop, local_addr, family, proto, flags)
        if interleave is None and happy_eyeballs_delay is not None:
            interleave = 1
        if interleave:
            infos = dns.interleave(infos, interleave)
        sock = await _connect(loop, infos, local_infos, happy_eyeballs_delay, all_errors)
        ours = True
    elif sock is None:
        raise ValueError("host and port was not specified and no sock specified")
    else:
        _require_stream(sock)  # AF_UNIX passes, as in asyncio, although it has a function of its own

    debug = loop.get_debug()  # now: an interruption may come after each call, and nobody has the transport yet
    transport, protocol = await _open(loop, sock, protocol_factory, encryption, ours=ours)
    if debug:
        shown = transport.get_extra_info("socket")
        logger.debug("%r connected to %s:%r: (%r, %r)", shown, host, port, transport, protocol)
    return transport, protocol


async def create_unix_connection(
    loop: NetLoop,
    protocol_factory: Callable[[], _P],
    path: str | bytes | os.PathLike[str] | os.PathLike[bytes] | None = None,
    *,
    ssl: bool | ssl_module.SSLContext | None = None,
    sock: socket.socket | None = None,
    server_hostname: str | None = None,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
) -> tuple[asyncio.Transport, _P]:
    """Connect to the unix socket at `path`, or take over the connected `sock`; return ``(transport, protocol)``.

    Raises:
        OSError: the connection failed.
        ValueError, TypeError: the arguments do not fit together.
    """
    if ssl and server_hostname is None:
        raise ValueError("you have to pass server_hostname when using ssl")
    if server_hostname is not None and not ssl:
        raise ValueError("server_hostname is only meaningful with ssl")
    encryption = tls.options(ssl, server_hostname, ssl_handshake_timeout, ssl_shutdown_timeout)

    if path is not None:
        if sock is not None:
            raise ValueError("path and sock can not be specified at the same time")
        address = os.fspath(path)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0)
        try:
            sock.setblocking(False)
            await loop.sock_connect(sock, address)
        except BaseException:
            sock.close()
            raise
    else:
        if sock is None:
            raise ValueError("no path and sock were specified")
        sockets.refuse_ssl_socket(sock)
        if sock.family != socket.AF_UNIX or sock.type != socket.SOCK_STREAM:
            raise ValueError(f"A UNIX Domain Stream Socket was expected, got {sock!r}")
    return await _open(loop, sock, protocol_factory, encryption, ours=path is not None)


async def connect_accepted_socket(
    loop: NetLoop,
    protocol_factory: Callable[[], _P],
    sock: socket.socket,
    *,
    ssl: ssl_module.SSLContext | None = None,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
) -> tuple[asyncio.Transport, _P]:
    """Serve `sock`, which was accepted elsewhere; return ``(transport, protocol)``.

    Raises:
        ValueError: `sock` is no stream socket, or a TLS timeout was given without `ssl`.
        TypeError: `sock` is an SSLSocket.
    """
    _require_stream(sock)
    encryption = tls.options(ssl, "", ssl_handshake_timeout, ssl_shutdown_timeout)
    sockets.refuse_ssl_socket(sock)
    debug = loop.get_debug()
    transport, protocol = await _open(loop, sock, protocol_factory, encryption, server_side=True)
    if debug:
        logger.debug("%r handled: (%r, %r)", transport.get_extra_info("socket"), transport, protocol)
    return transport, protocol


def _open(
    loop: NetLoop,
    sock: socket.socket,
    protocol_factory: Callable[[], _P],
    encryption: tls.TlsOptions | None,
    *,
    server_side: bool = False,
    ours: bool = False,
) -> Coroutine[Any, Any, tuple[asyncio.Transport, _P]]:
    """Put a transport and a protocol on the connected `sock`: see opening.put_on()."""

    make = partial(
        _transport, loop, sock, encryption, server_side
    )  # to make a function crashes without memory (3.13.0)
    return opening.put_on(loop, sock, protocol_factory, make, ours=ours)


def _transport(
    loop: NetLoop,
    sock: socket.socket,
    encryption: tls.TlsOptions | None,
    server_side: bool,
    protocol: asyncio.BaseProtocol,
    waiter: Any,
    context: Context,
) -> Any:
    """Make the transport, an asyncio.Transport to isinstance(), though not by its layout."""
    sockets.set_nodelay(sock)
    if encryption is None:
        return stream.open_stream(loop, sock, protocol, waiter=waiter, context=context)
    return tls.open_tls(loop, hold(sock), protocol, encryption, waiter=waiter, server_side=server_side, context=context)


def _require_stream(sock: socket.socket) -> None:
    if sock.type != socket.SOCK_STREAM:
        raise ValueError(f"A Stream Socket was expected, got {sock!r}")


async def _resolve(loop: NetLoop, address: Any, family: int, proto: int, flags: int) -> Sequence[AddrInfo]:
    infos = await dns.ensure_resolved(loop, address, family=family, type=socket.SOCK_STREAM, proto=proto, flags=flags)
    if not infos:
        raise OSError("getaddrinfo() returned empty list")
    return infos


class _Failures:
    """What went wrong at each address.

    Exceptions hold the frames that they passed through, and those frames hold this: it must be empty by the time that
    one of them is raised, or it lives on in a reference cycle.
    """

    __slots__ = ("_found",)

    def __init__(self) -> None:
        self._found: list[tuple[int, OSError]] = []

    def add(self, attempt: int, error: OSError) -> None:
        self._found.append((attempt, error))

    def take(self) -> list[OSError]:
        """Hand over the errors in the order of the attempts, and forget them."""
        found, self._found = self._found, []
        return [error for _, error in sorted(found, key=operator.itemgetter(0))]


async def _connect(
    loop: NetLoop,
    infos: Sequence[AddrInfo],
    local_infos: Sequence[AddrInfo] | None,
    delay: float | None,
    all_errors: bool,
) -> socket.socket:
    """Connect to one of `infos`, in turn or with `delay` racing; raise what sums up the failures if none could be."""
    failures = _Failures()
    sock: socket.socket | None
    try:
        if delay is not None:
            sock = await _connect_racing(loop, infos, local_infos, failures, delay)
            if sock is not None:
                return sock
        else:
            for attempt, info in enumerate(infos):
                sock = None
                try:
                    sock = _new_socket(info, attempt, local_infos, failures)
                    await loop.sock_connect(sock, info[4])
                    return sock
                except OSError as exc:
                    _give_up(sock, exc, attempt, failures)
                except BaseException as exc:
                    _give_up(sock, exc, attempt, failures)
                    raise
        raise _summary(failures.take(), all_errors)
    finally:
        failures.take()


def _summary(errors: list[OSError], all_errors: bool) -> Exception:
    if all_errors:
        return ExceptionGroup("create_connection failed", errors)
    if not errors:
        return TimeoutError("create_connection failed")
    texts = [str(error) for error in errors]
    if len(set(texts)) == 1:
        return errors[0]
    return OSError(f"Multiple exceptions: {', '.join(texts)}")


async def _connect_racing(
    loop: NetLoop,
    infos: Sequence[AddrInfo],
    local_infos: Sequence[AddrInfo] | None,
    failures: _Failures,
    delay: float,
) -> socket.socket | None:
    """Happy eyeballs: begin the next attempt when the latest one has failed or `delay` seconds have passed.

    The first to connect wins; the others are cancelled, and have closed their sockets when this returns or raises.
    """
    attempts = collections.deque(enumerate(infos))
    race = _Race(loop)
    try:
        while race.winner is None and (attempts or race.running):
            if attempts:
                race.begin(_connect_one(loop, *attempts.popleft(), local_infos, failures))
            await race.proceed(delay if attempts else None)
    finally:
        await race.finish()
    return race.winner


class _Race:
    """The attempts of one happy-eyeballs connection: each is a task, and all are over when the race is."""

    __slots__ = ("_due", "_latest", "_loop", "_over", "_wake", "running", "winner")

    def __init__(self, loop: NetLoop) -> None:
        self._loop = loop
        self._latest: Any = None  # the task begun last
        self._over: list[Any] = []  # tasks that ended and were not looked at yet
        self._due = False  # the time for the next attempt has come
        self._wake: Any = None  # the future that proceed() or finish() waits for
        self.running: set[Any] = set()
        self.winner: socket.socket | None = None

    def begin(self, attempt: Coroutine[Any, Any, socket.socket]) -> None:
        self._latest = task = self._loop.create_task(attempt)
        try:
            task.add_done_callback(self._ended)
            self.running.add(task)
        except BaseException:
            task.cancel()  # nobody would hear of its end
            raise

    async def proceed(self, delay: float | None) -> None:
        """Wait for a winner or for the end of all attempts.

        With `delay` (seconds) there is an attempt to come: return also when the latest failed or the time is over.
        """
        self._due = False
        timer = None if delay is None else self._loop.call_later(delay, self._time_is_over)
        try:
            while not self._due:
                await self._change()
                self._look()
                if self.winner is not None or not self.running:
                    return
                if delay is not None and self._latest.done():
                    return
        finally:
            if timer is not None:
                timer.cancel()

    async def finish(self) -> None:
        """Cancel the attempts that still run, wait until they are over, close what they connected too late."""
        self._latest = None
        for task in self.running:
            task.cancel()
        cancelled: asyncio.CancelledError | None = None
        while self.running:
            try:
                await self._change()
            except asyncio.CancelledError as exc:
                cancelled = exc
        for task in self._over:
            if not task.cancelled() and task.exception() is None:
                task.result().close()
        self._over.clear()
        if cancelled is not None:
            if self.winner is not None:
                self.winner.close()
            try:
                raise cancelled
            finally:
                cancelled = None

    def _look(self) -> None:
        while self._over:
            task = self._over.pop(0)
            if task.cancelled():
                continue
            error = task.exception()
            if error is None:
                if self.winner is None:
                    self.winner = task.result()
                else:
                    task.result().close()
            elif self.winner is None and not isinstance(error, OSError):
                try:
                    raise error
                finally:
                    del task, error

    async def _change(self) -> None:
        self._wake = self._loop.create_future()
        await self._wake

    @to_the_end  # else proceed() would wait for ever
    def _ended(self, task: Any) -> None:
        if task not in self._over:
            self._over.append(task)
        self.running.discard(task)
        self._signal()

    @to_the_end
    def _time_is_over(self) -> None:
        self._due = True
        self._signal()

    def _signal(self) -> None:
        if self._wake is not None:
            outcomes.set_unless_done(self._wake)


async def _connect_one(
    loop: NetLoop, attempt: int, info: AddrInfo, local_infos: Sequence[AddrInfo] | None, failures: _Failures
) -> socket.socket:
    """Make one attempt of a race; close its socket again if that fails."""
    sock: socket.socket | None = None
    try:
        sock = _new_socket(info, attempt, local_infos, failures)
        await loop.sock_connect(sock, info[4])
    except BaseException as exc:
        _give_up(sock, exc, attempt, failures)
        raise
    return sock


def _new_socket(
    info: AddrInfo, attempt: int, local_infos: Sequence[AddrInfo] | None, failures: _Failures
) -> socket.socket:
    """Return a nonblocking socket for an address, bound if `local_infos` say so."""
    family, kind, proto, _, _ = info
    sock = socket.socket(family=family, type=kind, proto=proto)
    try:
        sock.setblocking(False)
        if local_infos is not None:
            _bind_local(sock, family, local_infos, attempt, failures)
    except BaseException:
        _close_quietly(sock)
        raise
    return sock


def _give_up(sock: socket.socket | None, exc: BaseException, attempt: int, failures: _Failures) -> None:
    """Close the socket of an attempt that failed, and note why."""
    if sock is not None:
        _close_quietly(sock)
    if isinstance(exc, OSError):
        failures.add(attempt, exc)


def _bind_local(
    sock: socket.socket, family: int, local_infos: Sequence[AddrInfo], attempt: int, failures: _Failures
) -> None:
    """Bind `sock` to the first of `local_infos` of its family that allows it."""
    last: OSError | None = None
    for local_family, _, _, _, address in local_infos:
        if local_family != family:
            continue
        if last is not None:
            failures.add(attempt, last)
        try:
            sock.bind(address)
        except OSError as exc:
            text = f"error while attempting to bind on address {address!r}: {str(exc).lower()}"
            last = OSError(exc.errno, text)
        else:
            return
    try:
        raise last or OSError(f"no matching local address with {family=} found")
    finally:
        last = None


def _close_quietly(sock: socket.socket) -> None:
    """Close `sock`, whose owner has a more important error to raise than one of closing."""
    try:
        sock.close()
    except OSError:
        pass
