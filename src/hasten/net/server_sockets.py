"""Sockets bound to the addresses and paths that a server shall listen on; unix paths cleared before and after."""

from __future__ import annotations

import errno
import logging
import socket
import stat
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

# Not from `os`: what finds blocking calls (blockbuster) puts wrappers there, which refuse them within a running loop
# but to those functions of asyncio that they know by file and name. asyncio makes the same calls at the same moments.
if sys.platform == "win32":
    from os import stat as file_status
    from os import unlink
else:
    from posix import stat as file_status
    from posix import unlink

if TYPE_CHECKING:
    from hasten.net.contract import AddrInfo, NetLoop

logger = logging.getLogger("asyncio")

# Out of descriptors or memory: nothing is wrong with the address, and to listen on the others only would hide it.
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class SocketOptions(NamedTuple):
    """What create_server was told to set on its sockets."""

    reuse_address: bool
    reuse_port: bool
    keep_alive: bool

    def apply(self, sock: socket.socket) -> None:
        if self.reuse_address:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, True)
        internet = sock.family in (socket.AF_INET, socket.AF_INET6)
        if self.reuse_port and internet:  # Linux refuses it elsewhere since 6.12.9
            set_reuse_port(sock)
        if self.keep_alive:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, True)
        if sock.family == socket.AF_INET6 and hasattr(socket, "IPPROTO_IPV6"):
            # Linux would bind the IPv4 port too, which then fails for the IPv4 address of the same host.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, True)


def set_reuse_port(sock: socket.socket) -> None:
    """Let other sockets that do the same be bound to the same address. ValueError where there is no such option."""
    if not hasattr(socket, "SO_REUSEPORT"):
        raise ValueError("reuse_port not supported by socket module")
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    except OSError:
        raise ValueError(
            "reuse_port not supported by socket module, SO_REUSEPORT defined but not implemented."
        ) from None


def bind_all(loop: NetLoop, infos: list[AddrInfo], wanted: SocketOptions) -> list[socket.socket]:
    """Bind a socket to each address; leave out those whose family the system does not have."""
    bound: list[socket.socket] = []
    try:
        for info in infos:
            _bind_one(loop, info, wanted, bound)
        if not bound:
            raise OSError(f"could not bind on any address out of {[info[4] for info in infos]!r}")
    except BaseException:
        for sock in bound:
            sock.close()
        raise
    return bound


def _bind_one(loop: NetLoop, info: AddrInfo, wanted: SocketOptions, bound: list[socket.socket]) -> None:
    """Put a socket into `bound` that is bound to one address; none if the system does not have that."""
    family, kind, proto, _, address = info
    try:
        sock = socket.socket(family, kind, proto)
    except OSError as exc:
        if exc.errno in _EXHAUSTED:
            raise
        if loop.get_debug():
            logger.warning(
                "create_server() failed to create socket.socket(%r, %r, %r)", family, kind, proto, exc_info=True
            )
        return
    try:
        wanted.apply(sock)
        if _bound(loop, sock, address):
            bound.append(sock)
        else:
            sock.close()
    except BaseException:
        sock.close()
        raise


def _bound(loop: NetLoop, sock: socket.socket, address: Any) -> bool:
    """Bind `sock`; return whether the system has that address."""
    try:
        sock.bind(address)
    except OSError as exc:
        text = f"error while attempting to bind on address {address!r}: {str(exc).lower()}"
        if exc.errno != errno.EADDRNOTAVAIL:
            raise OSError(exc.errno, text) from None
        if loop.get_debug():
            logger.warning(text)
        return False
    return True


def bind_unix(path: str | bytes) -> socket.socket:
    """Return a unix socket bound to `path`; remove a stale one there first."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        make_way(path)
        sock.bind(path)
    except OSError as exc:
        sock.close()
        if exc.errno == errno.EADDRINUSE:
            raise OSError(errno.EADDRINUSE, f"Address {path!r} is already in use") from None
        raise
    except BaseException:
        sock.close()
        raise
    return sock


def _is_abstract(path: str | bytes) -> bool:
    """True if `path` names no file: an abstract name of Linux's, or "", for which Linux picks such a name."""
    return not path or path[0] in (0, "\0")


def make_way(path: str | bytes) -> None:
    """Remove the socket file at `path`, if there is one: what made it has left it there."""
    if _is_abstract(path):
        return
    try:
        if stat.S_ISSOCK(file_status(path).st_mode):
            unlink(path)
    except FileNotFoundError:
        pass
    except OSError as exc:
        # The folder may allow creating but not removing; binding will tell.
        logger.error("Unable to check or remove stale UNIX socket %r: %r", path, exc)


def file_identity(path: str | bytes) -> tuple[str | bytes, int] | None:
    """Return `path` and the inode of the file there, if there is one."""
    if _is_abstract(path):
        return None
    try:
        return path, file_status(path).st_ino
    except FileNotFoundError:
        return None


def unlink_if_ours(path: str | bytes, inode: int) -> None:
    """Remove `path` if it is still the file that had `inode`."""
    try:
        if file_status(path).st_ino == inode:
            unlink(path)
    except FileNotFoundError:
        pass
    except OSError as exc:
        logger.error("Unable to clean up listening UNIX socket %r: %r", path, exc)
