"""More of calls.py: transports, streams, servers, sockets, watched file descriptors, threads.

Not here: run_in_executor() and to_thread() with a true pool, since its submit() makes a function, which CPython 3.13.0
frees twice if there is no memory for it; executor_at_once of calls_more.py has another pool. Of a thread that cannot
tell the loop for lack of memory: tests/loop/test_loop.py.

What a call has opened is closed by AFTER once memory is there again: then each connection that was made has been lost,
and as many file descriptors are open as before. No function is made while memory is short.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import socket
import tempfile
from collections import deque
from collections.abc import Callable
from typing import Any, ClassVar

from .calls import Call, outside
from .serving import answer
from .ticks import Stuck, run_some_ticks

AFTER: list[Callable[[], object]] = []  # what is to be called, the latest first, when a call is over
WHERE = tempfile.TemporaryDirectory()  # goes when the process ends
PATH = os.path.join(WHERE.name, "socket")
FILL = 256  # entries of a loop's ready queue before it has to grow


def tick(loop: Any, times: int = 4) -> None:
    for _ in range(times):
        loop.stop()
        loop.run_forever()


def tidy() -> None:
    while AFTER:
        AFTER.pop()()


# ---- what connects --------------------------------------------------------------------------------------------------


class Kept(asyncio.Protocol):
    """Counts what it is told, without memory."""

    transport: Any = None
    loop: Any = None
    made = lost = size = 0
    writing = True
    ended = False

    def connection_made(self, transport: Any) -> None:
        self.made += 1
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.size += len(data)

    def eof_received(self) -> bool:
        self.ended = True
        return False

    def pause_writing(self) -> None:
        self.writing = False

    def resume_writing(self) -> None:
        self.writing = True

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost += 1


class Buffered(Kept, asyncio.BufferedProtocol):  # type: ignore[misc]
    room = bytearray(4096)

    def get_buffer(self, sizehint: int) -> Any:
        return self.room

    def buffer_updated(self, nbytes: int) -> None:
        self.size += nbytes


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        near = socket.create_connection(listening.getsockname())
        far, _ = listening.accept()
    return near, far


def drain(far: Any) -> int:
    """Reads all that is there."""
    n = 0
    with contextlib.suppress(BlockingIOError):
        while data := far.recv(1 << 18):
            n += len(data)
    return n


class Connection:
    """A transport and the socket at its other end. At the end it is lost, once."""

    def __init__(self, ns: Any, loop: Any, kind: Callable[[], Kept] = Kept, tcp: bool = False) -> None:
        self.loop = loop
        self.near, self.far = tcp_pair() if tcp else socket.socketpair()
        self.far.setblocking(False)
        self.transport, self.protocol = loop.run_until_complete(loop.create_connection(kind, sock=self.near))
        self.protocol.loop = loop
        AFTER.append(self.end)

    def end(self) -> None:
        for _ in range(100):
            if self.transport.get_write_buffer_size() == 0 or self.far.fileno() < 0:
                break
            drain(self.far)
            tick(self.loop)
        else:
            raise Stuck("what is buffered is not sent")
        self.transport.abort()
        self.far.close()
        tick(self.loop)
        if self.protocol.lost != 1 or self.near.fileno() >= 0:
            raise Stuck(f"connection_lost() was called {self.protocol.lost} times")


LARGE = b"x" * 60_000


def _of_transport(
    name: str, deed: Callable[[Any, Any, Any], object], ready: Callable[[Any], object] = id, tcp: bool = False
) -> None:
    """A deed with a transport and its peer while the loop does not run, then some ticks."""
    for kind in (Kept, Buffered):

        def scene(ns: Any, loop: Any, kind: Any = kind) -> Call:
            made = Connection(ns, loop, kind, tcp)
            ready(made)

            def call() -> None:
                deed(made.transport, made.far, made.protocol)
                tick(loop)

            return call

        scene.__name__ = f"net_{name}_{kind.__name__}"
        outside(scene)


def _full(made: Connection) -> None:
    made.transport.write(b"x" * 2_000_000)
    assert made.transport.get_write_buffer_size()
    tick(made.loop)


def _paused(made: Connection) -> None:
    made.transport.pause_reading()
    made.far.send(b"data")
    tick(made.loop)


def _send(far: Any) -> None:
    with contextlib.suppress(BrokenPipeError):  # for lack of memory the other end is closed
        far.send(LARGE)


PIECES = [b"a", bytearray(b"b"), memoryview(b"c")]
_of_transport("write", lambda t, far, p: t.write(b"x" * 100))
_of_transport("write_others", lambda t, far, p: (t.write(PIECES[1]), t.write(PIECES[2])))
_of_transport("writelines", lambda t, far, p: t.writelines(PIECES))
_of_transport("write_much", lambda t, far, p: t.write(b"x" * 3_000_000))
_of_transport("write_behind", lambda t, far, p: (t.write(b"x" * 10), t.writelines(PIECES)), _full)
_of_transport("write_eof", lambda t, far, p: (t.can_write_eof(), t.write_eof()))
_of_transport("write_eof_behind", lambda t, far, p: (t.write_eof(), drain(far)), _full)
_of_transport("close", lambda t, far, p: (t.close(), t.is_closing()))
_of_transport("close_behind", lambda t, far, p: (t.close(), drain(far)), _full)
_of_transport("abort", lambda t, far, p: t.abort(), _full)
_of_transport("pause", lambda t, far, p: (t.pause_reading(), t.is_reading(), t.resume_reading()))
_of_transport("limits", lambda t, far, p: (t.set_write_buffer_limits(10), t.get_write_buffer_limits()), _full)
_of_transport("size", lambda t, far, p: t.get_write_buffer_size() + 10**10, _full)
_of_transport("data", lambda t, far, p: far.send(b"x" * 100))
_of_transport("data_large", lambda t, far, p: (_send(far), tick(p.loop), _send(far)))
_of_transport("data_tcp", lambda t, far, p: (far.send(b"x" * 100), t.write(b"y" * 10)), tcp=True)
_of_transport("end", lambda t, far, p: far.shutdown(socket.SHUT_WR))
_of_transport("reset", lambda t, far, p: (far.close(), t.write(b"x"), t.write(b"x")))
_of_transport("protocol", lambda t, far, p: (t.set_protocol(p), t.get_protocol()))
_of_transport("drained", lambda t, far, p: (drain(far), tick(p.loop), drain(far)), _full)
_of_transport("shows", lambda t, far, p: repr(t))
_of_transport(
    "extra",
    lambda t, far, p: [t.get_extra_info(name) for name in ("socket", "peername", "sockname", "else")],
    tcp=True,
)


# ---- a full ready queue ---------------------------------------------------------------------------------------------


class Loop:
    """A loop of its own, whose ready queue has not grown: when it is full, the next entry needs memory."""

    def __init__(self, ns: Any, loop: Any) -> None:
        self.loop = ns.new_event_loop()
        self.loop.set_exception_handler(loop.get_exception_handler())
        self.handle = ns.Handle(int, (), self.loop)
        AFTER.append(self.close)

    def fill(self) -> None:
        """Takes no memory itself."""
        if hasattr(self.loop, "_post"):
            for _ in range(FILL - len(self.loop._ready)):
                self.loop._post(self.handle)

    def tick(self) -> None:
        tick(self.loop, 1)

    def close(self) -> None:
        tick(self.loop)
        self.loop.close()


def _when_full(name: str, deed: Callable[[Connection], object], ready: Callable[[Connection], object] = id) -> None:
    """A deed with a transport, done again with memory if there was none."""

    def scene(ns: Any, loop: Any) -> Call:
        own = Loop(ns, loop)
        made = Connection(ns, own.loop)
        ready(made)

        def call() -> None:
            own.fill()
            deed(made)
            tick(own.loop)

        def again() -> None:
            deed(made)
            tick(own.loop)
            if made.protocol.lost + made.protocol.size == 0:
                raise Stuck("nothing came of it")

        AFTER.append(again)
        return call

    scene.__name__ = f"net_full_{name}"
    outside(scene)


_when_full("abort", lambda made: made.transport.abort())
_when_full("close", lambda made: made.transport.close())
_when_full("resume", lambda made: made.transport.resume_reading(), _paused)


class Crowd:
    """Makes protocols, and leaves no room in the ready queue."""

    def __init__(self, own: Loop) -> None:
        self.own = own

    def __call__(self) -> Kept:
        self.own.fill()
        return Kept()


@outside
def net_full_accepts(ns: Any, loop: Any) -> Call:
    own = Loop(ns, loop)
    server = own.loop.run_until_complete(own.loop.create_unix_server(Crowd(own), PATH))
    near = socket.socket(socket.AF_UNIX)
    near.connect(PATH)

    def call() -> None:
        tick(own.loop)

    def end() -> None:
        server.close()
        near.close()
        tick(own.loop)
        if server._clients:
            raise Stuck("the server waits for a connection that is none")

    AFTER.append(end)
    return call


# ---- connecting and listening ---------------------------------------------------------------------------------------


def _program(name: str, main: Callable[..., Any], *args: Any) -> None:
    """A coroutine that runs to its end: main(ns, *args, opened), where it puts what is to be closed."""

    def scene(ns: Any, loop: Any) -> Call:
        opened = deque(socket.socketpair())  # made now: the interpreter loses one without memory
        protocols: deque[Kept] = deque()
        Accepted.all = protocols

        def close() -> None:
            near = opened.popleft()  # the last: a transport may have it
            for each in opened:
                each.close()
                if hasattr(each, "abort_clients"):
                    each.abort_clients()
            for each in protocols:
                if each.transport is not None:
                    each.transport.abort()
            tick(loop)
            near.close()
            if any(each.made != each.lost for each in protocols):
                raise Stuck("a connection was not lost")

        AFTER.append(close)

        def call() -> None:
            coro = main(ns, *args, opened)
            try:
                run_some_ticks(loop, coro)
            finally:
                coro.close()

        return call

    scene.__name__ = f"net_{name}"
    outside(scene)


class Accepted(Kept):
    all: ClassVar[deque[Any]] = deque()

    def __init__(self) -> None:
        Accepted.all.append(self)


def program(main: Callable[..., Any]) -> Callable[..., Any]:
    _program(main.__name__, main)
    return main


async def _talk(ns: Any, transport: Any, protocol: Any, server: Any) -> None:
    """Until the accepted side has got what is sent."""
    transport.write(b"ping")
    for _ in range(10):
        await ns.sleep(0)
        for each in Accepted.all:
            if each.size:
                break
    transport.close()
    server.close()
    server.close_clients()
    await server.wait_closed()


@program
async def tcp(ns: Any, opened: deque[Any]) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Accepted, "127.0.0.1", 0)
    opened.append(server)
    host, port = server.sockets[0].getsockname()
    transport, protocol = await loop.create_connection(Accepted, host, port)
    await _talk(ns, transport, protocol, server)


@program
async def tcp_in_other_ways(ns: Any, opened: deque[Any]) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Accepted, "127.0.0.1", 0, start_serving=False)
    opened.append(server)
    await server.start_serving()
    repr(server), server.is_serving(), server.get_loop()
    host, port = server.sockets[0].getsockname()
    transport, protocol = await loop.create_connection(
        Accepted, host, port, local_addr=("127.0.0.1", 0), happy_eyeballs_delay=1
    )
    await _talk(ns, transport, protocol, server)


@program
async def tcp_refused(ns: Any, opened: deque[Any]) -> None:
    try:
        await asyncio.get_running_loop().create_connection(Accepted, "127.0.0.1", 1)
    except OSError:
        return
    raise AssertionError("something listens on port 1")


@program
async def unix(ns: Any, opened: deque[Any]) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_unix_server(Accepted, PATH)
    opened.append(server)
    transport, protocol = await loop.create_unix_connection(Accepted, PATH)
    await _talk(ns, transport, protocol, server)


@program
async def server_aborts(ns: Any, opened: deque[Any]) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_unix_server(Accepted, PATH)
    opened.append(server)
    await loop.create_unix_connection(Accepted, PATH)
    for _ in range(10):
        if server._clients:
            break
        await ns.sleep(0)
    server.abort_clients()
    await ns.sleep(0)
    server.close()
    await server.wait_closed()


@program
async def server_forever(ns: Any, opened: deque[Any]) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_unix_server(Accepted, PATH)
    opened.append(server)
    serving = ns.create_task(server.serve_forever())
    await ns.sleep(0)
    serving.cancel()
    await ns.wait([serving])
    server.close()  # again, if that was cut short
    await server.wait_closed()


@program
async def accepted_elsewhere(ns: Any, opened: deque[Any]) -> None:
    near, _ = opened
    transport, _ = await asyncio.get_running_loop().connect_accepted_socket(Accepted, near)
    transport.write(b"x")
    transport.close()
    await ns.sleep(0)


# ---- streams --------------------------------------------------------------------------------------------------------


@program
async def stream_reader(ns: Any, opened: deque[Any]) -> None:
    near, far = opened
    reader, writer = await ns.open_unix_connection(sock=near)
    opened.append(writer)
    far.send(b"one\ntwo|three")
    assert await reader.readline() == b"one\n"
    assert await reader.readuntil(b"|") == b"two|"
    assert await reader.readexactly(2) == b"th"
    far.close()
    assert await reader.read() == b"ree"
    assert reader.at_eof()
    writer.close()
    await writer.wait_closed()


@program
async def stream_writer(ns: Any, opened: deque[Any]) -> None:
    near, far = opened
    far.setblocking(False)
    _, writer = await ns.open_unix_connection(sock=near)
    opened.append(writer)
    writer.write(b"x")
    writer.writelines(PIECES)
    await writer.drain()
    writer.write(MUCH)
    draining = ns.create_task(writer.drain())
    for _ in range(20):
        await ns.sleep(0)
        drain(far)
        if draining.done():
            break
    await draining
    writer.write_eof()
    writer.close()
    await writer.wait_closed()


MUCH = b"x" * 400_000


def _echo_at_once(reader: Any, writer: Any) -> None:
    writer.write(b"hello\n")
    writer.close()


async def stream_server(ns: Any, connected: Any, opened: deque[Any]) -> None:
    server = await ns.start_unix_server(connected, PATH)
    opened.append(server)
    reader, writer = await ns.open_unix_connection(PATH)
    opened.append(writer)
    writer.write(b"hello\n")
    await reader.readline()
    writer.close()
    server.close()
    await server.wait_closed()


_program("stream_server", stream_server, answer)
_program("stream_server_callback", stream_server, _echo_at_once)


def unblocked(opened: deque[Any]) -> deque[Any]:
    for each in opened:
        each.setblocking(False)
    return opened


# ---- sockets --------------------------------------------------------------------------------------------------------


@program
async def sock_methods(ns: Any, opened: deque[Any]) -> None:
    loop = asyncio.get_running_loop()
    near, far = unblocked(opened)
    receiving = ns.create_task(loop.sock_recv(near, 100))
    await ns.sleep(0)
    await loop.sock_sendall(far, b"data")
    assert await receiving == b"data"
    receiving = ns.create_task(loop.sock_recv_into(near, bytearray(10)))
    await ns.sleep(0)
    await loop.sock_sendall(far, b"data")
    assert await receiving == 4
    receiving = ns.create_task(loop.sock_recv(near, 100))
    await ns.sleep(0)
    receiving.cancel()
    await ns.wait([receiving])


@program
async def sock_sendall_much(ns: Any, opened: deque[Any]) -> None:
    loop = asyncio.get_running_loop()
    near, far = unblocked(opened)
    sending = ns.create_task(loop.sock_sendall(near, MUCH))
    n = 0
    for _ in range(20):
        await ns.sleep(0)
        n += drain(far)
    await sending
    assert n == len(MUCH)


@program
async def sock_accept_connect(ns: Any, opened: deque[Any]) -> None:
    loop = asyncio.get_running_loop()
    listening = socket.create_server(("127.0.0.1", 0))
    opened.append(listening)
    listening.setblocking(False)
    accepting = ns.create_task(loop.sock_accept(listening))
    await ns.sleep(0)
    near = socket.socket()
    opened.append(near)
    near.setblocking(False)
    await loop.sock_connect(near, listening.getsockname())
    conn, _ = await accepting
    conn.close()


@program
async def getaddrinfo(ns: Any, opened: deque[Any]) -> None:
    loop = asyncio.get_running_loop()
    assert await loop.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)
    assert await loop.getnameinfo(("127.0.0.1", 80), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)


# ---- watched file descriptors ---------------------------------------------------------------------------------------


def _watched(name: str, deed: Callable[[Any, int, Any], object], number: int = 0) -> None:
    """A deed with a socketpair that can be read from; taken away with memory, it is not watched any more."""

    def scene(ns: Any, loop: Any) -> Call:
        before = descriptors()
        own = Loop(ns, loop)
        pollers = descriptors() - before
        near, far = socket.socketpair()
        fd = fcntl.fcntl(near, fcntl.F_DUPFD, number)
        far.send(b"x")
        heard: deque[int] = deque(maxlen=10)

        def call() -> None:
            deed(own.loop, fd, heard)
            tick(own.loop)

        def end() -> None:
            own.loop.remove_reader(fd)
            own.loop.remove_writer(fd)
            heard.clear()
            for each in pollers:
                alone(each)
            tick(own.loop)
            assert not heard
            own.loop.add_reader(fd, heard.append, 1)
            tick(own.loop)
            assert heard
            own.loop.remove_reader(fd)
            os.close(fd)
            near.close()
            far.close()

        AFTER.append(end)
        return call

    scene.__name__ = f"net_watch_{name}"
    outside(scene)


def descriptors() -> set[str]:
    """The open descriptors, but what the watch's thread (HASTEN_WATCH=1) has open for a moment."""
    found = set()
    with contextlib.suppress(FileNotFoundError):
        for fd in os.listdir("/proc/self/fd"):  # with the one that it is read by, which is closed by now
            with contextlib.suppress(FileNotFoundError):
                if not os.readlink(f"/proc/self/fd/{fd}").endswith("/schedstat"):
                    found.add(fd)
    return found


def shown(fds: set[str]) -> list[str]:
    return [f"{fd}: {os.readlink(f'/proc/self/fd/{fd}')}" for fd in fds]


def alone(fd: str) -> None:
    """Nothing is left in the kernel's list that the loop does not know of."""
    with contextlib.suppress(FileNotFoundError), open(f"/proc/self/fdinfo/{fd}") as info:
        assert sum(line.startswith("tfd") for line in info) <= 1  # what wakes the loop


_watched("reader", lambda loop, fd, heard: loop.add_reader(fd, heard.append, 1))
_watched("both", lambda loop, fd, heard: (loop.add_writer(fd, heard.append, 1), loop.add_reader(fd, heard.append, 1)))
_watched("again", lambda loop, fd, heard: (loop.add_reader(fd, heard.append, 1), loop.add_reader(fd, heard.append, 2)))
_watched(
    "removed",
    lambda loop, fd, heard: (
        loop.add_writer(fd, heard.append, 1),
        loop.add_reader(fd, heard.append, 1),
        loop.remove_writer(fd),
        loop.remove_reader(fd),
    ),
)


# ---- threads --------------------------------------------------------------------------------------------------------


class Failed:
    """An exception handler that counts."""

    def __init__(self, failed: deque[int]) -> None:
        self.failed = failed

    def __call__(self, loop: Any, context: dict[str, Any]) -> None:
        self.failed.append(1)


@outside
def net_call_soon_threadsafe(ns: Any, loop: Any) -> Call:
    own = Loop(ns, loop)
    ran: deque[int] = deque()
    posted: deque[int] = deque()
    failed: deque[int] = deque()
    own.loop.set_exception_handler(Failed(failed))

    def call() -> None:
        own.fill()
        own.loop.call_soon_threadsafe(ran.append, 1)
        posted.append(1)
        tick(own.loop)

    def check() -> None:
        tick(own.loop)
        assert len(ran) + len(failed) >= len(posted)

    AFTER.append(check)
    return call
