"""create_datagram_endpoint: resolve, make and bind a socket, perhaps connect it, and hand it to a transport."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from contextvars import Context
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from hasten.net import dns, opening, server_sockets
from hasten.net.datagram_transport import DatagramTransport, open_datagrams

if TYPE_CHECKING:
    from hasten.net.contract import NetLoop

logger = logging.getLogger("asyncio")

_P = TypeVar("_P", bound=asyncio.BaseProtocol)


class _Wanted(NamedTuple):
    """The options of a socket that is to be made."""

    family: int
    proto: int
    flags: int
    reuse_port: bool | None
    allow_broadcast: bool | None


class _Candidate(NamedTuple):
    """What a socket can be made with: a family, a protocol number, and an address of each kind that was asked for."""

    family: int
    proto: int
    local: Any
    remote: Any


async def create_datagram_endpoint(
    loop: NetLoop,
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
    """Make an endpoint for datagrams; return ``(transport, protocol)``.

    Arguments:
        local_addr: ``(host, port)`` to bind to; a path for AF_UNIX.
        remote_addr: ``(host, port)`` of the only peer; a path for AF_UNIX. The socket is connected to it, unless
            `allow_broadcast` is set: then the peers that answer may be others.
        family, proto, flags: passed on to getaddrinfo(). Without any address, `family` must be given.
        reuse_port: SO_REUSEPORT: other sockets that set it may be bound to the same address.
        allow_broadcast: SO_BROADCAST: it may send to broadcast addresses.
        sock: a socket of datagrams to take over, in the place of all the others.

    Raises:
        OSError: no address could be bound and connected.
        ValueError, TypeError: the arguments do not fit together.
    """
    wanted = _Wanted(family, proto, flags, reuse_port, allow_broadcast)
    remote = None
    ours = sock is None
    if sock is None:
        sock, remote = await _make_socket(loop, await _candidates(loop, local_addr, remote_addr, wanted), wanted)
    else:
        _check_own_socket(sock, local_addr, remote_addr, wanted)
    make = partial(_transport, loop, sock, remote)
    debug = loop.get_debug()  # now: an interruption may come after each call, and nobody has the transport yet
    transport, protocol = await opening.put_on(loop, sock, protocol_factory, make, ours=ours)
    if debug:
        logger.log(
            logging.INFO if local_addr else logging.DEBUG,
            "Datagram endpoint local_addr=%r remote_addr=%r created: (%r, %r)",
            local_addr,
            remote_addr,
            transport,
            protocol,
        )
    return transport, protocol  # an asyncio.DatagramTransport to isinstance()


def _transport(
    loop: NetLoop,
    sock: socket.socket,
    remote: Any,
    protocol: asyncio.BaseProtocol,
    waiter: Any,
    context: Context,
) -> DatagramTransport:
    return open_datagrams(loop, sock, protocol, remote, waiter, None, context)


def _check_own_socket(sock: socket.socket, local_addr: Any, remote_addr: Any, wanted: _Wanted) -> None:
    if sock.type == socket.SOCK_STREAM:
        raise ValueError(f"A datagram socket was expected, got {sock!r}")
    options = {"local_addr": local_addr, "remote_addr": remote_addr, **wanted._asdict()}
    given = ", ".join(f"{name}={value}" for name, value in options.items() if value)
    if given:
        raise ValueError(f"socket modifier keyword arguments can not be used when sock is specified. ({given})")


# ---- addresses -----------------------------------------------------------------------------------


async def _candidates(loop: NetLoop, local_addr: Any, remote_addr: Any, wanted: _Wanted) -> list[_Candidate]:
    """Return what a socket could be made with, in the order in which it is to be tried."""
    family, proto = wanted.family, wanted.proto
    if not (local_addr or remote_addr):
        if family == 0:
            raise ValueError("unexpected address family: give local_addr, remote_addr, or family")
        return [_Candidate(family, proto, None, None)]
    if family == getattr(socket, "AF_UNIX", None):
        for path in (local_addr, remote_addr):
            if path is not None and not isinstance(path, str):
                raise TypeError(f"string is expected: the path of a unix socket, got {path!r}")
        if local_addr:
            server_sockets.make_way(local_addr)
        return [_Candidate(family, proto, local_addr, remote_addr)]
    found: dict[tuple[int, int], list[Any]] = {}
    for which, address in enumerate((local_addr, remote_addr)):
        if address is None:
            continue
        for info in await _resolve(loop, address, wanted):
            pair = found.setdefault((info[0], info[2]), [None, None])
            pair[which] = info[4]
    candidates = [
        _Candidate(*key, *pair)
        for key, pair in found.items()
        if not ((local_addr and pair[0] is None) or (remote_addr and pair[1] is None))
    ]
    if not candidates:
        raise ValueError("can not get address information: local_addr and remote_addr have no family in common")
    return candidates


async def _resolve(loop: NetLoop, address: Any, wanted: _Wanted) -> Any:
    if not (isinstance(address, tuple) and len(address) == 2):
        raise TypeError(f"2-tuple is expected: (host, port), got {address!r}")
    infos = await dns.ensure_resolved(
        loop, address, family=wanted.family, type=socket.SOCK_DGRAM, proto=wanted.proto, flags=wanted.flags
    )
    if not infos:
        raise OSError("getaddrinfo() returned empty list")
    return infos


# ---- sockets -------------------------------------------------------------------------------------


async def _make_socket(loop: NetLoop, candidates: list[_Candidate], wanted: _Wanted) -> tuple[socket.socket, Any]:
    """Return the first socket that could be made, and the remote address that it has. Raises the first error."""
    errors: list[OSError] = []
    try:
        for candidate in candidates:
            try:
                return await _try_socket(loop, candidate, wanted), candidate.remote
            except OSError as exc:
                errors.append(exc)
        raise errors[0]
    finally:
        errors.clear()  # an exception's traceback knows this frame: with it in the frame, they would be a circle


async def _try_socket(loop: NetLoop, candidate: _Candidate, wanted: _Wanted) -> socket.socket:
    sock = socket.socket(candidate.family, socket.SOCK_DGRAM, candidate.proto)
    try:
        if wanted.reuse_port:
            server_sockets.set_reuse_port(sock)
        if wanted.allow_broadcast:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.setblocking(False)
        if candidate.local:
            sock.bind(candidate.local)
        if candidate.remote and not wanted.allow_broadcast:
            await loop.sock_connect(sock, candidate.remote)
    except BaseException:
        sock.close()
        raise
    return sock
