"""A transport whose descriptor is closed behind its back, so that the poller's calls for it fail. Arguments: the
poller, and which of its calls fails. Prints "lost" when the protocol has heard of the end and the loop went on."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from typing import Any

import hasten


class Peer(asyncio.Protocol):
    def __init__(self) -> None:
        self.lost = asyncio.get_running_loop().create_future()

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost.set_result(exc)


class Early(Peer):
    """Closes the descriptor before it is registered."""

    def connection_made(self, transport: Any) -> None:
        os.close(transport.get_extra_info("socket").fileno())


async def main(what: str) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: None)
    one, other = socket.socketpair()
    if what == "register":
        peer: Peer = Early()
        try:
            await loop.create_connection(lambda: peer, sock=one)
            raise SystemExit("no error")
        except OSError:
            pass
    else:
        transport, peer = await loop.create_connection(Peer, sock=one)
        number = one.fileno()
        if what == "modify":
            transport.write(b"x" * 10_000_000)
            os.close(number)
            other.setblocking(False)
            transport.write(b"more")
            transport.abort()
        else:
            os.close(number)
            transport.close()
    await asyncio.wait_for(peer.lost, 20)
    one.detach()
    other.close()
    print("lost")


loop = hasten.new_event_loop(sys.argv[1])
loop.run_until_complete(main(sys.argv[2]))
loop.close()
