"""More of calls_net.py: the sock_* methods in each of their ways, and files to transports and sockets.

When a call is over, with memory, each of its sockets still gets what is sent to it: no wait was left half begun.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from typing import Any

from .calls import Call, outside
from .calls_net import AFTER, PATH, WHERE, Kept, drain, tcp_pair, tick
from .ticks import run_some_ticks

FILE = os.path.join(WHERE.name, "file")
SIZE = 400_000
with open(FILE, "wb") as _file:
    _file.write(b"x" * SIZE)


def datagram_pair() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)


def udp_pair() -> tuple[socket.socket, socket.socket]:
    near, far = socket.socket(type=socket.SOCK_DGRAM), socket.socket(type=socket.SOCK_DGRAM)
    near.bind(("127.0.0.1", 0))
    far.bind(("127.0.0.1", 0))
    near.connect(far.getsockname())
    far.connect(near.getsockname())
    return near, far


class Wrapped:
    """What has a socket's methods, and takes no weak reference."""

    __slots__ = ("fileno", "gettimeout", "recv", "send", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.recv, self.send, self.fileno, self.gettimeout = sock.recv, sock.send, sock.fileno, sock.gettimeout


class AtOnce:
    """A loop's run_in_executor() without threads, which are not to ask for memory."""

    def __init__(self, loop: Any) -> None:
        self.loop = loop

    def __call__(self, executor: Any, func: Any, *args: Any) -> Any:
        done = self.loop.create_future()
        done.set_result(func(*args))
        return done


class Hidden:
    """A file without a descriptor."""

    def __init__(self, file: Any) -> None:
        self.seek, self.readinto = file.seek, file.readinto


async def _sent(loop: Any, one: socket.socket, other: socket.socket) -> None:
    drain(one)
    receiving = loop.create_task(loop.sock_recv(one, 100))
    await asyncio.sleep(0)
    await loop.sock_sendall(other, b"again")
    assert await asyncio.wait_for(receiving, 5) == b"again"


class Scene:
    """Two sockets, a file, and what is done with them by a coroutine that runs to its end."""

    def __init__(self, ns: Any, loop: Any, pair: Callable[[], tuple[socket.socket, socket.socket]]) -> None:
        self.ns = ns
        self.loop = loop
        self.near, self.far = pair()
        self.near.setblocking(False)
        self.far.setblocking(False)
        self.file = open(FILE, "rb")  # noqa: SIM115 - a field  # noqa: SIM115 - for as long as the scene lasts
        self.open: list[socket.socket] = []
        self.transport: Any = None
        AFTER.append(self.end)

    def end(self) -> None:
        for task in self.ns.all_tasks(self.loop):
            task.cancel()
        tick(self.loop)
        if self.transport is not None:
            self.transport.abort()
            tick(self.loop)
        else:
            self.loop.remove_reader(self.near)
            self.loop.remove_writer(self.near)
            self.loop.run_until_complete(_sent(self.loop, self.near, self.far))
            self.loop.run_until_complete(_sent(self.loop, self.far, self.near))
        for each in (self.near, self.far, self.file, *self.open):
            each.close()
        vars(self.loop).pop("run_in_executor", None)
        tick(self.loop)


def scene(
    pair: Callable[[], tuple[socket.socket, socket.socket]] = socket.socketpair,
    prepare: Callable[[Scene], object] = id,
) -> Callable[..., Any]:
    def decorate(main: Callable[[Scene], Any]) -> Callable[[Scene], Any]:
        def made(ns: Any, loop: Any) -> Call:
            it = Scene(ns, loop, pair)
            prepare(it)

            def call() -> None:
                coro = main(it)
                try:
                    run_some_ticks(loop, coro)
                finally:
                    coro.close()

            return call

        made.__name__ = f"net_{main.__name__}"
        outside(made)
        return main

    return decorate


# ---- sockets --------------------------------------------------------------------------------------------------------


@scene(tcp_pair)
async def sock_recv_tcp(it: Scene) -> None:
    for size in (100, 300_000):
        receiving = it.ns.create_task(it.loop.sock_recv(it.near, size))
        await it.ns.sleep(0)
        it.far.send(b"data")
        await receiving
        it.far.send(b"data")
        await it.loop.sock_recv(it.near, size)


@scene(tcp_pair)
async def sock_recv_into_others(it: Scene) -> None:
    room = memoryview(bytearray(10))
    receiving = it.ns.create_task(it.loop.sock_recv_into(it.near, room))
    await it.ns.sleep(0)
    it.far.send(b"data")
    assert await receiving == 4


@scene(datagram_pair)
async def sock_recvfrom(it: Scene) -> None:
    receiving = it.ns.create_task(it.loop.sock_recvfrom(it.near, 100))
    await it.ns.sleep(0)
    it.far.send(b"data")
    await receiving
    receiving = it.ns.create_task(it.loop.sock_recvfrom_into(it.near, bytearray(10)))
    await it.ns.sleep(0)
    it.far.send(b"data")
    await receiving


@scene(udp_pair)
async def sock_sendto(it: Scene) -> None:
    with contextlib.suppress(ConnectionRefusedError):
        await it.loop.sock_sendto(it.near, b"data", it.far.getsockname())


def _full(it: Scene) -> None:
    with contextlib.suppress(BlockingIOError):
        while True:
            it.near.send(b"x" * 1000)


@scene(datagram_pair, _full)
async def sock_sendall_datagram(it: Scene) -> None:
    sending = it.ns.create_task(it.loop.sock_sendall(it.near, b"data"))
    await it.ns.sleep(0)
    drain(it.far)
    await sending


@scene()
async def sock_sendall_views(it: Scene) -> None:
    for data in (bytearray(b"data"), memoryview(b"data"), array.array("i", (1, 2))):
        await it.loop.sock_sendall(it.near, data)
    sending = it.ns.create_task(it.loop.sock_sendall(it.near, bytearray(SIZE)))
    for _ in range(20):
        await it.ns.sleep(0)
        drain(it.far)
    await sending


@scene(prepare=_full)
async def sock_both(it: Scene) -> None:
    """One reads, one writes, and callbacks beside them."""
    receiving = it.ns.create_task(it.loop.sock_recv(it.near, 100))
    sending = it.ns.create_task(it.loop.sock_sendall(it.near, b"data"))
    await it.ns.sleep(0)
    it.loop.add_reader(it.near, id, 1)
    it.loop.add_writer(it.near, id, 1)
    it.far.send(b"data")
    drain(it.far)
    await receiving
    await sending
    it.loop.remove_reader(it.near)
    it.loop.remove_writer(it.near)


@scene(prepare=_full)
async def sock_both_cancelled(it: Scene) -> None:
    receiving = it.ns.create_task(it.loop.sock_recv(it.near, 100))
    sending = it.ns.create_task(it.loop.sock_sendall(it.near, b"data"))
    it.loop.add_reader(it.near, id, 1)
    await it.ns.sleep(0)
    receiving.cancel()
    sending.cancel()
    await it.ns.wait([receiving, sending])
    it.loop.remove_reader(it.near)


@scene()
async def sock_wrapped(it: Scene) -> None:
    sock = Wrapped(it.near)
    receiving = it.ns.create_task(it.loop.sock_recv(sock, 100))
    await it.ns.sleep(0)
    it.far.send(b"data")
    await receiving
    await it.loop.sock_sendall(sock, b"data")


@scene()
async def sock_other_object(it: Scene) -> None:
    """Another object for the same descriptor, then none for it."""
    receiving = it.ns.create_task(it.loop.sock_recv(it.near, 100))
    await it.ns.sleep(0)
    other = Wrapped(it.near)
    sending = it.ns.create_task(it.loop.sock_sendall(other, b"x" * SIZE))
    for _ in range(20):
        await it.ns.sleep(0)
        drain(it.far)
    await sending
    it.far.send(b"data")
    await receiving


def _closed(it: Scene) -> None:
    """Somebody waits for a socket that was closed; `near` has its number."""
    old = it.near.dup()
    it.open.append(old)
    task = it.loop.create_task(it.loop.sock_recv(old, 100))
    tick(it.loop)
    fd = old.fileno()
    old.close()
    kept, it.near = it.near, it.near.dup()
    kept.close()
    assert it.near.fileno() == fd
    assert not task.done()


@scene(prepare=_closed)
async def sock_number_used_again(it: Scene) -> None:
    receiving = it.ns.create_task(it.loop.sock_recv(it.near, 100))
    await it.ns.sleep(0)
    it.far.send(b"data")
    await receiving


def _listens(it: Scene) -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    client = socket.socket()
    client.setblocking(False)
    it.open += [listening, client]


@scene(prepare=_listens)
async def sock_connect(it: Scene) -> None:
    listening, client = it.open
    await it.loop.sock_connect(client, listening.getsockname())


def _listens_with_no_room(it: Scene) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(PATH)
    listening, early, client = (socket.socket(socket.AF_UNIX) for _ in range(3))
    it.open += [listening, early, client]
    listening.bind(PATH)
    listening.listen(0)
    early.connect(PATH)
    client.setblocking(False)


@scene(prepare=_listens_with_no_room)
async def sock_connect_to_a_full_queue(it: Scene) -> None:
    connecting = it.ns.create_task(it.loop.sock_connect(it.open[2], PATH))
    await it.ns.sleep(0)
    connecting.cancel()
    await it.ns.wait([connecting])


# ---- files ----------------------------------------------------------------------------------------------------------


def _pool(it: Scene) -> None:
    it.loop.run_in_executor = AtOnce(it.loop)


def _transport(it: Scene) -> None:
    it.near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 20_000)
    it.transport, _ = it.loop.run_until_complete(it.loop.create_connection(Kept, sock=it.near))
    _pool(it)


def _transport_that_writes(it: Scene) -> None:
    _transport(it)
    it.transport.write(b"x" * 100_000)


async def _drained(it: Scene, sending: Any) -> None:
    for _ in range(30):
        await it.ns.sleep(0)
        drain(it.far)
        if sending.done():
            break
    await sending


@scene()
async def sock_sendfile(it: Scene) -> None:
    await _drained(it, it.ns.create_task(it.loop.sock_sendfile(it.near, it.file)))


@scene(prepare=_pool)
async def sock_sendfile_read(it: Scene) -> None:
    await _drained(it, it.ns.create_task(it.loop.sock_sendfile(it.near, Hidden(it.file), 0, 1000)))


@scene(prepare=_transport)
async def sendfile(it: Scene) -> None:
    it.transport.write(b"x")
    await _drained(it, it.ns.create_task(it.loop.sendfile(it.transport, it.file, 10, 200_000)))
    it.transport.write(b"x")


@scene(prepare=_transport_that_writes)
async def sendfile_behind(it: Scene) -> None:
    await _drained(it, it.ns.create_task(it.loop.sendfile(it.transport, it.file, 0, 1000)))


@scene(prepare=_transport)
async def sendfile_cancelled(it: Scene) -> None:
    sending = it.ns.create_task(it.loop.sendfile(it.transport, it.file))
    for _ in range(3):
        await it.ns.sleep(0)
    sending.cancel()
    await it.ns.wait([sending])
    it.transport.write(b"x")


@scene(prepare=_transport)
async def sendfile_read(it: Scene) -> None:
    await _drained(it, it.ns.create_task(it.loop.sendfile(it.transport, Hidden(it.file), 0, 100_000)))
    it.transport.write(b"x")
