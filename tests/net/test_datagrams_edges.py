"""Datagrams that leave when the batch ends, or by the guard; sockets and protocols that misbehave."""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import hasten
from hasten.kernel import guard
from hasten.net.datagram_transport import open_datagrams
from tests.net.datagrams import HOST, Recorder, arrived, endpoint

compiled_only = pytest.mark.skipif(not guard.available(), reason="there is no guard uncompiled")


@pytest.fixture
def peer() -> Iterator[socket.socket]:
    """A socket to send to. It blocks, for 20 seconds at most."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(HOST)
        sock.settimeout(20)
        yield sock


async def connected(peer: socket.socket, **on: Callable[..., Any]) -> tuple[Any, Recorder]:
    return await endpoint(lambda: Recorder(**on), remote_addr=peer.getsockname())


# ---- when the batch ends -------------------------------------------------------------------------


def test_they_leave_when_the_batch_ends(batching: hasten.Loop, peer: socket.socket) -> None:
    async def main() -> None:
        client, protocol = await connected(peer)
        for data in b"a", b"b", b"c":
            client.sendto(data)
        assert arrived(peer) == []
        await asyncio.sleep(0)
        assert arrived(peer) == [b"a", b"b", b"c"]
        client.close()
        await protocol.lost

    batching.run_until_complete(main())


@pytest.mark.parametrize(
    "look",
    [
        lambda transport: transport.get_write_buffer_size(),
        lambda transport: transport.set_write_buffer_limits(),
        lambda transport: transport.get_extra_info("socket").fileno(),
        lambda transport: transport.close(),
        lambda transport: transport.abort(),
        lambda transport: [transport.sendto(b"x") for _ in range(100)],
        lambda transport: transport.sendto(bytes(60000)) or transport.sendto(bytes(60000)),
    ],
    ids=["size", "limits", "socket", "close", "abort", "many", "large"],
)
def test_what_could_show_it_sends_first(look: Callable[[Any], Any], batching: hasten.Loop, peer: socket.socket) -> None:
    async def main() -> None:
        client, protocol = await connected(peer)
        client.sendto(b"a")
        look(client)
        assert arrived(peer)[:1] == [b"a"]
        client.close()
        await protocol.lost

    batching.run_until_complete(main())


def test_errors_are_told_in_the_protocols_context(batching: hasten.Loop, peer: socket.socket) -> None:
    async def main() -> None:
        client, protocol = await connected(peer)
        client.sendto(bytes(70000))
        client.sendto(b"a")
        assert protocol.log == ["made", "error"]  # so many bytes are sent at once
        client.sendto(b"b")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert arrived(peer) == [b"a", b"b"]
        client.close()
        await protocol.lost

    batching.run_until_complete(main())


def test_one_that_is_sent_again_at_each_error(batching: hasten.Loop) -> None:
    """The loop goes on meanwhile."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(HOST)
        address = sock.getsockname()

    async def main() -> None:
        on = {"error": lambda self, *_: self.transport.sendto(b"again")}
        client, protocol = await endpoint(lambda: Recorder(**on), remote_addr=address)
        client.sendto(b"x")
        while len(protocol.errors) < 50:
            await asyncio.sleep(0)
        assert {type(exc) for exc in protocol.errors} == {ConnectionRefusedError}
        client.close()
        await protocol.lost

    batching.run_until_complete(main())


@compiled_only
def test_a_callback_that_blocks_does_not_keep_them_back(batching: hasten.Loop, peer: socket.socket) -> None:
    async def main() -> None:
        client, protocol = await connected(peer)
        client.sendto(b"a")
        client.sendto(b"b")
        assert peer.recv(10) == b"a"
        assert peer.recv(10) == b"b"
        client.close()
        await protocol.lost

    batching.run_until_complete(main())


@compiled_only
def test_what_the_guard_meets_is_told_by_the_loop(batching: hasten.Loop, peer: socket.socket) -> None:
    async def main() -> None:
        client, protocol = await endpoint(local_addr=HOST)
        client.sendto(b"a", ("255.255.255.255", 9))  # broadcasting was not asked for
        client.sendto(b"b", peer.getsockname())
        limit = time.monotonic() + 20
        while not arrived(peer):
            assert time.monotonic() < limit
        assert protocol.log == ["made"]
        await asyncio.sleep(0)
        assert [type(exc) for exc in protocol.errors] == [PermissionError]
        client.close()
        await protocol.lost

    batching.run_until_complete(main())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_sends_none_of_them(batching: hasten.Loop, peer: socket.socket) -> None:
    async def main() -> None:
        client, protocol = await connected(peer)
        client.sendto(b"a")
        pid = os.fork()
        if pid == 0:
            client.get_write_buffer_size()
            os._exit(0)
        os.waitpid(pid, 0)  # noqa: ASYNC222 - the guard may come meanwhile
        await asyncio.sleep(0)
        client.sendto(b"end")
        await asyncio.sleep(0)
        assert arrived(peer) == [b"a", b"end"]
        client.close()
        await protocol.lost

    batching.run_until_complete(main())


# ---- the end of a run ----------------------------------------------------------------------------


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_what_was_received_when_the_loop_ended(
    interrupt: type[BaseException], loop: hasten.Loop, peer: socket.socket
) -> None:
    def end(protocol: Recorder, data: bytes, addr: Any) -> None:
        if data == b"b":
            raise interrupt

    server, protocol = loop.run_until_complete(endpoint(lambda: Recorder(received=end), local_addr=HOST))
    for data in b"a", b"b", b"c", b"d":
        peer.sendto(data, server.get_extra_info("sockname"))
    with pytest.raises(interrupt):
        loop.run_forever()
    assert b"c" not in protocol.data

    async def rest() -> None:
        while b"d" not in protocol.data:
            await asyncio.sleep(0)
        server.close()
        await protocol.lost

    loop.run_until_complete(asyncio.wait_for(rest(), 20))
    assert protocol.log == ["made", *["received"] * 4, "lost"]
    assert protocol.data == [b"a", b"b", b"c", b"d"]


def test_a_loop_run_inside_a_callback(loop: Any, peer: socket.socket) -> None:
    """What was received with the one that is delivered comes in order."""

    def nest(protocol: Recorder, data: bytes, addr: Any) -> None:
        if data == b"0":
            for _ in range(3):
                loop._run_once()

    async def main() -> None:
        server, protocol = await endpoint(lambda: Recorder(received=nest), local_addr=HOST)
        for i in range(6):
            peer.sendto(b"%d" % i, server.get_extra_info("sockname"))
        while len(protocol.got) < 6:
            await asyncio.sleep(0)
        assert protocol.data == [b"%d" % i for i in range(6)]
        server.close()
        await protocol.lost

    loop.run_until_complete(main())


def test_more_than_one_turn_takes(loop: hasten.Loop, peer: socket.socket) -> None:
    async def main() -> None:
        server, protocol = await endpoint(local_addr=HOST)
        for i in range(100):
            peer.sendto(b"%d" % i, server.get_extra_info("sockname"))
        others = 0
        while len(protocol.got) < 100:
            others += 1
            await asyncio.sleep(0)
        assert others > 3  # other tasks have their turn between them
        assert protocol.data == [b"%d" % i for i in range(100)]
        server.close()
        await protocol.lost

    loop.run_until_complete(main())


# ---- sockets of others ---------------------------------------------------------------------------


class OwnMethods(socket.socket):
    """What it sends and receives is turned round."""

    def recvfrom(self, size: int, flags: int = 0) -> Any:
        data, addr = super().recvfrom(size, flags)
        return bytearray(data[::-1]), addr

    def sendto(self, data: Any, *args: Any) -> int:
        return super().sendto(bytes(data)[::-1], *args)

    def send(self, data: Any, flags: int = 0) -> int:
        return super().send(bytes(data)[::-1], flags)


@pytest.mark.parametrize("connected", [True, False])
def test_a_socket_with_methods_of_its_own(connected: bool, loop: hasten.Loop, peer: socket.socket) -> None:
    async def main() -> None:
        sock = OwnMethods(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(HOST)
        if connected:
            sock.connect(peer.getsockname())
        client, protocol = await endpoint(sock=sock)
        for data in b"abc", b"def":
            client.sendto(data, None if connected else peer.getsockname())
            peer.sendto(data, sock.getsockname())
        while len(protocol.got) < 2:
            await asyncio.sleep(0)
        assert arrived(peer) == [b"cba", b"fed"]
        assert protocol.data == [b"cba", b"fed"]
        client.close()
        await protocol.lost

    loop.run_until_complete(main())


@pytest.mark.parametrize("result", [None, (b"x",), ("text", 1), 5])
def test_a_socket_that_receives_nonsense(result: Any, loop: hasten.Loop, peer: socket.socket) -> None:
    class Liar(socket.socket):
        def recvfrom(self, *args: Any) -> Any:
            return result

    async def main() -> None:
        told: list[dict[str, Any]] = []
        loop.set_exception_handler(lambda _, context: told.append(context))
        sock = Liar(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(HOST)
        _, protocol = await endpoint(sock=sock)
        peer.sendto(b"x", sock.getsockname())
        assert isinstance(await protocol.lost, (TypeError, ValueError))
        assert told

    loop.run_until_complete(main())


def test_a_socket_that_was_closed_behind_its_back(loop: hasten.Loop, peer: socket.socket) -> None:
    async def main() -> None:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(HOST)
        client, protocol = await endpoint(sock=sock)
        sock.close()
        client.sendto(b"x", peer.getsockname())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert OSError in [type(exc) for exc in protocol.errors]
        client.close()
        await protocol.lost

    loop.run_until_complete(main())


def test_what_was_not_initialized(peer: socket.socket, loop: hasten.Loop) -> None:
    async def main() -> None:
        client, protocol = await connected(peer)
        bare = type(client).__new__(type(client))
        for call in (
            lambda: bare.sendto(b"x", HOST),
            lambda: bare.sendto("x"),
            lambda: bare.close(),
            lambda: bare.abort(),
        ):
            with pytest.raises((RuntimeError, TypeError)):
                call()
        assert bare.get_write_buffer_size() == 0
        assert bare.get_write_buffer_limits() == (16384, 65536)
        bare.set_write_buffer_limits(5)
        assert "DatagramTransport" in repr(bare)
        client.close()
        await protocol.lost
        for wrong in (None, 5, object()):
            with pytest.raises((TypeError, AttributeError)):
                open_datagrams(wrong, peer, protocol, None, None, None, None)
            with pytest.raises((TypeError, AttributeError)):
                open_datagrams(loop, wrong, protocol, None, None, None, None)

    loop.run_until_complete(main())


COLLECTED = """
import asyncio, gc, socket, sys, warnings
import hasten

warnings.simplefilter("ignore")

class Late:
    def __del__(self):
        for call in (lambda: self.transport.sendto(b"x", ("127.0.0.1", 9)),
                     lambda: self.transport.get_write_buffer_size(),
                     lambda: self.transport.set_write_buffer_limits(5), lambda: repr(self.transport),
                     lambda: self.transport.get_extra_info("socket"), lambda: self.transport.close(),
                     lambda: self.transport.abort(), lambda: self.transport._sock):
            try:
                call()
            except Exception:
                pass
        print("gone")

async def main():
    loop = hasten.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0))
    late = Late()
    late.transport = transport
    transport.late = late
    transport.sendto(b"y", ("127.0.0.1", 9))
    if sys.argv[1] == "closed":
        transport.abort()

loop = hasten.new_event_loop()
loop.run_until_complete(main())
loop.close()
del loop
gc.collect()
print("end")
"""


@pytest.mark.parametrize("state", ["open", "closed"])
def test_one_that_is_collected(state: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", COLLECTED, state], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "gone\nend\n"), done.stderr


NO_MEMORY = """
import asyncio, socket, sys, _testcapi
import hasten

class Quiet(asyncio.DatagramProtocol):
    def __init__(self):
        self.got = []
    def datagram_received(self, data, addr):
        self.got.append(data)

async def main():
    loop = hasten.get_running_loop()
    loop.set_exception_handler(lambda loop, context: None)
    for first in range(60):
        transport, protocol = await loop.create_datagram_endpoint(Quiet, local_addr=("127.0.0.1", 0))
        address = transport.get_extra_info("sockname")
        for i in range(3):
            transport.sendto(b"%d" % i, address)
        data = bytearray(b"abc")
        _testcapi.set_nomemory(first, first + 1)
        try:
            transport.sendto(data, address)
            await hasten.sleep(0)
            await hasten.sleep(0)
        except MemoryError:
            pass
        finally:
            _testcapi.remove_mem_hooks()
        await hasten.sleep(0)
        await hasten.sleep(0)
        transport.abort()
        await hasten.sleep(0)

try:
    hasten.run(main())
except MemoryError:
    pass
print("end")
"""


@pytest.mark.skipif(importlib.util.find_spec("_testcapi") is None, reason="this Python has no _testcapi")
def test_no_memory() -> None:
    done = subprocess.run([sys.executable, "-c", NO_MEMORY], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "end\n"), done.stderr


def test_a_destructor_that_sends_while_it_is_sent(batching: hasten.Loop, peer: socket.socket) -> None:
    class Sends:
        def __init__(self, transport: Any) -> None:
            self.transport = transport
            self.me = self

        def __del__(self) -> None:
            self.transport.sendto(b"late")

    async def main() -> None:
        client, protocol = await connected(peer)
        before = gc.get_threshold()
        gc.set_threshold(1)
        try:
            for _ in range(50):
                Sends(client)
                client.sendto(bytearray(b"x"))
        finally:
            gc.set_threshold(*before)
        gc.collect()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert sorted(arrived(peer)) == [b"late"] * 50 + [b"x"] * 50
        client.close()
        await protocol.lost

    batching.run_until_complete(main())
