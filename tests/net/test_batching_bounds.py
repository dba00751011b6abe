"""What is put off until the batch ends is not kept back: by the loop's end, a long batch, a callback that blocks…"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

import hasten
from hasten.kernel import guard

LIMIT = 20  # seconds; only a hang takes as long


def test_it_is_sent_where_the_loop_stops(batching: hasten.Loop, pair: Any, start: Any, waiting: Any) -> None:
    one, other = pair
    transport, _ = batching.run_until_complete(start(one))

    async def main() -> None:
        transport.write(b"by the last step")

    batching.run_until_complete(main())
    assert other.recv(100) == b"by the last step"
    batching.call_soon(lambda: (transport.write(b"and stopped"), batching.stop()))
    batching.run_forever()
    assert other.recv(100) == b"and stopped"
    transport.write(b"while it does not run")
    assert waiting(other) == [b"while it does not run"]
    transport.close()
    batching.run_until_complete(asyncio.sleep(0))


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_it_is_sent_where_the_loop_is_ended(
    kind: type[BaseException], batching: hasten.Loop, pair: Any, start: Any, waiting: Any
) -> None:
    one, other = pair
    transport, _ = batching.run_until_complete(start(one))

    def end() -> None:
        transport.write(b"last words")
        raise kind

    batching.call_soon(end)
    with pytest.raises(kind):
        batching.run_forever()
    assert waiting(other) == [b"last words"]
    transport.close()
    batching.run_until_complete(asyncio.sleep(0))


def test_a_batch_that_goes_on_is_interrupted(batching: hasten.Loop, pair: Any, start: Any, waiting: Any) -> None:
    one, other = pair

    async def main() -> None:
        transport, _ = await start(one)
        arrived: list[bytes] = []
        passed = []

        def work() -> None:
            if not arrived:
                passed.append(1)
                arrived.extend(waiting(other))
                time.sleep(0.001)

        batching.call_soon(transport.write, b"early")
        for _ in range(5000):
            batching.call_soon(work)
        await asyncio.sleep(0)
        assert arrived == [b"early"]
        assert len(passed) < 5000
        transport.close()

    batching.run_until_complete(main())


compiled_only = pytest.mark.skipif(not guard.available(), reason="there is no guard uncompiled")


@compiled_only
@pytest.mark.parametrize("pieces", [1, 3])
def test_a_callback_that_blocks_does_not_keep_it_back(
    pieces: int, batching: hasten.Loop, pair: Any, start: Any, waiting: Any, read: Any
) -> None:
    one, other = pair

    async def main() -> None:
        transport, _ = await start(one)
        for _ in range(3):  # each time, also within one callback
            for i in range(pieces):
                transport.write(b"%d" % i)
            assert read(other, pieces) == b"012"[:pieces]  # blocks
        await asyncio.sleep(0)
        assert waiting(other) == []
        transport.close()

    batching.run_until_complete(main())


@compiled_only
def test_a_callback_that_computes_does_not_keep_it_back(
    batching: hasten.Loop, pair: Any, start: Any, waiting: Any
) -> None:
    one, other = pair

    async def main() -> None:
        transport, _ = await start(one)
        transport.write(b"x")
        limit = time.monotonic() + LIMIT
        while not waiting(other):
            assert time.monotonic() < limit
        transport.close()

    batching.run_until_complete(main())


@compiled_only
def test_what_the_guard_cannot_send_is_sent_when_the_batch_ends(
    batching: hasten.Loop, pair: Any, start: Any, read: Any
) -> None:
    one, other = pair
    one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)

    async def main() -> None:
        transport, _ = await start(one)
        for _ in range(3):
            transport.write(b"x" * 20_000)
        other.recv(1, socket.MSG_PEEK)  # until the guard has sent what the kernel takes
        assert transport.get_write_buffer_size() > 0
        assert await asyncio.to_thread(read, other, 60_000) == b"x" * 60_000
        transport.close()

    batching.run_until_complete(main())


@compiled_only
def test_the_guard_leaves_errors_to_the_loop(batching: hasten.Loop, pair: Any, start: Any) -> None:
    one, other = pair
    threads = []

    async def main() -> None:
        transport, protocol = await start(one)
        lost = protocol.connection_lost
        protocol.connection_lost = lambda exc: (threads.append(threading.get_ident()), lost(exc))  # type: ignore
        other.close()
        transport.write(b"x")
        time.sleep(0.05)  # noqa: ASYNC251
        assert not transport.is_closing()
        assert isinstance(await protocol.lost, BrokenPipeError)
        assert threads == [threading.get_ident()]

    batching.run_until_complete(main())


def test_another_thread_s_write_leaves_at_once(batching: hasten.Loop, pair: Any, start: Any, waiting: Any) -> None:
    one, other = pair

    async def main() -> None:
        transport, _ = await start(one)
        thread = threading.Thread(target=transport.write, args=[b"from a thread"])
        thread.start()
        thread.join()
        assert waiting(other) == [b"from a thread"]
        transport.write(b"ours, ")
        thread = threading.Thread(target=transport.write, args=[b"theirs"])
        thread.start()
        thread.join()
        assert waiting(other) == [b"ours, theirs"]
        transport.close()

    batching.run_until_complete(main())


def test_another_loop_s_run_in_this_thread_does_not_keep_it_back(
    batching: hasten.Loop, pair: Any, start: Any, waiting: Any
) -> None:
    one, other = pair
    inner = hasten.new_event_loop(batch_writes=True)

    async def write(transport: Any) -> None:
        transport.write(b"from within")
        assert waiting(other) == [b"from within"]

    async def main() -> None:
        transport, _ = await start(one)
        asyncio._set_running_loop(None)
        inner.run_until_complete(write(transport))
        asyncio._set_running_loop(batching)
        transport.close()

    with contextlib.closing(inner):
        batching.run_until_complete(main())


def test_a_tick_inside_a_callback_sends_what_was_put_off(
    batching: hasten.Loop, pair: Any, start: Any, waiting: Any
) -> None:
    one, other = pair

    async def main() -> None:
        transport, _ = await start(one)
        transport.write(b"before")
        batching.call_soon(lambda: None)
        batching._run_once()
        assert waiting(other) == [b"before"]
        batching.call_soon(transport.write, b"inside")
        batching._run_once()
        assert waiting(other) == [b"inside"]
        transport.close()

    batching.run_until_complete(main())


class Writer:
    """Writes when it goes."""

    def __init__(self, transport: Any) -> None:
        self.transport = transport

    def __del__(self) -> None:
        self.transport.write(b"x")


def test_a_destructor_that_writes_before_the_loop_sleeps(batching: hasten.Loop, pair: Any, start: Any) -> None:
    one, other = pair

    async def last(transport: Any) -> Writer:
        return Writer(transport)

    async def main() -> None:
        transport, _ = await start(one)
        for _ in range(3):
            batching.create_task(last(transport))  # its result goes when the loop settles
            assert await asyncio.to_thread(other.recv, 1) == b"x"
        transport.close()

    batching.run_until_complete(asyncio.wait_for(main(), LIMIT))


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a signal that comes by itself")
def test_a_signal_handler_that_writes_while_the_loop_sleeps(batching: hasten.Loop, pair: Any, start: Any) -> None:
    one, other = pair

    async def main() -> None:
        transport, _ = await start(one)
        before = signal.signal(signal.SIGALRM, lambda *_: transport.write(b"x"))
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            assert await asyncio.to_thread(other.recv, 1) == b"x"
        finally:
            signal.signal(signal.SIGALRM, before)
        transport.close()

    batching.run_until_complete(asyncio.wait_for(main(), LIMIT))


# ---- forks ---------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # an executor's, of a test before
def test_a_forked_child_does_not_send_it_again(batching: hasten.Loop, pair: Any, start: Any) -> None:
    one, other = pair

    async def main() -> None:
        transport, _ = await start(one)
        transport.write(b"once")
        pid = os.fork()
        if pid == 0:
            raise SystemExit(7)  # through the loop, which sends what was put off
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7  # noqa: ASYNC222
        transport.write(b", and again")
        await asyncio.sleep(0)
        assert other.recv(100) == b"once, and again"
        transport.close()

    try:
        batching.run_until_complete(main())
    except SystemExit:
        os._exit(7)


PROGRAM = """
import os, socket, sys, threading, time
import hasten

class Echo(hasten.Protocol):
    def connection_made(self, transport):
        self.transport = transport

def threads():
    return len(os.listdir("/proc/self/task"))

async def main(sock):
    transport, _ = await hasten.get_running_loop().connect_accepted_socket(Echo, sock)
    transport.write(b"x")
    time.sleep(0.02)
    return threads()

one, other = socket.socketpair()
assert threads() == 1
assert hasten.run(main(one)) == 2, "the guard"
if os.fork() == 0:
    # the child has none until it needs one
    assert threads() == 1
    assert hasten.run(main(socket.socketpair()[0])) == 2
    os._exit(3)
assert os.waitstatus_to_exitcode(os.wait()[1]) == 3

async def fork_often():
    # Python warns where the kernel still counts the guard's thread, and -W makes an error of that
    for _ in range(50):
        near, far = socket.socketpair()
        near.setblocking(False)
        transport, _ = await hasten.get_running_loop().connect_accepted_socket(Echo, near)
        transport.write(b"x")
        if (pid := os.fork()) == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        transport.abort()
        far.close()
    await hasten.sleep(0)

hasten.run(fork_often())
print(threads(), other.recv(10))
"""


@compiled_only
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_the_guard_is_stopped_for_a_fork_and_at_the_end() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning", "-c", PROGRAM],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "1 b'x'\n", "")


# ---- many threads, many loops -------------------------------------------------------------------


@compiled_only
def test_loops_in_many_threads_come_and_go_under_the_guard(start: Any) -> None:
    failures: list[BaseException] = []

    async def main() -> None:
        one, other = socket.socketpair()
        with other:
            other.settimeout(LIMIT)
            one.setblocking(False)
            transport, _ = await start(one)
            transport.write(b"x")
            assert other.recv(1) == b"x"  # by the guard, in the callback
            transport.close()

    def work() -> None:
        try:
            for _ in range(5):
                hasten.run(main())
                gc.collect()
        except BaseException as exc:
            failures.append(exc)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
