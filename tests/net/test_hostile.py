"""Transports against hostile protocols, buffers and pollers: none of them ends the loop, or loses or invents data."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hasten
from hasten.net.stream import SocketTransport

Pair = tuple[socket.socket, socket.socket]
COLLECTED = Path(__file__).with_name("hostile_collected.py")


@pytest.fixture
def pair(pair: Pair) -> Pair:
    """(the transport's end, the peer's end): both nonblocking."""
    pair[1].setblocking(False)
    return pair


class Peer(asyncio.Protocol):
    """Collects, and calls what `on` has for an event."""

    def __init__(self, **on: Callable[[Any], Any]) -> None:
        self.on = on
        self.data = bytearray()
        self.log: list[str] = []
        self.transport: Any = None
        self.lost: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def note(self, what: str) -> Any:
        self.log.append(what)
        return self.on[what](self) if what in self.on else None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.note("made")

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.note("data")

    def eof_received(self) -> Any:
        return self.note("eof")

    def pause_writing(self) -> None:
        self.note("pause")

    def resume_writing(self) -> None:
        self.note("resume")

    def connection_lost(self, exc: BaseException | None) -> None:
        if not self.lost.done():
            self.lost.set_result(exc)
        self.note("lost")


class Reports:
    """What the exception handler hears."""

    def __init__(self) -> None:
        self.all: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: self.all.append(context))

    @property
    def kinds(self) -> list[str]:
        return [type(context["exception"]).__name__ for context in self.all]


def run(loop: asyncio.AbstractEventLoop, coro: Any) -> Any:
    return loop.run_until_complete(asyncio.wait_for(coro, 30))


async def connect(sock: socket.socket, **on: Callable[[Any], Any]) -> tuple[Any, Peer]:
    return await asyncio.get_running_loop().create_connection(lambda: Peer(**on), sock=sock)


async def drain(sock: socket.socket, n: int) -> bytes:
    """n bytes from the peer's end."""
    got = bytearray()
    while len(got) < n:
        data = await asyncio.get_running_loop().sock_recv(sock, 1 << 20)
        if not data:
            break
        got += data
    return bytes(got)


needs_python_buffers = pytest.mark.skipif(sys.version_info < (3, 12), reason="__buffer__ came with Python 3.12")


# ---- buffers to receive into -------------------------------------------------------------------


class Into(Peer, asyncio.BufferedProtocol):
    def __init__(self, give: Callable[[Any], Any]) -> None:
        super().__init__()
        self.give = give

    def get_buffer(self, hint: int) -> Any:
        self.room = self.give(self)
        return self.room

    def buffer_updated(self, n: int) -> None:
        self.log.append(str(n))
        if self.log.count("raise"):
            raise ZeroDivisionError


@needs_python_buffers
def test_what_a_receive_found_out_is_its_own(loop: Any, pair: Pair) -> None:
    """A buffer that is released lets another transport receive: the rest of the data is read nevertheless."""

    class Room:
        def __init__(self, size: int) -> None:
            self.room = bytearray(size)

        def __buffer__(self, flags: int) -> memoryview:
            return memoryview(self.room)

        def __release_buffer__(self, view: memoryview) -> None:
            view.release()
            loop._run_once()  # reads what waits for the other transport

    async def main() -> None:
        one, other = socket.socketpair()
        with one, other:
            aside, _ = await connect(one)
            protocol = Into(lambda self: Room(100))
            transport, _ = await loop.create_connection(lambda: protocol, sock=pair[0])
            other.send(b"x")
            pair[1].send(b"y" * 1000)
            while protocol.log.count("100") < 10:
                await asyncio.sleep(0)
            transport.abort()
            aside.abort()
            await protocol.lost

    run(loop, main())


@needs_python_buffers
def test_the_error_of_a_receive_is_its_own(loop: Any) -> None:
    """What runs when a buffer is released may set errno: the connection's own error counts."""

    class Room:
        def __buffer__(self, flags: int) -> memoryview:
            return memoryview(bytearray(10))

        def __release_buffer__(self, view: memoryview) -> None:
            view.release()
            with pytest.raises(FileNotFoundError):
                os.stat("/there/is/no/such/file")

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            one = socket.create_connection(listener.getsockname())
            other, _ = listener.accept()
        protocol = Into(lambda self: Room())
        await loop.create_connection(lambda: protocol, sock=one)
        other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        other.close()
        assert isinstance(await protocol.lost, ConnectionResetError)

    run(loop, main())


@pytest.mark.parametrize(
    ("give", "kind"),
    [
        (lambda self: bytearray(), "RuntimeError"),
        (lambda self: b"read only", "BufferError"),
        (lambda self: memoryview(bytearray(8))[::2], "BufferError"),
        (lambda self: "text", "TypeError"),
        (lambda self: 1 / 0, "ZeroDivisionError"),
    ],
    ids=["empty", "read only", "with gaps", "none at all", "raises"],
)
def test_wrong_buffers_end_the_connection(loop: Any, pair: Pair, give: Any, kind: str) -> None:
    async def main() -> None:
        reports = Reports()
        protocol = Into(give)
        await loop.create_connection(lambda: protocol, sock=pair[0])
        pair[1].send(b"data")
        exc = await protocol.lost
        assert (type(exc).__name__, reports.kinds) == (kind, [kind]) or (kind, type(exc)) == ("BufferError", TypeError)
        assert pair[0].fileno() == -1

    run(loop, main())


async def _sets_another(loop: Any, pair: Pair) -> tuple[Into, Peer]:
    """A connection's protocol, and the one that it sets when it is asked for its buffer."""
    later = Peer()

    def give(self: Any) -> bytearray:
        self.transport.set_protocol(later)
        return bytearray(4)

    protocol = Into(give)
    await loop.create_connection(lambda: protocol, sock=pair[0])
    return protocol, later


def test_a_protocol_set_while_the_buffer_is_asked_for(loop: Any, pair: Pair) -> None:
    """The buffer and what is told that it was filled belong together."""

    async def main() -> None:
        protocol, later = await _sets_another(loop, pair)
        pair[1].send(b"12345678")
        while not later.data:
            await asyncio.sleep(0)
        assert (protocol.log, bytes(protocol.room), later.data) == (["made", "4"], b"1234", b"5678")
        protocol.transport.abort()
        await later.lost

    run(loop, main())


def test_the_end_is_told_to_the_protocol_that_was_set_while_the_buffer_was_asked_for(loop: Any, pair: Pair) -> None:
    async def main() -> None:
        protocol, later = await _sets_another(loop, pair)
        pair[1].close()
        await later.lost
        assert (protocol.log, later.log) == (["made"], ["eof", "lost"])

    run(loop, main())


class Closes(socket.socket):
    """Its transport comes to its end while it is read."""

    transport: Any = None

    def end(self) -> None:
        if self.transport is not None:
            self.transport.abort()
            self.transport._loop._run_once()

    def recv(self, *args: Any) -> bytes:
        data = super().recv(*args)
        self.end()
        return data

    def recv_into(self, *args: Any) -> int:
        n = super().recv_into(*args)
        self.end()
        return n


@pytest.mark.parametrize("sent", [b"data", b""])
@pytest.mark.parametrize("buffered", [True, False])
def test_nothing_is_told_after_the_end(loop: Any, pair: Pair, buffered: bool, sent: bytes) -> None:
    with Closes(fileno=pair[0].detach()) as sock:
        sock.setblocking(False)

        async def main() -> None:
            reports = Reports()
            protocol = Into(lambda self: bytearray(4)) if buffered else Peer()
            sock.transport, _ = await loop.create_connection(lambda: protocol, sock=sock)
            if sent:
                pair[1].send(sent)
            else:
                pair[1].close()
            assert await protocol.lost is None
            await asyncio.sleep(0)
            assert (protocol.log, reports.kinds) == (["made", "lost"], [])

        run(loop, main())


# ---- protocols ---------------------------------------------------------------------------------


class HostileError(Exception):
    """An exception that cannot be looked at."""

    @property
    def __class__(self) -> Any:
        raise ZeroDivisionError

    def __getattribute__(self, name: str) -> Any:
        raise ZeroDivisionError

    def __str__(self) -> str:
        raise ZeroDivisionError

    __repr__ = __str__


class HostileOSError(HostileError, OSError):
    pass


def fails(make: Callable[[], BaseException]) -> Callable[[Any], Any]:
    def fail(protocol: Any) -> Any:
        raise make()

    return fail


ERRORS = [ZeroDivisionError, HostileError, HostileOSError, asyncio.CancelledError, GeneratorExit, OSError]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
@pytest.mark.parametrize("handler", ["tells", "fails", "default"])
@pytest.mark.parametrize("where", ["made", "data", "eof", "pause", "resume", "lost"])
def test_what_a_protocol_raises_does_not_end_the_loop(
    loop: Any, pair: Pair, where: str, handler: str, error: Any
) -> None:
    async def main() -> None:
        if handler != "default":
            loop.set_exception_handler((lambda *args: 1 / 0) if handler == "fails" else (lambda *args: None))
        transport, peer = await connect(pair[0], **{where: fails(error)})
        pair[1].send(b"data")
        if where == "eof":
            pair[1].shutdown(socket.SHUT_WR)
        if where in ("pause", "resume"):
            transport.write(b"x" * 1_000_000)
            assert len(await drain(pair[1], 1_000_000)) == 1_000_000
            assert "pause" in peer.log
        if where not in ("data", "eof"):
            await asyncio.sleep(0)
            assert not transport.is_closing()
            transport.close()
        await peer.lost
        await asyncio.sleep(0)
        assert pair[0].fileno() == -1

    run(loop, main())


@pytest.mark.parametrize("way", ["raises", "lies", "is not true"])
def test_an_end_whose_answer_cannot_be_asked(loop: Any, pair: Pair, way: str) -> None:
    class Answer:
        def __bool__(self) -> Any:
            if way == "raises":
                raise ZeroDivisionError
            return "yes" if way == "lies" else False

    async def main() -> None:
        reports = Reports()
        _, peer = await connect(pair[0], eof=lambda self: Answer())
        pair[1].close()
        await peer.lost
        assert reports.kinds == {"raises": ["ZeroDivisionError"], "lies": ["TypeError"], "is not true": []}[way]

    run(loop, main())


class Handler(hasten.Loop):
    """A loop whose call_exception_handler() fails itself."""

    def call_exception_handler(self, context: Any) -> None:
        raise ZeroDivisionError


def test_an_exception_handler_method_that_fails(pair: Pair) -> None:
    loop = Handler()
    try:

        async def main() -> None:
            _, peer = await connect(pair[0], data=fails(ValueError), made=fails(ValueError), lost=fails(ValueError))
            pair[1].send(b"data")
            assert isinstance(await peer.lost, ValueError)

        run(loop, main())
    finally:
        loop.close()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("where", ["made", "data", "eof", "resume", "lost"])
def test_what_ends_the_loop_loses_nothing(loop: Any, pair: Pair, where: str, error: Any) -> None:
    """It can be run again, and the connection goes on where it was."""
    once = [error]

    def stop(protocol: Any) -> None:
        if once:
            raise once.pop()

    async def main() -> bytes:
        transport, peer = await connect(pair[0], **{where: stop})
        pair[1].send(b"data")
        transport.write(b"x" * 1_000_000)
        got = await drain(pair[1], 1_000_000)
        pair[1].send(b" and more")
        pair[1].shutdown(socket.SHUT_WR)
        await peer.lost
        assert (len(got), peer.data) == (1_000_000, b"data and more")
        return b"done"

    task = loop.create_task(main())
    with pytest.raises(error):
        loop.run_until_complete(task)
    assert run(loop, task) == b"done"


class HostileProtocol(asyncio.Protocol):
    def __init__(self, name: str) -> None:
        self.name = name

    def __getattribute__(self, name: str) -> Any:
        if name != "name" and name == self.name:
            raise ZeroDivisionError
        return super().__getattribute__(name)


@pytest.mark.parametrize("name", ["connection_made", "data_received", "eof_received", "connection_lost", "__class__"])
def test_a_protocol_whose_attributes_raise(loop: Any, pair: Pair, name: str) -> None:
    async def main() -> None:
        reports = Reports()
        try:
            transport, _ = await loop.create_connection(lambda: HostileProtocol(name), sock=pair[0])
        except ZeroDivisionError:
            assert name in ("connection_made", "data_received", "__class__")
            assert pair[0].fileno() == -1  # in the same turn
            return
        pair[1].shutdown(socket.SHUT_WR)
        while pair[0].fileno() != -1:
            await asyncio.sleep(0)
        assert reports.kinds == ["ZeroDivisionError"]
        assert transport.is_closing()

    run(loop, main())


@pytest.mark.parametrize("name", ["data_received", "__class__"])
def test_a_protocol_that_cannot_be_set_changes_nothing(loop: Any, pair: Pair, name: str) -> None:
    async def main() -> None:
        transport, peer = await connect(pair[0])
        with pytest.raises(ZeroDivisionError):
            transport.set_protocol(HostileProtocol(name))
        assert transport.get_protocol() is peer
        pair[1].send(b"data")
        while not peer.data:
            await asyncio.sleep(0)
        transport.abort()
        await peer.lost

    run(loop, main())


# ---- from within callbacks ---------------------------------------------------------------------


@pytest.mark.parametrize("what", ["close", "abort", "pause_reading", "write_eof", "write", "tick", "drop"])
@pytest.mark.parametrize("where", ["made", "data", "eof", "pause", "resume", "lost"])
def test_calls_from_within_callbacks(loop: Any, pair: Pair, where: str, what: str) -> None:
    def act(protocol: Any) -> None:
        if what == "tick":
            loop.call_soon(bool)  # or it would wait
            loop._run_once()
        elif what == "drop":
            protocol.transport.set_protocol(Peer())
            protocol.transport.set_protocol(protocol)
        elif what == "write":
            protocol.transport.write(b"w")
        else:
            getattr(protocol.transport, what)()

    async def read() -> None:
        with contextlib.suppress(ConnectionResetError):
            await drain(pair[1], 1_000_000)

    async def main() -> None:
        reports = Reports()
        transport, peer = await connect(pair[0], **{where: act})
        with contextlib.suppress(BrokenPipeError):
            pair[1].send(b"data")
        if not transport.is_closing() and what != "write_eof":
            transport.write(b"x" * 1_000_000)
        await asyncio.sleep(0)
        reader = asyncio.ensure_future(read())
        for _ in range(50):
            await asyncio.sleep(0)
        if not reader.done() and transport.is_closing():
            await reader
        pair[1].shutdown(socket.SHUT_WR)
        transport.resume_reading()
        for _ in range(5):
            await asyncio.sleep(0)
        transport.close()
        await reader
        await peer.lost
        assert reports.kinds == []

    run(loop, main())


def test_the_protocol_runs_the_loop_and_more_arrives(loop: Any, pair: Pair) -> None:
    """The transport is dispatched inside its own callback, whose context is entered already."""

    async def main() -> None:
        reports = Reports()

        def more(protocol: Any) -> None:
            if len(protocol.data) < 30:
                pair[1].send(b"x" * 10)
                loop._run_once()
                loop._run_once()

        transport, peer = await connect(pair[0], data=more)
        pair[1].send(b"x" * 10)
        while len(peer.data) < 30:
            await asyncio.sleep(0)
        assert reports.kinds == []
        transport.abort()
        await peer.lost

    run(loop, main())


def test_a_destructor_that_writes_comes_in_turn(loop: Any, pair: Pair) -> None:
    """Up to Python 3.11 the collector runs at any allocation, and with it destructors, also between the two halves of a
    write."""

    class Writes:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            if not transport.is_closing():
                written.append(b"%08d" % len(written))
                transport.write(written[-1])

    transport: Any = None
    written: list[bytes] = []

    async def main() -> None:
        nonlocal transport
        transport, peer = await connect(pair[0])
        received = bytearray()
        before = gc.get_threshold()
        gc.set_threshold(1, 1, 1)
        try:
            for _ in range(200):
                Writes()
                piece = b"a" * 100_000
                written.append(piece)
                transport.write(piece)
                while transport.get_write_buffer_size():
                    received += await loop.sock_recv(pair[1], 1 << 20)
        finally:
            gc.set_threshold(*before)
        gc.collect()
        expected = b"".join(written)
        received += await drain(pair[1], len(expected) - len(received))
        # a destructor runs before or behind the write beside it, never inside
        assert len(received) == len(expected)
        position = 0
        while position < len(received):
            step = 100_000 if received[position : position + 1] == b"a" else 8
            assert received[position : position + step] in (b"a" * 100_000, bytes(received[position : position + 8]))
            position += step
        transport.abort()
        await peer.lost

    run(loop, main())


@pytest.mark.parametrize("way", ["write", "set_write_buffer_limits"])
def test_a_destructor_that_writes_first_of_all(loop: Any, pair: Pair, way: str) -> None:
    """To make the queue of what waits runs no destructor, which would put something into a queue of its own."""

    class Writes:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            if not transport.is_closing():
                transport.write(b"d" * 500_000)

    transport: Any = None

    async def main() -> None:
        nonlocal transport
        transport, peer = await connect(pair[0])
        before = gc.get_threshold()
        gc.collect()
        gc.disable()
        Writes()
        gc.set_threshold(1, 1, 1)
        call = getattr(transport, way)
        given = b"w" * 500_000 if way == "write" else 1 << 20
        gc.enable()
        try:
            call(given)
        finally:
            gc.set_threshold(*before)
        gc.collect()  # now at the latest
        received = await drain(pair[1], 1_000_000 if way == "write" else 500_000)
        assert received.count(b"d") == 500_000
        assert b"w" not in received.strip(b"w")
        assert transport.get_write_buffer_size() == 0
        transport.abort()
        await peer.lost

    run(loop, main())


@needs_python_buffers
@pytest.mark.parametrize("state", ["open", "closed"])
@pytest.mark.parametrize(
    ("kind", "method"),
    [("stream", method) for method in ("write", "writelines", "write_eof", "__del__")]
    + [
        ("datagrams", method)
        for method in (
            *("sendto", "close", "abort", "_force_close", "__del__", "__repr__", "get_extra_info", "set_protocol"),
            *("get_write_buffer_size", "set_write_buffer_limits", "_retry"),
        )
    ],
)
def test_a_transport_that_the_collector_takes_apart(kind: str, method: str, state: str) -> None:
    done = subprocess.run(
        [sys.executable, str(COLLECTED), method, state, kind],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path(hasten.__file__).parents[1])},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "given back\nend\n", "")


@pytest.mark.parametrize("method", ["write", "writelines", "write_eof", "abort", "close"])
def test_one_that_was_never_initialized_says_so(method: str) -> None:
    arguments: dict[str, tuple[Any, ...]] = {"write": (b"x",), "writelines": ([b"x"],)}
    made: Any = SocketTransport.__new__(SocketTransport)
    with pytest.raises(RuntimeError, match="the transport was not initialized"):
        getattr(made, method)(*arguments.get(method, ()))


# ---- pollers that fail -------------------------------------------------------------------------


PROGRAM = Path(__file__).with_name("hostile_poller.py")


@pytest.mark.parametrize("poller", ["epoll", "selectors"])
@pytest.mark.parametrize("what", ["register", "modify", "unregister"])
def test_a_poller_that_fails(poller: str, what: str) -> None:
    """The descriptor goes behind our back, so the system calls of the poller fail."""
    if poller == "epoll" and sys.platform != "linux":
        pytest.skip("epoll is Linux's")
    done = subprocess.run(
        [sys.executable, str(PROGRAM), poller, what],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path(hasten.__file__).parents[1])},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "lost\n", "")
