"""sock_connect(): a plain nonblocking socket, connected."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING, Any

from hasten.core import outcomes
from hasten.net import dns, sock_calls, sockets

if TYPE_CHECKING:
    from hasten.net.contract import NetLoop

_INET = (socket.AF_INET, socket.AF_INET6)

# Seconds between two attempts to enter the full queue of a unix listener: the first pause, and the longest.
_QUEUE_PAUSE = 0.001
_QUEUE_PAUSE_MAX = 0.05


async def sock_connect(loop: NetLoop, sock: socket.socket, address: Any) -> None:
    """Connect to `address`; the host of an internet address may be a name, which is looked up first."""
    sockets.check_socket(loop, sock)
    family = sock.family
    if family in _INET:
        kind, proto = sock.type, sock.proto
        infos = dns.numeric_addrinfos(address, family, kind, proto)
        if infos is None:
            infos = await dns.ensure_resolved(loop, address, family=family, type=kind, proto=proto)
        address = infos[0][4]
    pause = _QUEUE_PAUSE
    while True:
        try:
            sock.connect(address)
        except (BlockingIOError, InterruptedError) as exc:
            queue_full = exc.errno == errno.EAGAIN and family not in _INET
        else:
            loop._stir()
            return
        if not queue_full:
            break
        # The listener's queue is full. The socket stays unconnected and no event will tell when there is room
        # (it even counts as writable), so there is nothing better than to try again.
        await _pause(loop, pause)
        pause = min(pause * 2, _QUEUE_PAUSE_MAX)
    await sock_calls.writable(loop, sock)
    error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error != 0:
        raise OSError(error, f"Connect call failed {address}")


async def _pause(loop: NetLoop, delay: float) -> None:
    """Sleep for `delay` seconds."""
    over = loop.create_future()
    timer = loop.call_later(delay, outcomes.set_unless_done, over)
    try:
        await over
    finally:
        timer.cancel()
