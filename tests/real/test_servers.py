"""Servers of other projects under `hasten run`, started as their users start them: each request is served on hasten.

Also those that hasten has a worker for. The servers run in processes of their own, or in processes of processes.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from hasten.kernel import births

PROGRAMS = Path(__file__).parent / "programs"
LOOP = b"hasten.loop.Loop"
ASGI, AIOHTTP = "gunicorn_app:asgi", "gunicorn_app:aiohttp_app"
RUN = ["-m", "hasten", "run", "-m"]

# What each needs, and its command line, without address and application.
SERVERS = {
    "uvicorn": ("uvicorn", [*RUN, "uvicorn", "--port", "{port}", ASGI]),
    "uvicorn --workers": ("uvicorn", [*RUN, "uvicorn", "--workers", "2", "--port", "{port}", ASGI]),
    "uvicorn --reload": ("uvicorn", [*RUN, "uvicorn", "--reload", "--port", "{port}", ASGI]),
    "uvicorn --loop": (
        "uvicorn",
        ["-m", "uvicorn", "--loop", "hasten:new_event_loop", "--port", "{port}", ASGI],
    ),
    "hypercorn": ("hypercorn", [*RUN, "hypercorn", "--bind", "127.0.0.1:{port}", ASGI]),
    "hypercorn uvloop": (
        "hypercorn",
        [*RUN, "hypercorn", "-k", "uvloop", "--workers", "2", "--bind", "127.0.0.1:{port}", ASGI],
    ),
    "hypercorn in one process": (
        "hypercorn",
        [*RUN, "hypercorn", "--workers", "0", "--bind", "127.0.0.1:{port}", ASGI],
    ),
    "granian": ("granian", [*RUN, "granian", "--interface", "asgi", "--port", "{port}", ASGI]),
    "granian --loop": (
        "granian",
        [*RUN, "granian", "--loop", "asyncio", "--interface", "asgi", "--port", "{port}", ASGI],
    ),
    "sanic": ("sanic", [*RUN, "sanic", "sanic_app:app", "--port", "{port}"]),
    "sanic --single-process": ("sanic", [*RUN, "sanic", "sanic_app:app", "--single-process", "--port", "{port}"]),
    "gunicorn with uvicorn": (
        "gunicorn uvicorn",
        ["-m", "gunicorn", "-k", "hasten.gunicorn.UvicornWorker", "-b", "127.0.0.1:{port}", ASGI],
    ),
    "gunicorn with uvicorn's h11": (
        "gunicorn uvicorn h11",
        ["-m", "gunicorn", "-k", "hasten.gunicorn.UvicornH11Worker", "-b", "127.0.0.1:{port}", ASGI],
    ),
    "gunicorn with aiohttp": (
        "gunicorn aiohttp",
        ["-m", "gunicorn", "-k", "hasten.gunicorn.AiohttpWorker", "-b", "127.0.0.1:{port}", AIOHTTP],
    ),
    "gunicorn under hasten run": (
        "gunicorn aiohttp",
        [*RUN, "gunicorn", "-k", "aiohttp.GunicornWebWorker", "-b", "127.0.0.1:{port}", AIOHTTP],
    ),
    "gunicorn with aiohttp's worker for uvloop": (
        "gunicorn aiohttp",
        [
            *RUN,
            "gunicorn",
            "-k",
            "aiohttp.GunicornUVLoopWebWorker",
            "-b",
            "127.0.0.1:{port}",
            AIOHTTP,
        ],
    ),
}


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def ask(port: int, server: subprocess.Popen[bytes]) -> bytes:
    """What is answered, as soon as the server listens. Servers that fork tell of no other moment."""
    deadline = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=60) as response:
                body: bytes = response.read()
                return body
        except (urllib.error.URLError, ConnectionError):
            if server.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@pytest.mark.slow  # starts a server, and its processes
@pytest.mark.parametrize("name", SERVERS)
def test_requests_are_served_on_hasten(name: str, tmp_path: Path) -> None:
    needed, words = SERVERS[name]
    missing = [each for each in needed.split() if importlib.util.find_spec(each) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    port = free_port()
    log = tmp_path / "log"
    environment = {**os.environ, "HASTEN_WATCH": "0", "PYTHONPATH": str(PROGRAMS)}
    command = [sys.executable, *(word.format(port=port) for word in words)]
    with log.open("wb") as file:
        # in a folder of its own, which --reload watches, and a process group of its own, which ends as a whole
        server = subprocess.Popen(
            command, stdout=file, stderr=file, env=environment, cwd=tmp_path, start_new_session=True
        )
    try:
        bodies = {ask(port, server) for _ in range(20)}
        server.send_signal(signal.SIGTERM)
        if name != "sanic":  # whose main process misses a signal that comes so early, on any loop
            server.wait(60)
    except BaseException as error:
        error.add_note(log.read_text())
        raise
    finally:
        try:
            os.killpg(server.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        server.wait()
    said = log.read_text()
    assert bodies == {LOOP}, said
    assert "hasten: " not in said, said
    assert "Traceback" not in said, said


AIOHTTP_PROGRAM = """
import asyncio
from aiohttp import ClientSession, web
kinds = set()

async def handler(request):
    kinds.add(type(asyncio.current_task()))
    return web.Response()

async def main():
    app = web.Application()
    app.router.add_get("/", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    async with ClientSession() as session, session.get("http://{}:{}/".format(*runner.addresses[0])) as response:
        assert response.status == 200
    await runner.cleanup()
    print(*kinds)

asyncio.run(main())
"""


@pytest.mark.skipif(importlib.util.find_spec("aiohttp") is None, reason="aiohttp is not installed")
@pytest.mark.skipif(not births.available(), reason="not compiled: asyncio.Task(...) makes stock tasks")
def test_aiohttp_s_handlers_run_in_hastens_tasks() -> None:
    command = [sys.executable, "-m", "hasten", "run", "-c", AIOHTTP_PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ("<class 'hasten.core.task.Task'>\n", "")


@pytest.mark.slow  # starts a server
@pytest.mark.skipif(importlib.util.find_spec("uvicorn") is None, reason="uvicorn is not installed")
def test_who_names_another_loop_is_told(tmp_path: Path) -> None:
    port = free_port()
    log = tmp_path / "log"
    command = [sys.executable, *RUN, "uvicorn", "--loop", "asyncio", "--port", str(port), ASGI]
    environment = {**os.environ, "PYTHONPATH": str(PROGRAMS)}
    with log.open("wb") as file:
        server = subprocess.Popen(command, stdout=file, stderr=file, env=environment, cwd=tmp_path)
    try:
        assert ask(port, server) == b"asyncio.unix_events._UnixSelectorEventLoop"
    finally:
        server.terminate()
        server.wait()
    told = [line for line in log.read_text().splitlines() if line.startswith("hasten: ")]
    assert len(told) == 1, told
    assert "--loop hasten:new_event_loop" in told[0]
