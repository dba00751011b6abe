"""Whose a descriptor is: closed by its owner, once, in the same turn; what a caller or a stranger has is left alone."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import socket
import ssl
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from hasten.kernel import socket_channel
from hasten.net.stream import SocketTransport

LOCAL = "127.0.0.1"


def closed(kind: str = "tcp") -> socket.socket:
    sock = socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET)
    sock.setblocking(False)
    sock.close()
    return sock


CALLS: dict[str, Callable[[Any], Any]] = {
    "create_connection": lambda loop: loop.create_connection(asyncio.Protocol, sock=closed()),
    "create_unix_connection": lambda loop: loop.create_unix_connection(asyncio.Protocol, sock=closed("unix")),
    "connect_accepted_socket": lambda loop: loop.connect_accepted_socket(asyncio.Protocol, closed()),
    "create_server": lambda loop: loop.create_server(asyncio.Protocol, sock=closed()),
    "create_unix_server": lambda loop: loop.create_unix_server(asyncio.Protocol, sock=closed("unix")),
    "sock_recv": lambda loop: loop.sock_recv(closed(), 1),
    "sock_recv_into": lambda loop: loop.sock_recv_into(closed(), bytearray(1)),
    "sock_recvfrom": lambda loop: loop.sock_recvfrom(closed(), 1),
    "sock_recvfrom_into": lambda loop: loop.sock_recvfrom_into(closed(), bytearray(1)),
    "sock_sendall": lambda loop: loop.sock_sendall(closed(), b"x"),
    "sock_sendto": lambda loop: loop.sock_sendto(closed(), b"x", (LOCAL, 1)),
    "sock_connect": lambda loop: loop.sock_connect(closed(), (LOCAL, 1)),
    "sock_accept": lambda loop: loop.sock_accept(closed()),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_closed_socket_is_a_bad_descriptor(either_loop: Any, run: Any, call: str) -> None:
    async def main() -> None:
        with pytest.raises(OSError) as caught:
            await CALLS[call](either_loop)
        assert caught.value.errno == errno.EBADF

    run(main())


@pytest.mark.parametrize("method", ["add_reader", "add_writer"])
def test_watching_what_is_closed(either_loop: Any, run: Any, method: str) -> None:
    async def main() -> None:
        watch = getattr(either_loop, method)
        for bad in (closed(), -1):
            with pytest.raises(ValueError, match="Invalid file descriptor"):
                watch(bad, print)
        with pytest.raises(OSError) as caught:
            watch(500_000, print)
        assert caught.value.errno == errno.EBADF

    run(main())


def strangers() -> list[int]:
    return [os.open(os.devnull, os.O_RDONLY) for _ in range(8)]


def check(files: list[int]) -> None:
    for fd in files:
        os.fstat(fd)  # OSError: somebody has closed it
        os.close(fd)


class Cycle:
    """Garbage that holds something."""

    def __init__(self, held: Any) -> None:
        self.held = held
        self.me = self


def test_a_channel_that_was_collected_leaves_the_number_to_others() -> None:
    for way in ("held", "asked for"):
        one, other = socket.socketpair()
        other.close()
        channel = socket_channel.hold(one)
        one.close()  # its owner has closed it; the number is free
        files = strangers()
        Cycle([channel, one] if way == "held" else [channel, channel.socket()])
        del channel, one
        gc.collect()
        check(files)


def test_a_failed_connection_in_garbage_closes_nothing_of_others(loop: Any) -> None:
    """An exception that is part of a cycle holds the frames of the attempt, and with them the socket."""

    async def main() -> None:
        server = await loop.create_server(asyncio.Protocol, LOCAL, 0)
        with pytest.raises(ValueError) as caught:
            await loop.create_connection(
                asyncio.Protocol,
                *server.sockets[0].getsockname(),
                ssl=ssl.create_default_context(),
                ssl_handshake_timeout=-1,
            )
        Cycle(caught)
        files = strangers()
        del caught
        gc.collect()
        check(files)
        server.close()

    gc.disable()
    try:
        loop.run_until_complete(main())
    finally:
        gc.enable()


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("unix", [False, True], ids=["tcp", "unix"])
def test_what_fails_closes_what_it_opened_at_once(loop: Any, tmp_path: Path, tls: bool, unix: bool) -> None:
    """Not when the garbage collector comes by."""
    options: dict[str, Any] = {}
    if tls:
        options = {"ssl": ssl.create_default_context(), "server_hostname": "x", "ssl_handshake_timeout": -1}

    async def main() -> None:
        if unix:
            server = await loop.create_unix_server(asyncio.Protocol, str(tmp_path / "s"))
        else:
            server = await loop.create_server(asyncio.Protocol, LOCAL, 0)
        opened = []
        true_connect = socket.socket.connect

        def connect(sock: Any, address: Any) -> Any:
            opened.append(sock)
            return true_connect(sock, address)

        factory = asyncio.Protocol if tls else lambda: 1 / 0
        with mock.patch.object(socket.socket, "connect", connect), pytest.raises((ValueError, ZeroDivisionError)):
            if unix:
                await loop.create_unix_connection(factory, str(tmp_path / "s"), **options)
            else:
                await loop.create_connection(factory, *server.sockets[0].getsockname(), **options)
        assert [sock.fileno() for sock in opened] == [-1]
        server.close()

    gc.disable()
    try:
        loop.run_until_complete(main())
    finally:
        gc.enable()


@pytest.mark.parametrize("unix", [False, True], ids=["tcp", "unix"])
def test_a_server_that_cannot_start_leaves_its_callers_socket(
    either_loop: Any, run: Any, tmp_path: Path, unix: bool
) -> None:
    async def main() -> None:
        with socket.socket(socket.AF_UNIX if unix else socket.AF_INET) as sock:
            sock.bind(str(tmp_path / "s") if unix else (LOCAL, 0))
            create = either_loop.create_unix_server if unix else either_loop.create_server
            with pytest.raises(TypeError):
                await create(asyncio.Protocol, sock=sock, backlog="many")
            assert sock.fileno() >= 0
            assert not unix or (tmp_path / "s").exists()

    run(main())


def test_a_unix_server_that_cannot_be_made_closes_its_socket(loop: Any, tmp_path: Path) -> None:
    async def main() -> None:
        made = []

        def file_identity(path: Any) -> None:
            made.extend(each for each in gc.get_objects() if type(each) is socket.socket and each.fileno() >= 0)
            raise PermissionError

        before = {id(each) for each in gc.get_objects() if type(each) is socket.socket}
        with mock.patch("hasten.net.server_sockets.file_identity", file_identity), pytest.raises(PermissionError):
            await loop.create_unix_server(asyncio.Protocol, str(tmp_path / "s"))
        assert [sock.fileno() for sock in made if id(sock) not in before] == [-1]

    loop.run_until_complete(main())


@pytest.mark.parametrize("how", ["close", "detach"])
@pytest.mark.parametrize("what", ["write", "writelines", "write_eof", "read", "name"])
def test_a_socket_that_its_owner_closed_is_not_used_by_its_number(loop: Any, how: str, what: str) -> None:
    """The number is a stranger's by then."""

    async def main() -> None:
        one, other = socket.socketpair()
        lost = loop.create_future()

        class Peer(asyncio.Protocol):
            def connection_lost(self, exc: BaseException | None) -> None:
                lost.set_result(exc)

        transport, _ = await loop.create_connection(Peer, sock=one)
        number = one.fileno()
        if how == "close":
            one.close()
        else:
            os.close(one.detach())
        mine, yours = socket.socketpair()
        mine.setblocking(False)
        if mine.fileno() != number:  # the stranger gets the number
            os.dup2(mine.fileno(), number)
            mine.detach()
            mine = socket.socket(fileno=number)
        yours.send(b"not for you")
        if what == "write":
            transport.write(b"to whom?")
        elif what == "writelines":
            transport.writelines([b"to ", b"whom?"])
        elif what == "write_eof":
            transport.write_eof()
        elif what == "read":
            transport.pause_reading()
            transport.resume_reading()
            transport.abort()
        else:
            transport.abort()
            assert transport.get_extra_info("sockname") is None
        exc = await lost
        assert what in ("read", "name") or (isinstance(exc, OSError) and exc.errno == errno.EBADF)
        assert mine.recv(100) == b"not for you"
        mine.close()
        yours.setblocking(False)
        assert yours.recv(100) == b""
        yours.close()
        other.close()

    loop.run_until_complete(main())


def test_a_listening_socket_that_its_owner_closed_is_not_used_by_its_number(loop: Any) -> None:
    async def main() -> None:
        sock = socket.create_server((LOCAL, 0))
        server = await loop.create_server(lambda: 1 / 0, sock=sock)
        number = sock.fileno()
        sock.close()
        calls: list[Any] = []
        with socket.create_server((LOCAL, 0)) as mine:
            if mine.fileno() != number:
                os.dup2(mine.fileno(), number)
            with socket.socket(fileno=number) if mine.fileno() != number else mine.dup() as again:
                again.setblocking(False)
                loop.add_reader(number, calls.append, None)
                server.close()  # takes its own callback away, not this one
                client = socket.create_connection(mine.getsockname())
                while not calls:
                    await asyncio.sleep(0)
                assert loop.remove_reader(number)
                again.accept()[0].close()
                client.close()

    loop.run_until_complete(main())


def test_a_transport_that_warns_when_it_is_dropped_closes_nevertheless(loop: Any) -> None:
    one, other = socket.socketpair()
    with warnings.catch_warnings(), mock.patch.object(sys, "unraisablehook"):
        warnings.simplefilter("error")  # the warning itself fails
        transport: Any = SocketTransport(loop, one, asyncio.Protocol())
        del transport
    assert one.fileno() == -1
    other.close()


def test_a_socket_is_made_once_whoever_comes_between(loop: Any) -> None:
    """What runs while the object is made may ask for it too."""

    async def main() -> None:
        made = loop.create_future()

        class Peer(asyncio.Protocol):
            def connection_made(self, transport: Any) -> None:
                made.set_result(transport)

        server = await loop.create_server(Peer, LOCAL, 0)
        client = socket.create_connection(server.sockets[0].getsockname())
        transport = await made
        true_init = socket.socket.__init__
        inner: list[Any] = []

        def init(self: Any, *args: Any, **more: Any) -> None:
            true_init(self, *args, **more)
            if not inner:
                inner.append(None)
                inner[0] = transport.get_extra_info("socket")

        with mock.patch.object(socket.socket, "__init__", init):
            outer = transport.get_extra_info("socket")
        assert not inner or outer.fileno() == inner[0].fileno()
        gc.collect()
        os.fstat(outer.fileno())
        transport.abort()
        await asyncio.sleep(0)
        client.close()
        server.close()
        await server.wait_closed()

    loop.run_until_complete(main())


def test_a_signal_handler_that_could_not_be_added(loop: Any) -> None:
    """The next attempt works, and nothing is left open."""
    if sys.platform == "win32":
        pytest.skip("no signal handlers there")
    import signal

    class Full:
        """A loop whose poller takes no more."""

        def __getattr__(self, name: str) -> Any:
            return getattr(loop, name)

        def _add_reader(self, *args: Any) -> Any:
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        loop._signals.add(Full(), signal.SIGUSR1, print, ())
    loop.add_signal_handler(signal.SIGUSR1, loop.stop)
    os.kill(os.getpid(), signal.SIGUSR1)
    loop.run_forever()
    assert loop.remove_signal_handler(signal.SIGUSR1)


# ---- what only quacks like a socket ------------------------------------------------------------


class Wrapper:
    """Hands everything on; its class has none of it."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sock, name)


class Shouting(Wrapper):
    """Has some methods of its own, which take and give little."""

    def recv(self, n: int) -> bytes:
        return self.sock.recv(3).upper()

    def send(self, data: Any) -> int:
        return self.sock.send(bytes(data[:2]).upper())

    def recv_into(self, room: Any) -> int:
        return self.sock.recv_into(room, 2)


class ShoutingSocket(socket.socket):
    def recv(self, *args: Any) -> bytes:
        return super().recv(3).upper()

    def send(self, data: Any, *args: Any) -> int:
        return super().send(bytes(data[:2]).upper())


@pytest.mark.parametrize("kind", [Wrapper, Shouting, ShoutingSocket])
def test_a_wrapper_is_connected(either_loop: Any, run: Any, kind: Any) -> None:
    async def main() -> None:
        one, other = socket.socketpair()
        sock = kind(fileno=one.detach()) if kind is ShoutingSocket else kind(one)
        other.setblocking(False)
        came: list[bytes] = []
        lost = either_loop.create_future()

        class Peer(asyncio.Protocol):
            def data_received(self, data: bytes) -> None:
                came.append(data)

            def connection_lost(self, exc: BaseException | None) -> None:
                lost.set_result(exc)

        transport, _ = await either_loop.create_connection(Peer, sock=sock)
        other.send(b"hello world")
        transport.write(b"how do you do")
        transport.writelines([b", ", b"you?"])
        got = b""
        while len(got) < 19 or len(b"".join(came)) < 11:
            if len(got) < 19:
                got += await either_loop.sock_recv(other, 100)
            await asyncio.sleep(0)
        loud = kind is not Wrapper
        assert b"".join(came) == (b"HELLO WORLD" if loud else b"hello world")
        # what waits asyncio sends by sendmsg(), which these do not have of their own
        assert got[:2] == (b"HO" if loud else b"ho")
        assert got.lower() == b"how do you do, you?"
        transport.close()
        await lost
        other.close()
        assert sock.fileno() == -1

    run(main())


class OwnAccept(Wrapper):
    accepted = 0

    def accept(self) -> Any:
        conn = self.sock.accept()
        OwnAccept.accepted += 1
        return conn


class OwnAcceptSocket(socket.socket):
    def accept(self) -> Any:
        conn = super().accept()
        OwnAccept.accepted += 1
        return conn


@pytest.mark.parametrize("patched", [False, True], ids=["", "socket.socket patched"])
@pytest.mark.parametrize("kind", [Wrapper, OwnAccept, OwnAcceptSocket, socket.socket])
def test_a_wrapper_listens(either_loop: Any, run: Any, kind: Any, patched: bool) -> None:
    class Echo(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            self.transport.write(data)

    async def main() -> None:
        inner = socket.create_server((LOCAL, 0))
        sock = kind(inner) if issubclass(kind, Wrapper) else kind(fileno=inner.detach())
        OwnAccept.accepted = 0
        address = sock.getsockname()
        client = socket.socket()
        client.setblocking(False)
        true = socket.socket
        with mock.patch.object(socket, "socket", mock.Mock(side_effect=true)) if patched else mock.patch.dict({}):
            server = await either_loop.create_server(Echo, sock=sock)
            await either_loop.sock_connect(client, address)
            await either_loop.sock_sendall(client, b"hello")
            assert await either_loop.sock_recv(client, 100) == b"hello"
        client.close()
        server.close()
        await server.wait_closed()
        assert OwnAccept.accepted == (1 if kind in (OwnAccept, OwnAcceptSocket) else 0)
        assert sock.fileno() == -1

    run(main())
