"""A transport that is part of garbage is written to while the collector takes it apart: a buffer that was lent is given
back then, whose method has kept a bound method of the transport's. Arguments: that method, whether the transport is
"open" or "closed", and "stream" or "datagrams". Prints "given back" and "end"."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import sys
import warnings
from typing import Any

import hasten

ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "write": (b"x",),
    "writelines": ([b"x"],),
    "sendto": (b"x",),
    "set_write_buffer_limits": (5,),
    "set_protocol": (None,),
    "get_extra_info": ("socket",),
    "_force_close": (None,),
}


class Lent:
    """Memory that is written by when it is given back."""

    late: Any
    held: Any

    def __buffer__(self, flags: int) -> memoryview:
        return memoryview(bytearray(4))

    def __release_buffer__(self, view: memoryview) -> None:
        with contextlib.suppress(Exception):
            self.late(*ARGUMENTS.get(sys.argv[1], ()))
        print("given back")


class Holder:
    view: memoryview


def main(method: str, state: str, kind: str) -> None:
    warnings.simplefilter("ignore")  # that nobody has closed it
    loop = hasten.new_event_loop()
    one, other = socket.socketpair(type=socket.SOCK_STREAM if kind == "stream" else socket.SOCK_DGRAM)
    one.setblocking(False)

    async def opened() -> Any:
        transport: Any
        if kind == "stream":
            transport, _ = await loop.create_connection(asyncio.Protocol, sock=one)
        else:
            transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, sock=one)
        if state == "closed":
            transport.abort()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        return transport

    transport: Any = loop.run_until_complete(opened())
    loop.close()
    holder, lent = Holder(), Lent()
    lent.late = getattr(transport, method)
    lent.held = holder
    holder.view = memoryview(lent)  # type: ignore[arg-type]
    transport.mine = holder
    del transport, holder, lent
    gc.collect()
    other.close()
    print("end")


main(*sys.argv[1:])
