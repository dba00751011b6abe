"""A FastAPI application under uvicorn on hasten's loop, and a load of 10,000 requests, none of which may fail."""

from __future__ import annotations

import importlib.util
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
PROGRAMS = Path(__file__).parent / "programs"
REQUESTS = 10_000
PYTHON = "{}.{}".format(*sys.version_info)

MISSING = [name for name in ("fastapi", "uvicorn", "aiohttp") if importlib.util.find_spec(name) is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed for Python {PYTHON}: {', '.join(MISSING)}")


@pytest.fixture(params=[["--loop", "hasten:new_event_loop"], ["--loop", "none"]], ids=["option", "run"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The base URL of the application: with `uvicorn --loop hasten:new_event_loop`, or all under `hasten run`."""
    launcher = ["-m", "hasten", "run", "-m"] if "none" in request.param else ["-m"]
    # fmt: off
    command = [
        sys.executable, *launcher, "uvicorn", "--app-dir", str(EXAMPLES), "fastapi_app:app",
        "--port", "0", "--no-access-log", *request.param,
    ]
    # fmt: on
    log = tmp_path / "log"
    with log.open("w") as file:
        server = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=file, text=True)
        try:
            assert server.stderr is not None
            lines = []
            for line in server.stderr:
                lines.append(line)
                if found := re.search(r"Uvicorn running on (http://[\d.:]+)", line):
                    break
            else:
                pytest.fail("uvicorn did not start:\n" + "".join(lines))
            yield found[1]
            server.send_signal(signal.SIGTERM)
            rest = server.stderr.read()
            assert server.wait(60) == -signal.SIGTERM
            # an orderly end, and nothing else to report after all these requests
            assert [line.split(":", 1)[1].split("[")[0].strip() for line in rest.splitlines()] == [
                "Shutting down",
                "Waiting for application shutdown.",
                "Application shutdown complete.",
                "Finished server process",
            ]
        finally:
            server.kill()
            server.wait()
            server.stderr.close()


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=60) as response:
        return str(response.read().decode())


def load_with_wrk(url: str) -> int:
    """Requests that wrk got answered; it counts by time, so it runs until there are enough of them."""
    answered = 0
    while answered < REQUESTS:
        command = ["wrk", "-t1", "-c50", "-d2s", "--timeout", "30s", url]
        out = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
        assert "Socket errors" not in out, out
        assert "Non-2xx" not in out, out
        count = re.search(r"(\d+) requests in", out)
        assert count is not None, out
        assert int(count[1]) > 0, out
        answered += int(count[1])
    return answered


def load_with_aiohttp(url: str) -> int:
    command = [sys.executable, str(PROGRAMS / "load.py"), url, str(REQUESTS), "50"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250)
    assert (done.returncode, done.stderr) == (0, "")
    return int(done.stdout)


def test_fastapi_under_load(address: str) -> None:
    assert get(f"{address}/") == '{"message":"Hello"}'
    assert get(f"{address}/loop") == '{"loop":"hasten.loop.Loop"}'
    assert get(f"{address}/thread") == '{"sum":4950}'
    load = load_with_wrk if shutil.which("wrk") else load_with_aiohttp
    assert load(f"{address}/items/12") >= REQUESTS
    assert get(f"{address}/items/12") == '{"number":12,"square":144}'
