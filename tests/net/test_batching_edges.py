"""What was put off at the edges of a run: its last destructors, a fork, no memory, the interpreter's end."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import importlib.util
import logging
import os
import select
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

compiled_only = pytest.mark.skipif(not guard.available(), reason="there is no guard uncompiled")


class Writer:
    """Writes when it goes."""

    def __init__(self, transport: Any, data: bytes = b"x") -> None:
        self.transport = transport
        self.data = data

    def __del__(self) -> None:
        self.transport.write(self.data)


# ---- the end of a run ----------------------------------------------------------------------------


def test_a_destructor_that_writes_when_the_loop_has_stopped(
    batching: hasten.Loop, pair: Any, start: Any, waiting: Any
) -> None:
    one, other = pair
    transport, _ = batching.run_until_complete(start(one))
    holder: contextvars.ContextVar[Writer] = contextvars.ContextVar("holder")

    def last() -> None:
        holder.set(Writer(transport))  # in a context that the loop keeps until it has stopped
        batching.call_soon(batching.stop)

    batching.call_soon(last)
    batching.run_forever()
    assert waiting(other) == [b"x"]
    transport.close()
    batching.run_until_complete(asyncio.sleep(0))


class Interrupter(logging.Handler):
    """A log that Ctrl-C interrupts."""

    def emit(self, record: logging.LogRecord) -> None:
        raise KeyboardInterrupt


def test_what_interrupts_one_transport_does_not_keep_back_the_others(
    batching: hasten.Loop, pair: Any, start: Any, waiting: Any, caplog: Any
) -> None:
    one, other = pair
    transport, _ = batching.run_until_complete(start(one))
    broken = []
    ends = [socket.socketpair() for _ in range(3)]
    for near, _ in ends:
        near.setblocking(False)
        broken.append(batching.run_until_complete(start(near))[0])
    for _, far in ends:
        far.close()

    def last() -> None:
        for each in [*broken, transport]:
            each.write(b"x")
        batching.stop()

    batching.set_debug(True)  # in which a lost connection is logged
    batching.call_soon(last)
    handler = Interrupter()
    caplog.set_level(logging.DEBUG, "asyncio")
    logging.getLogger("asyncio").addHandler(handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            batching.run_forever()
    finally:
        logging.getLogger("asyncio").removeHandler(handler)
    assert waiting(other) == [b"x"]
    transport.close()
    batching.run_until_complete(asyncio.sleep(0))


def test_a_batch_that_goes_on_is_interrupted_in_debug_mode(batching: hasten.Loop, pair: Any, start: Any) -> None:
    one, other = pair

    async def main() -> None:
        transport, protocol = await start(one)
        other.close()
        passed = []

        def work() -> None:
            if not transport.is_closing():
                passed.append(1)
                time.sleep(0.001)

        batching.call_soon(transport.write, b"early")  # its error is left to the loop, also by the guard
        for _ in range(5000):
            batching.call_soon(work)
        await asyncio.sleep(0)
        assert len(passed) < 5000
        await protocol.lost

    batching.set_debug(True)
    batching.run_until_complete(main())


@compiled_only
@pytest.mark.parametrize("debug", [False, True])
def test_an_error_that_the_guard_met_interrupts_the_batch(
    batching: hasten.Loop, pair: Any, messages: Any, start: Any, debug: bool
) -> None:
    one, gone = pair
    another, peer = messages
    still_open: list[bool] = []

    async def main() -> None:
        transport, protocol = await start(one)
        healthy, _ = await start(another)
        gone.close()
        batching.call_soon(transport.write, b"early")
        batching.call_soon(healthy.write, b"behind it")
        # the callback that blocks: until the guard has tried both
        batching.call_soon(select.select, [peer], [], [], 30)
        for _ in range(50):
            batching.call_soon(lambda: still_open.append(not transport.is_closing()))
        await asyncio.sleep(0)
        assert still_open == [False] * 50
        await protocol.lost
        healthy.close()

    batching.set_debug(debug)
    batching.run_until_complete(main())


# ---- who else writes -----------------------------------------------------------------------------


def test_what_resume_writing_writes_is_sent_before_the_transport_closes(
    batching: hasten.Loop, pair: Any, start: Any, read: Any
) -> None:
    one, other = pair
    one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)

    async def main() -> None:
        transport, protocol = await start(one)
        protocol.resume_writing = lambda: transport.write(b"y" * 60_000)  # type: ignore[method-assign]
        transport.set_write_buffer_limits(60_000, 0)
        transport.write(b"x" * 100_000)
        transport.close()
        data = await asyncio.to_thread(read, other, 1 << 30)
        assert (data.count(b"x"), data.count(b"y")) == (100_000, 60_000)
        assert await protocol.lost is None

    batching.run_until_complete(main())


def test_the_socket_is_used_behind_what_was_written(
    batching: hasten.Loop, messages: Any, start: Any, waiting: Any
) -> None:
    one, other = messages

    async def main() -> None:
        transport, protocol = await start(one)
        sock = transport.get_extra_info("socket")
        transport.write(b"a")
        assert transport.get_extra_info("socket") is sock
        assert waiting(other) == [b"a"]
        transport.write(b"b")
        assert os.write(sock.fileno(), b"c") == 1
        assert waiting(other) == [b"b", b"c"]
        transport.write(b"d")
        with contextlib.closing(sock.dup()) as copy:
            copy.send(b"e")
        assert waiting(other) == [b"d", b"e"]
        transport.write(b"f")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        assert waiting(other) == [b"f"]
        transport.write(b"g")
        sock.shutdown(socket.SHUT_WR)
        assert waiting(other) == [b"g", b""]
        transport.close()
        assert await protocol.lost is None
        assert sock.fileno() == -1

    batching.run_until_complete(main())


def test_the_socket_does_not_keep_the_transport(batching: hasten.Loop, pair: Any, start: Any) -> None:
    async def main() -> Any:
        transport, protocol = await start(pair[0])
        sock = transport.get_extra_info("socket")
        transport.close()
        await protocol.lost
        return sock

    sock = batching.run_until_complete(main())
    gc.collect()
    assert sock._transport() is None
    assert sock.fileno() == -1


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="the collector runs between two instructions only")
def test_a_destructor_that_writes_while_a_write_is_put_off(
    batching: hasten.Loop, pair: Any, start: Any, read: Any
) -> None:
    one, other = pair
    large = 100_000

    async def main() -> None:
        transport, _ = await start(one)
        transport.write(b"a")
        keep = [[] for _ in range(200)]  # type: ignore[var-annotated] # no list is left to be used again
        circle: list[Any] = [Writer(transport, b"-" * large)]
        circle.append(circle)
        before = gc.get_threshold()
        gc.collect()
        gc.set_threshold(1)
        try:
            del circle
            transport.write(b"b")
        finally:
            gc.set_threshold(*before)
        gc.collect()
        transport.write(b"c")
        del keep
        data = await asyncio.to_thread(read, other, large + 3)
        assert data.replace(b"-", b"") == b"abc"
        transport.close()

    batching.run_until_complete(main())


# ---- the guard ------------------------------------------------------------------------------------


@compiled_only
def test_the_guard_comes_to_each_loop_however_many_are_blocked(start: Any) -> None:
    first_is_served = threading.Event()
    written = threading.Barrier(8)
    failures: list[BaseException] = []

    async def main(first: bool) -> None:
        one, other = socket.socketpair()
        with other:
            other.settimeout(5)
            one.setblocking(False)
            transport, _ = await start(one)
            if first:  # known to the guard before the others, it is the last that the guard comes to
                transport.write(b"x")
                assert other.recv(1) == b"x"
            written.wait()
            transport.write(b"x")
            if first:
                assert other.recv(1) == b"x"
                first_is_served.set()
            while not first_is_served.is_set():
                assert other.recv(1) == b"x"
                transport.write(b"x")
            transport.close()

    def work(first: bool) -> None:
        try:
            hasten.run(main(first))
        except BaseException as exc:
            failures.append(exc)
            first_is_served.set()

    threads = [threading.Thread(target=work, args=[i == 0]) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


BEGIN = """
import os, socket, sys, threading, time
import hasten

one, other = socket.socketpair()
other.settimeout(20)
written, over = threading.Event(), threading.Event()

async def write(sock, data, then):
    transport, _ = await hasten.get_running_loop().connect_accepted_socket(hasten.Protocol, sock)
    transport.write(data)
    then()
    transport.close()

def run(sock, data, then, daemon=False):
    thread = threading.Thread(target=lambda: hasten.run(write(sock, data, then)), daemon=daemon)
    thread.start()
    return thread
"""

FORKED_CHILD = """
mine, yours = socket.socketpair()
thread = run(one, b"x", lambda: (written.set(), over.wait()))
written.wait()
pid = os.fork()
if pid == 0:
    # a loop here, whose guard finds the other thread's loop as it was
    hasten.run(write(mine, b"y", lambda: yours.recv(1)))
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
over.set()
thread.join()
print(other.recv(10), other.recv(10))
"""

FORKED_PARENT = """
thread = run(one, b"x", lambda: (written.set(), print(other.recv(1), flush=True)))
written.wait()
pid = os.fork()
if pid == 0:
    os._exit(0)
os.waitpid(pid, 0)
thread.join()
"""

FORKED_BY_C = """
import ctypes

hasten.run(write(one, b"x", lambda: other.recv(1)))
pid = ctypes.CDLL(None).fork()
if pid == 0:
    mine, yours = socket.socketpair()
    yours.settimeout(5)
    hasten.run(write(mine, b"y", lambda: print(yours.recv(1), flush=True)))
    if (grandchild := os.fork()) == 0:
        os._exit(0)
    os._exit(os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1]))
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""

PUT_OFF_BEFORE_A_FORK_BY_C = """
import asyncio, atexit, ctypes

which = "WHICH"
udp, peer = (socket.socket(type=socket.SOCK_DGRAM) for _ in range(2))
peer.bind(("127.0.0.1", 0))
peer.settimeout(20)

async def many(mine, yours):
    yours.settimeout(20)
    loop = hasten.get_running_loop()
    transport, _ = await loop.connect_accepted_socket(hasten.Protocol, mine)
    for _ in range(2):  # the guard comes, and finds what is the parent's as well
        loop.call_soon(transport.write, b"a")
        loop.call_soon(transport.write, b"b")
        loop.call_soon(yours.recv, 1)
        await hasten.sleep(0)
        yours.recv(1)
    transport.close()

async def main():
    loop = hasten.get_running_loop()
    transport, _ = await loop.connect_accepted_socket(hasten.Protocol, one)
    datagrams, _ = await loop.create_datagram_endpoint(hasten.DatagramProtocol, remote_addr=peer.getsockname())
    await hasten.sleep(0)
    for data in (b"first.", b"second."):
        transport.write(data)
        datagrams.sendto(data)
    if (pid := ctypes.CDLL(None).fork()) == 0:
        code = 1
        try:
            if which == "write":
                datagrams.sendto(b"the child's.")
                transport.write(b"the child's.")
            if which == "goes on":
                return await hasten.sleep(1)  # its parent's loop is refused as soon as the batch is over
            asyncio._set_running_loop(None)
            if which == "runs":
                hasten.run(many(*socket.socketpair()))
            elif which == "ends":
                atexit._run_exitfuncs()
            else:
                transport.close()
                datagrams.close()
            code = 0
        finally:
            if which != "goes on":
                os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    await hasten.sleep(0)
    one.shutdown(socket.SHUT_WR)
    got = b""
    while piece := other.recv(100):
        got += piece
    print(sorted(got.split(b".")))
    datagrams.sendto(b"last")
    await hasten.sleep(0)
    got = []
    while got[-1:] != [b"last"]:
        got.append(peer.recv(100))
    print(sorted(got[:-1]))
    datagrams.close()
    transport.close()

try:
    hasten.run(main())
except RuntimeError:
    os._exit(0)
"""

WRITTEN_BEFORE_A_FORK = """
async def main():
    transport, _ = await hasten.get_running_loop().connect_accepted_socket(hasten.Protocol, one)
    transport.write(b"x")
    other.recv(1)
    hooks.append(lambda: transport.write(b"y"))
    if os.fork() == 0:
        os._exit(0)
    print(other.recv(1))

hasten.run(main())
os.wait()
"""

HOOK_BEFORE_HASTENS = """
import os

def threads():
    hooks[0]()
    print(len(os.listdir("/proc/self/task")), flush=True)

hooks = []
os.register_at_fork(before=threads)
"""

DAEMON = """
other.setblocking(False)
child = os.fork()
if child:
    one.close()
    os.waitpid(child, 0)
    print(other.recv(10))
    os._exit(0)
run(one, b"x", lambda: (written.set(), over.wait()), daemon=True)
written.wait()
"""

NO_MEMORY = """
import _testcapi

one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
one.setblocking(False)

async def main(first, last):
    transport, _ = await hasten.get_running_loop().connect_accepted_socket(hasten.Protocol, one.dup())
    for letter in b"abc":
        transport.write(bytes([letter]) * 20_000)
    sleep = time.sleep
    _testcapi.set_nomemory(first, last)
    sleep(0.02)
    _testcapi.remove_mem_hooks()
    def read():
        data = b""
        while len(data) < 60_000:
            data += other.recv(1 << 16)
        return data
    data = await hasten.to_thread(read)
    transport.close()
    assert data == b"".join(bytes([letter]) * 20_000 for letter in b"abc")

for first in range(8):
    for last in 0, first + 1:
        hasten.run(main(first, last))
        other.setblocking(False)
        try:
            print(first, last, other.recv(1))
        except BlockingIOError:
            other.settimeout(20)
print("all")
"""

NO_MEMORY_FOR_AN_ERROR = """
import _testcapi

os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what the guard says of it
nobody = socket.socket(type=socket.SOCK_DGRAM)
nobody.bind(("127.0.0.1", 0))
address = nobody.getsockname()
nobody.close()
ends = [socket.socketpair() for _ in range(2)]
near, far = ends[0][1], ends[1][1]
far.setblocking(False)
near.settimeout(0.2)

async def main(first, last):
    loop = hasten.get_running_loop()
    one, other = [
        (await loop.connect_accepted_socket(hasten.Protocol, sock.dup()))[0] for sock, _ in ends
    ]
    refused, _ = await loop.create_datagram_endpoint(hasten.DatagramProtocol, remote_addr=address)
    refused.get_extra_info("socket").dup().send(b"x")  # the next one meets that
    got, seen, receive = bytearray(1), [], near.recv_into
    def block():
        _testcapi.set_nomemory(first, last)
        try:
            receive(got)
        except (MemoryError, TimeoutError):
            pass
        _testcapi.remove_mem_hooks()
    def look():
        try:
            seen.append(far.recv(1))
        except BlockingIOError:
            seen.append(None)
    for each in one, refused, other:
        loop.call_soon(each.sendto if each is refused else each.write, b"x")
    loop.call_soon(block)
    loop.call_soon(look)
    await hasten.sleep(0)
    await hasten.sleep(0.001)
    look()
    if got == b"x" and seen[0] is None:
        print(first, last, seen)
    for each in one, refused, other:
        each.close()
    if got != b"x":
        near.recv(1)

for first in range(10):
    for last in range(first + 1, first + 4):
        hasten.run(main(first, last))
print("all")
"""

NO_MEMORY_IN_A_CHILD = """
import asyncio, ctypes
import _testcapi

peer = socket.socket(type=socket.SOCK_DGRAM)
peer.bind(("127.0.0.1", 0))

async def main(first):
    loop = hasten.get_running_loop()
    transport, _ = await loop.connect_accepted_socket(hasten.Protocol, one.dup())
    datagrams, _ = await loop.create_datagram_endpoint(hasten.DatagramProtocol, remote_addr=peer.getsockname())
    await hasten.sleep(0)
    datagrams.sendto(b"x")
    transport.write(b"x")
    close = transport.close
    if (pid := ctypes.CDLL(None).fork()) == 0:
        _testcapi.set_nomemory(first, first + 1)
        try:
            close()
        except MemoryError:
            pass
        _testcapi.remove_mem_hooks()
        try:
            asyncio._set_running_loop(None)
            transport.abort()
            close()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    transport.close()
    datagrams.close()

for first in range(8):
    hasten.run(main(first))
    if (got := other.recv(10)) != b"x":
        print(first, got)
print("all")
"""


def output_of(program: str, before: str = "") -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", before + BEGIN + program],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@compiled_only
@needs_fork
def test_a_forked_child_does_not_send_what_another_thread_has_put_off() -> None:
    assert output_of(FORKED_CHILD) == "b'x' b''\n"


@compiled_only
@needs_fork
def test_after_a_fork_the_guard_comes_to_other_threads_loops() -> None:
    assert output_of(FORKED_PARENT) == "b'x'\n"


@compiled_only
@needs_fork
def test_the_guard_comes_in_the_child_of_a_fork_that_python_does_not_know_of() -> None:
    assert output_of(FORKED_BY_C) == "b'y'\n0\n"


@compiled_only
@needs_fork
@pytest.mark.parametrize("which", ["runs", "ends", "closes", "write", "goes on"])
def test_the_child_of_a_fork_by_c_code_does_not_send_what_was_put_off(which: str) -> None:
    texts = sorted([b"", b"first", b"second"] + ([b"the child's"] if which == "write" else []))
    letters = [text + b"." for text in texts if text]
    expected = f"0\n{texts}\n{letters}\n"
    assert output_of(PUT_OFF_BEFORE_A_FORK_BY_C.replace("WHICH", which)) == expected


@compiled_only
@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="counts threads as Linux shows them")
def test_no_guard_begins_while_a_fork_is_under_way() -> None:
    assert output_of(WRITTEN_BEFORE_A_FORK, before=HOOK_BEFORE_HASTENS) == "1\nb'y'\n"


@compiled_only
@needs_fork
def test_a_daemon_thread_s_bytes_leave_when_the_interpreter_ends() -> None:
    assert output_of(DAEMON) == "b'x'\n"


@compiled_only
@pytest.mark.skipif(importlib.util.find_spec("_testcapi") is None, reason="this Python has no _testcapi")
def test_a_guard_without_memory_sends_nothing_twice() -> None:
    assert output_of(NO_MEMORY) == "all\n"


@compiled_only
@pytest.mark.skipif(importlib.util.find_spec("_testcapi") is None, reason="this Python has no _testcapi")
def test_an_error_that_the_guard_has_no_memory_for_interrupts_the_batch() -> None:
    assert output_of(NO_MEMORY_FOR_AN_ERROR) == "all\n"


@compiled_only
@needs_fork
@pytest.mark.skipif(importlib.util.find_spec("_testcapi") is None, reason="this Python has no _testcapi")
def test_the_child_of_a_fork_by_c_code_sends_nothing_also_without_memory() -> None:
    assert output_of(NO_MEMORY_IN_A_CHILD) == "all\n"
