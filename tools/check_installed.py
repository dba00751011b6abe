"""Checks an installed hasten in an environment that has nothing else.

    python check_installed.py compiled|plain

It stands alone, so that it can be copied away from the checkout, which must not be what gets imported.
"""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
from pathlib import Path

MODULES = ("hasten.core.task", "hasten.core.future", "hasten.core.scheduler", "hasten.kernel.step")

PROGRAM = """
import asyncio
async def serve(reader, writer):
    writer.write(await reader.readline())
    await writer.drain()
    writer.close()
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
    writer.write(b"echo\\n")
    results = await asyncio.gather(reader.readline(), asyncio.sleep(0.01, "slept"))
    writer.close()
    server.close()
    await server.wait_closed()
    print(*results, type(asyncio.get_running_loop()).__module__)
asyncio.run(main())
"""
EXPECTED = "b'echo\\n' slept hasten.loop"

# What of hasten shows in tracebacks: files that are there, and lines that can be shown; of compiled code nothing.
TRACEBACKS = """
import asyncio, linecache, os, socket, traceback
async def fail():
    await asyncio.sleep(0)
    raise ValueError("x")
async def group():
    async with asyncio.TaskGroup() as group:
        group.create_task(fail())
async def read():
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=ours)
    theirs.close()
    try:
        await reader.readexactly(1)
    finally:
        writer.close()
async def task():
    await asyncio.create_task(fail())
for main in (task, group, read, lambda: asyncio.gather(fail()), lambda: asyncio.wait_for(fail(), 5)):
    async def start():
        await main()
    try:
        asyncio.run(start())
    except Exception as exc:
        entries = [each for each in traceback.extract_tb(exc.__traceback__) if each.filename != "<string>"]
        for each in entries:
            shown = linecache.getline(each.filename, each.lineno)
            assert os.path.isabs(each.filename) and shown.strip() and "type: ignore" not in shown, each
        print(len(entries))
    else:
        raise AssertionError(main)
"""


def main(kind: str) -> None:
    if kind == "compiled":
        assert importlib.util.find_spec("Cython") is None, "this environment has Cython; the check proves nothing"
    for name in MODULES:
        file = str(importlib.import_module(name).__file__)
        compiled = Path(file).suffix in (".so", ".pyd")
        assert compiled == (kind == "compiled"), f"{name} comes from {file}"
    run = subprocess.run([sys.executable, "-m", "hasten", "run", "-c", PROGRAM], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == EXPECTED, run.stdout
    if kind == "compiled":
        show = [sys.executable, "-W", "error", "-m", "hasten", "run", "-c", TRACEBACKS]
        shown = subprocess.run(show, capture_output=True, text=True)
        assert shown.returncode == 0, shown.stderr
        assert all(int(count) <= 5 for count in shown.stdout.split()), shown.stdout
    print(f"hasten ({kind}) from {Path(file).parents[1]}: {run.stdout.strip()}")


if __name__ == "__main__":
    if sys.argv[1:] not in (["compiled"], ["plain"]):
        sys.exit("usage: python check_installed.py compiled|plain")
    main(sys.argv[1])
