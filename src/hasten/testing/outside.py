"""Who is at work outside a loop, so that its virtual time may not jump: threads, children, others' sockets."""

from __future__ import annotations

import concurrent.futures.thread
import os
import socket
import stat
import struct
import sys
import threading
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

# What the other end of a descriptor is.
NOBODY, OWN, ANYBODY, OTHERS = range(4)

_WAIT_FILE = threading.__file__
_POOL_FILE = concurrent.futures.thread.__file__
_locked: Callable[[], bool] = getattr(sys, "_is_gil_enabled", lambda: True)  # the interpreter has its lock


def is_idle(frame: FrameType) -> bool:
    """True if a thread that stands there waits, without a limit, until somebody has work for it, and nobody has."""
    code = frame.f_code
    if not _locked():
        return False  # the locals of a frame that may run meanwhile are not to be looked at
    if code.co_filename == _POOL_FILE and code.co_name == "_worker":
        names = frame.f_locals
        queue = names.get("work_queue")
        return names.get("work_item") is None and queue is not None and bool(queue.empty())
    if code.co_filename == _WAIT_FILE and code.co_name == "wait":
        names = frame.f_locals
        waiter = names.get("waiter")  # Condition's; who has been notified, and did not come to run yet, has lost it,
        waiters = getattr(names.get("self"), "_waiters", None)  # or owns it already: then it is out of the list
        waits = waiter is None or (waiter.locked() and (waiters is None or waiter in list(waiters)))
        return names.get("timeout") is None and bool(waits)
    return False


def observes(thread: threading.Thread) -> bool:
    """True for hasten's own threads that only look on; those of lookups do not."""
    return thread.name.startswith("hasten-") and not thread.name.startswith("hasten-dns")


def busy_threads(known: Iterable[threading.Thread]) -> list[threading.Thread]:
    """Return the threads, but for this one and the `known`, that do something or may do something by themselves."""
    here = threading.current_thread()
    others = [each for each in threading.enumerate() if each is not here and each not in known and not observes(each)]
    if not others:
        return []
    frames = sys._current_frames()
    return [each for each in others if each.ident not in frames or not is_idle(frames[each.ident])]  # type: ignore[index]


def _peer_process(sock: socket.socket) -> int | None:
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return None
    try:
        return int(struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, option, 12))[0])
    except OSError:
        return None


def _look(sock: socket.socket) -> tuple[int, Any, Any]:
    """Return what a socket leads to as far as it shows by itself, its own address and the other end's."""
    try:
        listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError:
        listens = 0
    if listens:
        return ANYBODY, None, None
    if sock.family == getattr(socket, "AF_UNIX", None):
        if sock.type == socket.SOCK_STREAM:
            return OWN if _peer_process(sock) == os.getpid() else OTHERS, None, None
    try:
        own = sock.getsockname()
    except OSError:
        return OTHERS, None, None
    try:
        peer = sock.getpeername()
    except OSError:  # a datagram socket that listens to all; or a connection that is being made
        return ANYBODY if sock.type == socket.SOCK_DGRAM else OTHERS, own, None
    return OTHERS, own, peer


def _ends(fd: int) -> tuple[int, Any, Any]:
    try:
        mode = os.fstat(fd).st_mode
    except OSError:  # closed
        return NOBODY, None, None
    if not stat.S_ISSOCK(mode):
        return OTHERS, None, None
    try:
        sock = socket.socket(fileno=fd)
    except OSError:
        return OTHERS, None, None
    try:
        return _look(sock)
    finally:
        sock.detach()


def lead_to(fds: Iterable[int]) -> int:
    """Return where a loop's descriptors lead: the greatest of NOBODY, OWN, ANYBODY, OTHERS that one of them does.

    OWN: to this loop again. ANYBODY: to whoever may come, as a listening socket does. OTHERS: to another loop, process
    or machine, or where it cannot be told.
    """
    found = [_ends(fd) for fd in fds]
    here = {own for _, own, _ in found if own is not None}
    greatest = NOBODY
    for kind, _, peer in found:
        if kind == OTHERS and peer is not None and peer in here:
            kind = OWN
        greatest = max(greatest, kind)
    return greatest
