"""gunicorn with workers that run on hasten's loop: its listening sockets are wrappers of its own."""

from __future__ import annotations

import importlib.util
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parent / "programs"
WORKERS = {
    "uvicorn": ("uvicorn.workers.UvicornWorker", "gunicorn_app:asgi"),
    "aiohttp": ("aiohttp.GunicornWebWorker", "gunicorn_app:aiohttp_app"),
}


def installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


@pytest.mark.skipif(not installed("gunicorn"), reason="gunicorn is not installed")
@pytest.mark.parametrize("worker", WORKERS)
def test_a_worker_boots_and_serves(worker: str) -> None:
    if not installed(worker):
        pytest.skip(f"{worker} is not installed")
    kind, app = WORKERS[worker]
    # fmt: off
    command = [
        sys.executable, "-W", "ignore", "-m", "gunicorn", "--chdir", str(PROGRAMS),
        "--config", str(PROGRAMS / "gunicorn_conf.py"), "--worker-class", kind, "--workers", "1",
        "--bind", "127.0.0.1:0", "--graceful-timeout", "5", app,
    ]
    # fmt: on
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        lines = []
        for line in server.stderr:
            lines.append(line)
            if found := re.search(r"Listening at: (http://[\d.:]+)", line):
                break
        else:
            pytest.fail("gunicorn did not start:\n" + "".join(lines))
        for _ in range(3):
            with urllib.request.urlopen(found[1], timeout=60) as response:
                assert response.read() == b"hasten.loop.Loop"
        server.send_signal(signal.SIGTERM)
        rest = server.stderr.read()
        assert server.wait(60) == 0, rest
        assert "Error" not in rest, rest
        assert "Traceback" not in rest, rest
    finally:
        server.kill()
        server.wait()
        if server.stderr is not None:
            server.stderr.close()
