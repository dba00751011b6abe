"""Names to addresses and back, without ever blocking the loop.

Lookups run in threads of their own: a program that fills the loop's default executor with slow work (or shuts it
down) still connects. Numeric addresses need no thread: the C library only parses them.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import itertools
import logging
import os
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from hasten.core import bridging

if TYPE_CHECKING:
    from hasten.net.contract import AddrInfo, NetLoop

logger = logging.getLogger("asyncio")

_T = TypeVar("_T")
_STREAM_OR_DATAGRAM: dict[int, int] = {socket.SOCK_STREAM: socket.IPPROTO_TCP, socket.SOCK_DGRAM: socket.IPPROTO_UDP}
_NUMERIC_NAMES = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV


class Resolver:
    """The threads that one loop's name lookups run in; none exists before the first lookup.

    There may be as many at once as asyncio's default executor would have, so that a few names whose servers do not
    answer delay no other lookup.
    """

    __slots__ = ("_closed", "_executor", "_lookups")

    def __init__(self) -> None:
        self._executor: concurrent.futures.ThreadPoolExecutor | None = None
        self._lookups: set[concurrent.futures.Future[Any]] = set()
        self._closed = False

    async def run(self, loop: NetLoop, func: Callable[..., _T], *args: Any) -> _T:
        """Call `func` with `args` in a thread and return its result.

        Cancelling gives up a lookup that no thread has begun; one that has begun ends by itself, unheard.

        Raises:
            RuntimeError: the resolver (and with it the loop) is closed.
        """
        if self._closed:
            raise RuntimeError("Event loop is closed: no name can be looked up on it any more")
        if self._executor is None:
            self._executor = concurrent.futures.ThreadPoolExecutor(most_threads(), thread_name_prefix="hasten-dns")
        lookup = self._executor.submit(func, *args)
        self._lookups.add(lookup)
        lookup.add_done_callback(self._lookups.discard)
        ours: Any = loop
        wrapped: asyncio.Future[_T] = bridging.wrap_future(lookup, loop=ours)
        return await wrapped

    def close(self) -> None:
        """Drop the lookups that have not begun and let the threads end. May be called more than once.

        Idle threads are gone when this returns. A thread stuck in a lookup is not waited for here; the interpreter
        waits for it at exit, as it does for the threads of asyncio's default executor.
        """
        self._closed = True
        executor, self._executor = self._executor, None
        if executor is not None:
            idle = all(lookup.done() for lookup in list(self._lookups))
            executor.shutdown(wait=idle, cancel_futures=True)


def most_threads() -> int:
    """How many lookups of one loop can go on at once."""
    return min(32, (os.cpu_count() or 1) + 4)


async def getaddrinfo(
    loop: NetLoop,
    resolver: Resolver,
    host: Any,
    port: Any,
    *,
    family: int = 0,
    type: int = 0,
    proto: int = 0,
    flags: int = 0,
) -> list[AddrInfo]:
    """Look `host` and `port` up, as :func:`socket.getaddrinfo` does, without blocking the loop.

    Raises:
        socket.gaierror: the name is unknown, or the arguments do not fit together.
    """
    lookup: Callable[..., Any] = socket.getaddrinfo
    if loop.get_debug():
        lookup = _Timed(loop, _describe(host, port, family, type, proto, flags))
    if _is_numeric(host) and _is_numeric_port(port):
        # The flags only promise that nothing will be asked of a server or read from /etc: the answer is the same.
        flags |= socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        infos: list[AddrInfo] = lookup(host, port, family, type, proto, flags)
    else:
        infos = await resolver.run(loop, lookup, host, port, family, type, proto, flags)
    return infos


async def getnameinfo(loop: NetLoop, resolver: Resolver, sockaddr: Any, flags: int = 0) -> tuple[str, str]:
    """Look up the host and service names of `sockaddr`, as :func:`socket.getnameinfo` does.

    Raises:
        socket.gaierror: the address has no name and `flags` ask for one.
    """
    if flags & _NUMERIC_NAMES == _NUMERIC_NAMES:
        return socket.getnameinfo(sockaddr, flags)
    return await resolver.run(loop, socket.getnameinfo, sockaddr, flags)


async def ensure_resolved(
    loop: NetLoop, address: Any, *, family: int = 0, type: int = socket.SOCK_STREAM, proto: int = 0, flags: int = 0
) -> Sequence[AddrInfo]:
    """Return the addrinfos of `address`, a ``(host, port, ...)`` tuple; at once where the host is numeric.

    Anything else goes through ``loop.getaddrinfo``, so that a program can put its own resolver there.
    """
    infos = numeric_addrinfos(address, family, type, proto)
    if infos is not None:
        return infos
    host, port = address[:2]
    return await loop.getaddrinfo(host, port, family=family, type=type, proto=proto, flags=flags)


def numeric_addrinfos(address: Any, family: int, type: int, proto: int) -> Sequence[AddrInfo] | None:
    """Return what ensure_resolved() returns at once, or None. To ask first saves a coroutine."""
    host, port = address[:2]
    info = numeric_addrinfo(host, port, family, type, proto, *address[2:])
    return None if info is None else [info]


def numeric_addrinfo(
    host: Any, port: Any, family: int, type: int, proto: int, flowinfo: int = 0, scopeid: int = 0
) -> AddrInfo | None:
    """Return the one addrinfo of a numeric `host` for streams or datagrams, or None if it must be looked up.

    Raises:
        ValueError: there is a NUL in `host` (to the C library it would end there), or what cannot be encoded.
    """
    if host is None or proto not in (0, socket.IPPROTO_TCP, socket.IPPROTO_UDP):
        return None
    if type not in _STREAM_OR_DATAGRAM or not hasattr(socket, "inet_pton"):
        return None
    if isinstance(host, bytes):
        host = host.decode("idna")
    if not isinstance(host, str):
        return None  # the lookup itself will say what is wrong with it
    if port is None or (isinstance(port, (str, bytes)) and not port):
        port = 0
    else:
        try:
            port = int(port)
        except (TypeError, ValueError):
            return None  # a service name such as "http"
    numeric = _numeric_family(host, family)
    if numeric is None:
        return None
    sockaddr = (host, port, flowinfo, scopeid) if numeric == socket.AF_INET6 else (host, port)
    return numeric, type, _STREAM_OR_DATAGRAM[type], "", sockaddr


def interleave(infos: Sequence[AddrInfo], first_family_count: int = 1) -> list[AddrInfo]:
    """Reorder `infos` so that address families alternate (RFC 8305, section 4).

    `first_family_count` addresses of the first family come first; within a family the order stays.
    """
    by_family: dict[int, list[AddrInfo]] = {}
    for info in infos:
        by_family.setdefault(info[0], []).append(info)
    families = list(by_family.values())
    head: list[AddrInfo] = []
    if first_family_count > 1 and families:
        head = families[0][: first_family_count - 1]
        families[0] = families[0][first_family_count - 1 :]
    rounds = itertools.zip_longest(*families)
    return head + [info for taken in rounds for info in taken if info is not None]


def _numeric_family(host: str, family: int = socket.AF_UNSPEC) -> int | None:
    """The family whose numeric notation `host` is written in, of `family` alone unless that is AF_UNSPEC."""
    if "%" in host:  # an IPv6 zone, which inet_pton does not know
        return None
    candidates = (socket.AF_INET, socket.AF_INET6) if family == socket.AF_UNSPEC else (family,)
    for candidate in candidates:
        try:
            socket.inet_pton(candidate, host)
        except OSError:
            continue
        return candidate
    return None


def _is_numeric(host: Any) -> bool:
    if isinstance(host, bytes):
        try:
            host = host.decode("ascii")
        except UnicodeDecodeError:
            return False
    try:
        return host is None or (isinstance(host, str) and _numeric_family(host) is not None)
    except ValueError:
        return False  # the lookup itself will say what is wrong with it


def _is_numeric_port(port: Any) -> bool:
    if port is None or isinstance(port, int):
        return True
    return isinstance(port, (str, bytes)) and port.isdigit()


def _describe(host: Any, port: Any, family: int, type: int, proto: int, flags: int) -> str:
    parts = [f"{host}:{port!r}"]
    options = (("family", family), ("type", type), ("proto", proto), ("flags", flags))
    parts += [f"{name}={value!r}" for name, value in options if value]
    return ", ".join(parts)


class _Timed:
    """socket.getaddrinfo with what debug mode logs about it: the question, the answer and the time between."""

    __slots__ = ("_loop", "_question")

    def __init__(self, loop: NetLoop, question: str) -> None:
        self._loop = loop
        self._question = question

    def __call__(self, *args: Any) -> list[AddrInfo]:
        logger.debug("Get address info %s", self._question)
        begun = self._loop.time()
        infos: list[AddrInfo] = list(socket.getaddrinfo(*args))
        took = self._loop.time() - begun
        level = logging.INFO if took >= self._loop.slow_callback_duration else logging.DEBUG
        logger.log(level, "Getting address info %s took %.3fms: %r", self._question, took * 1e3, infos)
        return infos
