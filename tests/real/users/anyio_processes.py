"""anyio: processes that are run and talked to by pipes, calls in worker processes and in threads, some cancelled."""

import os
import signal
import subprocess
import sys
import threading
import time

import anyio
import anyio.lowlevel
from anyio import to_process, to_thread
from common import right_loop

REVERSE = "import sys; sys.stdout.write(sys.stdin.read()[::-1])"
LINES = "import sys\nfor line in sys.stdin: print(line.strip().upper(), flush=True)"
BIG = b"0123456789abcdef" * 100_000


async def run_them():
    done = await anyio.run_process([sys.executable, "-c", REVERSE], input=b"hello")
    print("run", done.returncode, done.stdout.decode(), done.stderr)
    done = await anyio.run_process([sys.executable, "-c", REVERSE], input=BIG)
    print("much by its pipes", done.stdout == BIG[::-1])
    done = await anyio.run_process("echo out; echo err >&2; exit 3", check=False)
    print("shell", done.returncode, done.stdout, done.stderr)
    try:
        await anyio.run_process(["false"])
    except subprocess.CalledProcessError as error:
        print("failed", error.returncode)
    try:
        await anyio.run_process(["/nowhere/at/all"])
    except FileNotFoundError:
        print("not found")
    ends = []

    async def one(number):
        done = await anyio.run_process(["sh", "-c", f"read a; echo $a; exit {number % 5}"], input=b"x\n", check=False)
        ends.append((number, done.returncode, done.stdout))

    async with anyio.create_task_group() as group:
        for number in range(50):
            group.start_soon(one, number)
    print("fifty at once", sorted(ends) == [(number, number % 5, b"x\n") for number in range(50)])


async def talk():
    async with await anyio.open_process([sys.executable, "-u", "-c", LINES]) as process:
        for number in range(100):
            await process.stdin.send(b"line %d\n" % number)
            got = await process.stdout.receive()
            while not got.endswith(b"\n"):
                got += await process.stdout.receive()
            assert got == b"LINE %d\n" % number, got
        await process.stdin.aclose()
        print("talked", await process.wait())
    with anyio.move_on_after(0.1) as scope:
        await anyio.run_process(["sleep", "100"])
    print("run too long", scope.cancelled_caught)
    process = await anyio.open_process(["sleep", "100"])
    process.terminate()
    print("terminated", await process.wait() == -signal.SIGTERM)
    await process.aclose()


def square(number):
    return number * number, os.getpid()


def fail():
    raise LookupError("in the worker")


def die():
    os._exit(7)


async def in_processes():
    results = {}

    async def one(number):
        results[number] = await to_process.run_sync(square, number)

    async with anyio.create_task_group() as group:
        for number in range(40):
            group.start_soon(one, number)
    print("squares", [results[number][0] for number in range(5)], len(results))
    print("elsewhere", os.getpid() not in {pid for _, pid in results.values()})
    try:
        await to_process.run_sync(fail)
    except LookupError as error:
        print("raised", error)
    with anyio.move_on_after(0.3) as scope:
        await to_process.run_sync(time.sleep, 100, cancellable=True)
    print("cancelled", scope.cancelled_caught)
    try:
        await to_process.run_sync(die)
    except anyio.BrokenWorkerProcess:
        print("a worker that dies")
    print("and another one", (await to_process.run_sync(square, 12))[0])


async def in_threads():
    results = []

    async def one(number):
        results.append(await to_thread.run_sync(lambda: (number * 2, threading.current_thread())))

    async with anyio.create_task_group() as group:
        for number in range(100):
            group.start_soon(one, number)
    print("doubled", sorted(number for number, _ in results) == list(range(0, 200, 2)))

    def from_thread():
        return [anyio.from_thread.run(right_here, number) for number in range(50)]

    async def right_here(number):
        right_loop()
        await anyio.lowlevel.checkpoint()
        return number

    print("called back", await to_thread.run_sync(from_thread) == list(range(50)))


async def main():
    right_loop()
    await run_them()
    await talk()
    await in_processes()
    await in_threads()


if __name__ == "__main__":
    anyio.run(main)
