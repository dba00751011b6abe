"""Errors of the kernel and of sockets with methods of their own: nothing is lost, nothing sleeps, nothing spins."""

from __future__ import annotations

import array
import asyncio
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hasten
from hasten.kernel import guard
from hasten.net.flow_control import RETRY
from tests.net.datagrams import HOST, Recorder, endpoint
from tests.net.injecting import needs_strace, run_failing

FORBIDDEN = ("255.255.255.255", 9)  # broadcasting was not asked for

Run = Callable[[Any], Any]


def test_a_host_with_a_nul_is_no_address(run: Run, reports: list[dict[str, Any]]) -> None:
    async def main() -> None:
        client, protocol = await endpoint(local_addr=HOST)
        client.sendto(b"x", ("127.0.0.1\0.example", client.get_extra_info("sockname")[1]))
        assert isinstance(await protocol.lost, (ValueError, TypeError))
        assert protocol.got == []

    run(main())


def test_errors_of_one_batch_do_not_pile_up(run: Run) -> None:
    async def main() -> None:
        client, protocol = await endpoint(local_addr=HOST)
        for _ in range(50):
            client.sendto(b"x", FORBIDDEN)
        for _ in range(3):
            await asyncio.sleep(0)
        assert len(protocol.errors) == 50
        assert client.get_write_buffer_size() == 0
        client.close()
        await protocol.lost

    run(main())


@pytest.mark.skipif(not guard.available(), reason="uncompiled, the one who sends to an address meets the error")
@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_an_error_that_ends_the_loop_while_it_is_closed(interrupt: type[BaseException], batching: hasten.Loop) -> None:
    def end(protocol: Recorder, exc: Exception) -> None:
        protocol.transport.close()
        raise interrupt

    async def main() -> tuple[Any, Recorder]:
        client, protocol = await endpoint(lambda: Recorder(error=end), local_addr=HOST)
        for _ in range(2):
            client.sendto(b"x", FORBIDDEN)
        return client, protocol

    task = batching.create_task(main())
    for _ in range(2):
        with pytest.raises(interrupt):
            batching.run_forever()
    _, protocol = batching.run_until_complete(task)
    batching.run_until_complete(asyncio.wait_for(protocol.lost, 20))
    assert len(protocol.errors) == 2


@pytest.mark.skipif(not guard.available(), reason="there is no guard uncompiled")
def test_an_error_that_the_guard_met_ends_the_loop(batching: hasten.Loop) -> None:
    """What was sent after it leaves nevertheless."""

    def end(protocol: Recorder, exc: Exception) -> None:
        raise KeyboardInterrupt

    async def main(peer: socket.socket) -> tuple[Any, Recorder]:
        client, protocol = await endpoint(lambda: Recorder(error=end), local_addr=HOST)
        client.sendto(b"x", FORBIDDEN)
        client.sendto(b"a", peer.getsockname())
        assert peer.recv(10) == b"a"  # the guard sends it
        client.sendto(b"b", peer.getsockname())
        return client, protocol

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(HOST)
        peer.settimeout(20)
        task = batching.create_task(main(peer))
        with pytest.raises(KeyboardInterrupt):
            batching.run_forever()
        assert peer.recv(10) == b"b"
        client, protocol = batching.run_until_complete(task)
        client.close()
        batching.run_until_complete(protocol.lost)


# ---- sockets with methods of their own -----------------------------------------------------------


class Reluctant(socket.socket):
    """Refuses each call `times` times, though the kernel would not."""

    times = 1
    error: type[OSError] = BlockingIOError
    refused = 0

    def refuse(self) -> None:
        if self.refused < self.times:
            self.refused += 1
            raise self.error

    def recvfrom(self, *args: Any) -> Any:
        self.refuse()
        return super().recvfrom(*args)

    def recv(self, *args: Any) -> Any:
        self.refuse()
        return super().recv(*args)

    def recv_into(self, *args: Any) -> Any:
        self.refuse()
        return super().recv_into(*args)

    def send(self, *args: Any) -> Any:
        self.refuse()
        return super().send(*args)


@pytest.mark.parametrize("error", [BlockingIOError, InterruptedError])
def test_a_datagram_that_a_method_refuses_first(error: type[OSError], run: Run) -> None:
    async def main() -> None:
        sock = Reluctant(socket.AF_INET, socket.SOCK_DGRAM)
        sock.error = error
        sock.bind(HOST)
        server, protocol = await endpoint(sock=sock)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.sendto(b"x", sock.getsockname())
        while not protocol.got:
            await asyncio.sleep(0)
        server.close()
        await protocol.lost

    run(asyncio.wait_for(main(), 20))


@pytest.mark.parametrize("error", [BlockingIOError, InterruptedError])
def test_bytes_that_a_method_refuses_first(error: type[OSError], run: Run) -> None:
    async def main() -> None:
        one, other = socket.socketpair()
        with other:
            sock = Reluctant(one.family, one.type, fileno=one.detach())
            sock.error = error
            reader, writer = await asyncio.open_connection(sock=sock)
            other.sendall(b"x")
            assert await reader.read(10) == b"x"
            sock.refused = 0
            writer.write(b"y")
            other.setblocking(False)
            assert await asyncio.get_running_loop().sock_recv(other, 10) == b"y"
            writer.close()
            await writer.wait_closed()

    run(asyncio.wait_for(main(), 20))


@pytest.mark.parametrize("kind", ["datagrams", "stream"])
def test_one_that_refuses_for_long_is_not_asked_all_the_time(kind: str, loop: hasten.Loop) -> None:
    async def main() -> None:
        datagrams = kind == "datagrams"
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM if datagrams else socket.SOCK_STREAM)
        with other:
            sock = Reluctant(one.family, one.type, fileno=one.detach())
            sock.times = 10
            transport: Any
            if datagrams:
                transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, sock=sock)
                send = transport.sendto
            else:
                transport, _ = await loop.create_connection(asyncio.Protocol, sock=sock)
                send = transport.write
            before = time.monotonic()
            send(b"x")
            other.setblocking(False)
            assert await loop.sock_recv(other, 10) == b"x"
            assert time.monotonic() - before > 5 * RETRY  # the first are asked at once
            transport.close()
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    loop.run_until_complete(asyncio.wait_for(main(), 20))


# ---- what the kernel answers ---------------------------------------------------------------------

TALK = """
import asyncio, socket, sys
import hasten

async def main():
    loop = hasten.get_running_loop()
    class Datagrams(asyncio.DatagramProtocol):
        def __init__(self):
            self.got = asyncio.Queue()
        def datagram_received(self, data, addr):
            self.got.put_nowait(data)
    server, seen = await loop.create_datagram_endpoint(Datagrams, local_addr=("127.0.0.1", 0))
    client, _ = await loop.create_datagram_endpoint(Datagrams, remote_addr=server.get_extra_info("sockname"))
    for n in range(20):
        for i in range(5):
            client.sendto(b"%d" % i)
        assert [await seen.got.get() for _ in range(5)] == [b"%d" % i for i in range(5)]
    client.close()
    server.close()
    for family in socket.AF_INET, socket.AF_UNIX:
        one, other = socket.socketpair() if family == socket.AF_UNIX else await tcp(loop)
        a_reader, a_writer = await asyncio.open_connection(sock=one)
        b_reader, b_writer = await asyncio.open_connection(sock=other)
        for n in range(20):
            a_writer.writelines([b"abc", b"def"])
            b_writer.write(bytes(300000))
            assert await b_reader.readexactly(6) == b"abcdef"
            assert await a_reader.readexactly(300000) == bytes(300000)
        for writer in a_writer, b_writer:
            writer.close()
            await writer.wait_closed()

async def tcp(loop):
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = socket.create_connection(server.getsockname())
        other, _ = server.accept()
    one.setblocking(False)
    other.setblocking(False)
    return one, other

hasten.run(asyncio.wait_for(main(), 30))
print("end")
"""


@needs_strace
@pytest.mark.parametrize(
    "failure",
    [
        "recvmmsg,sendmmsg,recvfrom,sendto,recvmsg,sendmsg:error=EINTR:when=1+3",
        "recvmmsg,sendmmsg,recvfrom,sendto,recvmsg,sendmsg:error=EINTR:when=1..3",
        "recvmmsg,sendmmsg:error=ENOSYS",
    ],
    ids=["interrupted", "interrupted at first", "no such call"],
)
def test_what_the_kernel_answers(failure: str) -> None:
    done = run_failing(TALK, failure)
    assert (done.returncode, done.stdout) == (0, "end\n"), done.stderr


def open_files() -> list[str]:
    """The numbers of this process's descriptors, where the system lists them."""
    return sorted(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else []


@pytest.mark.skipif(not hasattr(socket, "SCM_RIGHTS"), reason="no descriptors are sent here")
def test_descriptors_that_come_with_a_datagram_are_dropped(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        path = str(tmp_path / "s")
        server, protocol = await endpoint(local_addr=path, family=socket.AF_UNIX)
        before = open_files()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
            for i in range(5):
                control = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [peer.fileno()] * 3))
                peer.sendmsg([b"%d" % i], [control], 0, path)
        while len(protocol.got) < 5:
            await asyncio.sleep(0)
        assert protocol.data == [b"%d" % i for i in range(5)]
        assert open_files() == before
        server.close()
        await protocol.lost

    run(main())
