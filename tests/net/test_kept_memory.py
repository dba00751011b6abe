"""Once a large message was there, the C library keeps the memory of large objects for the next ones."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from hasten import compat

PROGRAM = """
import asyncio, ctypes, socket, sys, hasten

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]

class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int) for name in "arena ordblks smblks hblks hblkhd more".split()]
    _fields_ += [(f"other{i}", ctypes.c_int) for i in range(4)]

libc.mallinfo.restype = Info

def is_kept():
    'True if a block of 4 MiB comes from the heap, to which it goes back; False if from the kernel'
    before = libc.mallinfo().hblks
    block = libc.malloc(4 << 20)
    after = libc.mallinfo().hblks
    if after == before:
        libc.free(block)  # else to free it would move the bound
    return after == before

async def main():
    hole = [0] * int(sys.argv[3])
    for i in range(len(hole)):
        hole[i] = libc.malloc(100_000)
    libc.malloc(90_000)  # lives on behind the hole
    for block in hole:
        libc.free(block)
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    loop = asyncio.get_running_loop()
    got = loop.create_future()
    class Hears(asyncio.Protocol):
        def data_received(self, data):
            got.done() or got.set_result(len(data))
    transport, _ = await loop.create_connection(Hears, sock=ours)
    if sys.argv[2] == "received":
        await loop.sock_sendall(theirs, bytes(int(sys.argv[1])))
        await got
    else:
        transport.write(bytes(int(sys.argv[1])))
        await asyncio.sleep(0)  # it leaves when the batch ends
    for block in hole:
        libc.malloc(100_000)  # the hole is filled
    print(is_kept())
    transport.close()
    theirs.close()

hasten.run(main())
"""

pytestmark = [
    pytest.mark.skipif(not compat.compiled(), reason="only compiled code asks for it"),
    pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have other rules"),
]


def is_kept(size: int, how: str, hole: int = 0, **env: str) -> bool:
    """Whether memory is kept after a message of `size` bytes. `hole`: so many times 100 KB are free in the heap."""
    command = [sys.executable, "-c", PROGRAM, str(size), how, str(hole)]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_TUNABLES"))}
    done = subprocess.run(command, env={**clean, **env}, capture_output=True, text=True, check=True, timeout=120)
    return done.stdout == "True\n"


@pytest.mark.parametrize("how", ["received", "sent"])
def test_after_a_large_message(how: str) -> None:
    assert is_kept(50_000, how)


@pytest.mark.parametrize("how", ["received", "sent"])
def test_not_after_a_small_one(how: str) -> None:
    assert not is_kept(1000, how)


def test_although_the_heap_has_room_for_a_large_block() -> None:
    assert is_kept(50_000, "received", hole=200)


def test_a_bound_that_was_set_stays() -> None:
    assert not is_kept(50_000, "received", MALLOC_TRIM_THRESHOLD_="131072")
