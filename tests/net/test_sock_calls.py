"""The ``sock_*`` methods as awaitable objects, and what becomes of a socket between two of them."""

from __future__ import annotations

import asyncio
import gc
import inspect
import socket
import sys
import weakref
from typing import Any

import pytest

import hasten
from hasten import compat

from .plain_sockets import CALLS, begin, nonblocking, pair, tcp_pair

__all__ = ["pair"]  # a fixture


# ---- what they are ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CALLS)
def test_they_are_coroutine_functions(either_loop, name) -> None:
    method = getattr(either_loop, name)
    assert inspect.iscoroutinefunction(method)
    assert asyncio.iscoroutinefunction(method) if sys.version_info < (3, 14) else True
    first, *_ = inspect.signature(method).parameters
    assert first == "sock"
    assert method.__name__ == name


@pytest.mark.parametrize("name", CALLS)
def test_nothing_happens_before_the_first_await(either_loop, name) -> None:
    coro = getattr(either_loop, name)(object(), *CALLS[name])
    assert inspect.iscoroutine(coro)
    assert inspect.getcoroutinestate(coro) == "CORO_CREATED"
    assert coro.__name__ == name
    coro.close()


@pytest.mark.parametrize("name", CALLS)
def test_one_that_is_never_awaited_warns(either_loop, name) -> None:
    with pytest.warns(RuntimeWarning, match=rf"coroutine '.*{name}' was never awaited"):
        getattr(either_loop, name)(object(), *CALLS[name])
        gc.collect()


@pytest.mark.parametrize("name", CALLS)
def test_missing_and_unknown_arguments(either_loop, name) -> None:
    with pytest.raises(TypeError):
        getattr(either_loop, name)()
    with pytest.raises(TypeError):
        getattr(either_loop, name)(object(), *CALLS[name], unknown=1)


@pytest.mark.ours("asyncio's methods fail in other ways")
@pytest.mark.parametrize("name", [name for name in CALLS if name != "sock_connect"])
@pytest.mark.parametrize("wrong", [None, object(), 5])
def test_on_what_is_no_loop(name, wrong) -> None:
    with pytest.raises(TypeError, match="a hasten event loop is needed"):
        getattr(hasten.Loop, name)(wrong, object(), *CALLS[name])


def test_arguments_by_name(run, pair) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(sock=pair[1], data=b"abc")
        buffer = bytearray(5)
        assert await loop.sock_recv_into(sock=pair[0], buf=buffer) == 3
        assert buffer[:3] == b"abc"

    run(main())


def test_a_coroutine_cannot_be_used_twice(run, pair) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        pair[1].send(b"abc")
        coro = loop.sock_recv(pair[0], 10)
        assert await coro == b"abc"
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            await coro

    run(main())


def test_they_go_into_tasks_timeouts_and_groups(run, pair) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(loop.sock_recv(pair[0], 10), 0.01)
        pair[1].send(b"abc")
        assert await asyncio.wait_for(loop.sock_recv(pair[0], 10), 10) == b"abc"
        got, sent = await asyncio.gather(loop.sock_recv(pair[0], 10), loop.sock_sendall(pair[1], b"def"))
        assert (got, sent) == (b"def", None)
        async with asyncio.timeout(10):
            task = loop.create_task(loop.sock_recv(pair[0], 10))
            await asyncio.sleep(0)
            pair[1].send(b"ghi")
            assert await task == b"ghi"

    run(main())


@pytest.mark.parametrize("name", [name for name in CALLS if name != "sock_connect"])
def test_a_subclass_that_overrides_one_is_respected(name) -> None:
    called = []

    async def mine(self: Any, sock: Any, *args: Any) -> str:
        called.append(args)
        return "mine"

    loop = type("Mine", (hasten.Loop,), {name: mine})()
    try:
        assert loop.run_until_complete(getattr(loop, name)(None, *CALLS[name])) == "mine"
        assert called == [CALLS[name]]
    finally:
        loop.close()


# ---- between two of them ------------------------------------------------------------------------


def test_many_messages_back_and_forth(run, pair) -> None:
    async def echo(loop: Any, sock: socket.socket) -> None:
        while data := await loop.sock_recv(sock, 1 << 16):
            await loop.sock_sendall(sock, data)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        task = loop.create_task(echo(loop, pair[1]))
        for size in [1, 10, 1000, 65536, 65537, 300_000] * 20:
            sending = loop.create_task(loop.sock_sendall(pair[0], bytes(size)))
            left = size
            while left:
                left -= len(await loop.sock_recv(pair[0], 400_000))
            await sending
        pair[0].shutdown(socket.SHUT_WR)
        await task
        assert await loop.sock_recv_into(pair[1], bytearray(5)) == 0
        assert await loop.sock_recv(pair[1], 5) == b""
        assert await loop.sock_recv(pair[1], 5) == b""

    run(main())


def test_what_comes_while_nobody_waits(run, pair) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        for _ in range(3):
            task = await begin(loop.sock_recv(pair[0], 2))
            pair[1].send(b"abcd")
            assert await task == b"ab"
            pair[1].send(b"ef")
            for _ in range(5):
                await asyncio.sleep(0)
            assert await loop.sock_recv(pair[0], 3) == b"cde"
            assert await loop.sock_recv(pair[0], 3) == b"f"

    run(main())


def test_the_end_and_a_reset(run, pair) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        pair[1].send(b"abc")
        assert await loop.sock_recv(pair[0], 10) == b"abc"
        task = await begin(loop.sock_recv(pair[0], 10))
        pair[0].send(b"not read by the peer")
        pair[1].close()
        try:
            assert await task == b""
        except ConnectionResetError:
            pass
        with pytest.raises(ConnectionError):
            for _ in range(10):
                await loop.sock_sendall(pair[0], bytes(100_000))

    run(main())


def test_readers_and_waits_share_a_descriptor(run, pair) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        calls = []
        sending = await begin(loop.sock_sendall(pair[0], bytes(8_000_000)))

        def readable() -> None:
            calls.append(pair[0].recv(100))

        loop.add_reader(pair[0], readable)
        pair[1].send(b"one")
        left = 8_000_000
        while left:
            left -= len(await loop.sock_recv(pair[1], 1 << 20))
        await sending
        while not calls:
            await asyncio.sleep(0)
        assert loop.remove_reader(pair[0]) is True
        assert calls == [b"one"]
        task = await begin(loop.sock_recv(pair[0], 10))
        room = loop.create_future()
        loop.add_writer(pair[0], lambda: room.done() or room.set_result(None))
        await room
        assert loop.remove_writer(pair[0]) is True
        pair[1].send(b"two")
        assert await task == b"two"

    run(main())


@pytest.mark.ours("in asyncio the reader takes the place of who waits")
def test_a_reader_beside_who_waits_to_read(run, pair) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        task = await begin(loop.sock_recv(pair[0], 10))
        told = loop.create_future()
        loop.add_reader(pair[0], lambda: told.done() or told.set_result(None))
        pair[1].send(b"abc")
        await told
        assert await task == b"abc"
        assert loop.remove_reader(pair[0]) is True
        task = await begin(loop.sock_recv(pair[0], 10))
        pair[1].send(b"def")
        assert await task == b"def"

    run(main())


def test_a_transport_takes_over(run, pair) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        task = await begin(loop.sock_recv(pair[0], 100))
        pair[1].send(b"hello")
        assert await task == b"hello"
        pair[1].send(b"early")
        reader, writer = await asyncio.open_connection(sock=pair[0])
        assert await reader.readexactly(5) == b"early"
        with pytest.raises(RuntimeError, match="is used by transport"):
            await loop.sock_recv(pair[0], 100)
        writer.write(b"answer")
        assert await loop.sock_recv(pair[1], 100) == b"answer"
        writer.close()
        await writer.wait_closed()

    run(main())


@pytest.mark.ours("in asyncio the transport takes the place of who waits, who waits for ever")
def test_a_transport_for_a_socket_that_somebody_waits_for(run, pair) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        task = await begin(loop.sock_recv(pair[0], 100))
        with pytest.raises(ValueError, match="is watched already"):
            await loop.create_connection(asyncio.Protocol, sock=pair[0])
        task.cancel()
        await asyncio.wait([task])

    run(main())


# ---- sockets that are closed, and numbers that are used again -------------------------------------


def again(sock: socket.socket) -> tuple[socket.socket, socket.socket]:
    """Close a socket; return a fresh pair whose first has its number."""
    fd = sock.fileno()
    sock.close()
    one, other = tcp_pair()
    while one.fileno() != fd:
        wrong = one
        one = wrong.dup()
        assert one.fileno() <= max(fd, wrong.fileno())
        if one.fileno() != fd and other.fileno() == fd:
            other, spare = other.dup(), other
            spare.close()
        wrong.close()
    return nonblocking(one, other)  # type: ignore[return-value]


def test_a_number_that_is_used_again(run, pair) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        task = await begin(loop.sock_recv(pair[0], 100))
        pair[1].send(b"first")
        assert await task == b"first"
        one, other = again(pair[0])
        with one, other:
            task = await begin(loop.sock_recv(one, 100))
            pair[1].close()  # the end of the first one is not the second one's
            for _ in range(5):
                await asyncio.sleep(0)
            assert not task.done()
            other.send(b"second")
            assert await task == b"second"

    run(main())


def test_a_duplicate_of_a_closed_socket_tells_nothing(run, pair) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        task = await begin(loop.sock_recv(pair[0], 100))
        pair[1].send(b"first")
        assert await task == b"first"
        with pair[0].dup() as kept:
            one, other = again(pair[0])
            with one, other:
                task = await begin(loop.sock_recv(one, 100))
                pair[1].send(b"for the duplicate")
                for _ in range(5):
                    await asyncio.sleep(0)
                assert not task.done()
                other.send(b"second")
                assert await task == b"second"
                assert kept.recv(100) == b"for the duplicate"

    run(main())


def test_a_transport_with_the_number_of_a_closed_socket(run, pair) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        task = await begin(loop.sock_recv(pair[0], 100))
        pair[1].send(b"first")
        assert await task == b"first"
        one, other = again(pair[0])
        with other:
            reader, writer = await asyncio.open_connection(sock=one)
            other.send(b"second")
            assert await reader.readexactly(6) == b"second"
            writer.close()
            await writer.wait_closed()

    run(main())


@pytest.mark.ours("in asyncio the first one waits for ever")
def test_a_transport_with_the_number_of_a_socket_that_was_waited_for(run, pair) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        stale = await begin(loop.sock_recv(pair[0], 100))
        one, other = again(pair[0])
        with other:
            reader, writer = await asyncio.open_connection(sock=one)
            with pytest.raises(OSError, match="was closed while a task waited on it"):
                await stale
            other.send(b"second")
            assert await reader.readexactly(6) == b"second"
            writer.close()
            await writer.wait_closed()

    run(main())


def test_another_object_for_the_same_descriptor(run, pair) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        task = await begin(loop.sock_recv(pair[0], 100))
        pair[1].send(b"first")
        assert await task == b"first"
        alias = socket.socket(fileno=pair[0].detach())
        with alias:
            task = await begin(loop.sock_recv(alias, 100))
            pair[1].send(b"second")
            assert await task == b"second"

    run(main())


def test_a_socket_that_was_waited_for_is_not_kept(run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        one, other = nonblocking(*socket.socketpair())
        task = await begin(loop.sock_recv(one, 100))
        other.send(b"abc")
        await task
        del task
        gone = weakref.ref(one)
        one.close()
        del one
        gc.collect()
        assert gone() is None
        other.close()

    run(main())


@pytest.mark.parametrize("other", ["callback", "task"])
def test_cancelled_when_its_socket_was_closed(run, pair, other) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: None)  # asyncio reports that it cannot take it out
        task = await begin(loop.sock_recv(pair[0], 100))
        fd = pair[0].fileno()
        if other == "callback":
            loop.add_writer(pair[0], lambda: None)
        else:
            sending = await begin(loop.sock_sendall(pair[0], bytes(30_000_000)))
        pair[0].close()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        if other == "callback":
            loop.remove_writer(fd)
        else:
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending

    run(main())


async def write_much(sock: Any, peer: socket.socket) -> None:
    """Has to wait in between: the buffers of both ends may grow to some 10 MB (tcp(7): tcp_rmem, tcp_wmem)."""
    loop = asyncio.get_running_loop()
    left = 32_000_000
    task = await begin(loop.sock_sendall(sock, bytes(left)))
    while left:
        left -= len(await loop.sock_recv(peer, 1 << 20))
    await task


class Wrapped:
    """What has a socket's methods."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sock, name)


class Raising(Wrapped):
    def fileno(self) -> int:
        if self.sock.fileno() < 0:
            raise ZeroDivisionError
        return self.sock.fileno()


@pytest.mark.parametrize("detached", [False, True])
def test_another_object_that_goes_ends_nobodys_wait(run, pair, detached) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        reading = await begin(loop.sock_recv(pair[0], 100))
        if detached:
            alias = socket.socket(fileno=pair[0].fileno())
            await write_much(alias, pair[1])
            alias.detach()
        else:
            await write_much(Wrapped(pair[0]), pair[1])
        gc.collect()
        await write_much(pair[0], pair[1])
        pair[1].send(b"abc")
        assert await reading == b"abc"

    run(main())


@pytest.mark.ours("in asyncio who waits for the closed one waits for ever, and the second one with it")
def test_a_closed_object_that_does_not_tell_its_number(run, pair) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        stale = await begin(loop.sock_recv(Raising(pair[0]), 100))
        one, other = again(pair[0])
        with one, other:
            task = await begin(loop.sock_recv(one, 100))
            with pytest.raises(OSError, match="was closed while a task waited on it"):
                await stale
            other.send(b"second")
            assert await task == b"second"

    run(main())


def test_messages_of_a_stream_that_is_no_tcp(run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        near, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sctp = 132  # its reads end at the end of a message, as those of the kind that it is made of here
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM, sctp, near.detach()) as one, other:
            nonblocking(one, other)
            for message in (b"one", b"two", b"three"):
                other.send(message)
            assert await loop.sock_recv(one, 100) == b"one"
            assert await loop.sock_recv(one, 100) == b"two"
            assert await loop.sock_recv(one, 100) == b"three"
            task = await begin(loop.sock_recv(one, 100))
            for message in (b"four", b"five"):
                other.send(message)
            assert await task == b"four"
            assert await loop.sock_recv(one, 100) == b"five"

    run(main())


# ---- sockets with methods of their own --------------------------------------------------------------


class Hoarding(socket.socket):
    """Takes more from the kernel than it hands out, as a TLS layer does."""

    hoard = b""
    blocked = 0

    def recv(self, size: int, flags: int = 0) -> bytes:
        if self.hoard == b"" and not self.blocked:
            self.blocked += 1
            self.hoard = super().recv(1 << 16)
            raise BlockingIOError
        if not self.hoard:
            self.hoard = super().recv(1 << 16)
        data, self.hoard = self.hoard[:size], self.hoard[size:]
        return data


@pytest.mark.ours("asyncio would wait for more of the kernel's")
def test_a_socket_that_holds_bytes_back(run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        one, other = socket.socketpair()
        with Hoarding(fileno=one.detach()) as sock, other:
            nonblocking(sock, other)
            other.send(b"abcdef")
            task = await begin(loop.sock_recv(sock, 2))
            other.send(b"!")
            assert await task == b"ab"
            assert await loop.sock_recv(sock, 10) == b"cdef"
            assert await loop.sock_recv(sock, 10) == b"!"

    run(main())


class Slotted:
    """A socket's methods on an object that no weak reference can be made to."""

    __slots__ = ("sock",)

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sock, name)


def test_what_only_looks_like_a_socket(run, pair) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        sock: Any = Slotted(pair[0])
        for _ in range(3):
            task = await begin(loop.sock_recv(sock, 100))
            pair[1].send(b"abc")
            assert await task == b"abc"
        task = await begin(loop.sock_sendall(sock, bytes(8_000_000)))
        left = 8_000_000
        while left:
            left -= len(await loop.sock_recv(pair[1], 1 << 20))
        await task
        task = await begin(loop.sock_recv(sock, 100))
        task.cancel()
        await asyncio.wait([task])

    run(main())


@pytest.mark.ours("asyncio blocks its whole thread")
def test_a_blocking_socket_does_not_block_the_loop(run, pair) -> None:
    if not compat.compiled():
        pytest.skip("uncompiled, a socket's own methods are called, which block as asyncio does")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for sock in pair:
            sock.settimeout(10)
        task = await begin(loop.sock_recv(pair[0], 100))
        await loop.sock_sendall(pair[1], b"abc")
        assert await task == b"abc"

    run(main())


# ---- ends from outside ------------------------------------------------------------------------------


def test_a_loop_that_is_closed_meanwhile(pair) -> None:
    loop = hasten.new_event_loop()
    task = loop.create_task(loop.sock_recv(pair[0], 100))
    loop.run_until_complete(hasten.sleep(0))
    task._log_destroy_pending = False
    loop.close()
    del task, loop
    gc.collect()
    other = hasten.new_event_loop()
    try:
        pair[1].send(b"abc")
        assert other.run_until_complete(other.sock_recv(pair[0], 100)) == b"abc"
    finally:
        other.close()


def test_closed_while_it_waits(run, pair) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        coro = loop.sock_recv(pair[0], 100)
        waited_for = coro.send(None)
        assert inspect.getcoroutinestate(coro) == "CORO_SUSPENDED"
        assert not waited_for.done()
        coro.close()
        pair[1].send(b"abc")
        assert await loop.sock_recv(pair[0], 100) == b"abc"

    run(main())


def test_an_exception_thrown_in(run, pair) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        coro = loop.sock_recv(pair[0], 100)
        coro.send(None)
        with pytest.raises(ZeroDivisionError):
            coro.throw(ZeroDivisionError())
        pair[1].send(b"abc")
        assert await loop.sock_recv(pair[0], 100) == b"abc"

    run(main())


def test_awaited_on_another_loop(pair) -> None:
    loop, other = hasten.new_event_loop(), hasten.new_event_loop()
    try:
        with pytest.raises(RuntimeError, match="attached to a different loop|got Future .* attached"):
            other.run_until_complete(loop.sock_recv(pair[0], 100))
    finally:
        loop.close()
        other.close()


@pytest.mark.parametrize("debug", [False, True])
def test_in_debug_mode_too(either_loop, run, pair, debug) -> None:
    either_loop.set_debug(debug)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        task = await begin(loop.sock_recv(pair[0], 100))
        await loop.sock_sendall(pair[1], b"abc")
        assert await task == b"abc"

    run(main())
