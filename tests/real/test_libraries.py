"""Real libraries on hasten's loop: their clients and servers, each program in a process of its own."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
PROGRAMS = Path(__file__).parent / "programs"


def needs(*libraries: str) -> pytest.MarkDecorator:
    """Skips a test, with the reason, where a library is not installed."""
    missing = [name for name in libraries if importlib.util.find_spec(name) is None]
    python = "{}.{}".format(*sys.version_info)
    return pytest.mark.skipif(bool(missing), reason=f"not installed for Python {python}: {', '.join(missing)}")


def python(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "always::ResourceWarning", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=150,
        cwd=cwd,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )


def hasten_run(*arguments: str | Path) -> list[str]:
    """The lines that a program prints under `hasten run`; it must end well and say nothing on stderr."""
    done = python("-m", "hasten", "run", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@needs("aiohttp", "trustme")
def test_fetch() -> None:
    """Each page is fetched twice, and concurrently they come in the order of their delays, not of the list."""
    lines = hasten_run(EXAMPLES / "fetch.py")
    fetched = [re.sub(r"//localhost:\d+", "", line) for line in lines if "→" in line]
    pages = [f"http{'s' if number % 2 else ''}:/page/{number + 1} → 200" for number in range(20)]
    assert fetched[:20] == pages
    assert fetched[20:] != pages
    assert sorted(fetched[20:]) == sorted(pages)
    assert [line for line in lines if line.startswith("Fetched")] == ["Fetched 20 pages"] * 2
    assert re.fullmatch(r"one after the other \d.* s \| concurrently \d.* s \| .* times as fast", lines[-2])
    assert lines[-1] == "(on hasten.loop.Loop)"


@needs("aiohttp")
def test_fetch_of_given_addresses() -> None:
    """What cannot be fetched is told on its line, and the status says that something is missing."""
    done = python("-m", "hasten", "run", EXAMPLES / "fetch.py", "http://localhost:1/", "nonsense")
    assert done.returncode == 1
    assert done.stdout.count("http://localhost:1/ → ClientConnectorError: ") == 2
    assert done.stdout.count("nonsense → InvalidUrl") == 2
    assert done.stdout.count("Fetched 0 pages") == 2


@needs("aiohttp", "trustme")
def test_aiohttp_client_and_server() -> None:
    one_of_each = [
        "get 200 {'name': 'World', 'query': {'a': '1'}}",
        "post True",
        "big True",
        "stream True",
        "missing 404",
        "websocket hello",
        "dropped ServerDisconnectedError",
        "timed out",
        "many True",
    ]
    assert hasten_run(PROGRAMS / "aiohttp_both.py") == [
        "on hasten",
        "http",
        *one_of_each,
        "https",
        *one_of_each,
        "not trusted",
        "left over: 0",
    ]


@needs("httpx", "trustme")
def test_httpx() -> None:
    lines = hasten_run(EXAMPLES / "httpx_client.py")
    assert len([line for line in lines if line.endswith(" → 200")]) == 10
    assert lines[-1] == "Fetched 10 pages"
    assert hasten_run(PROGRAMS / "httpx_both.py") == [
        "on hasten",
        "get /one",
        "get /one",
        "get /one",
        "connections 1",
        "streamed 1000000",
        "gathered True",
        "timed out",
        "cancelled CancelledError",
        "refused",
    ]


@needs("anyio")
def test_anyio() -> None:
    assert hasten_run(EXAMPLES / "anyio_program.py") == [
        "on hasten",
        "consumed numbers that sum to 45",
        "moved on: True",
        "from a thread: 6",
        "echoed: ping",
    ]


@needs("websockets", "trustme")
def test_websockets() -> None:
    talk = ["text hello", "binary 3000000", "pong True", "closed 4000 as you wish", "clients 50"]
    assert hasten_run(PROGRAMS / "websockets_echo.py") == ["on hasten", "ws", *talk, "wss", *talk]


@needs("pytest_asyncio")
@pytest.mark.parametrize("way", [["-m", "pytest"], ["-m", "hasten", "run", "-m", "pytest"]], ids=["loop", "run"])
def test_pytest_asyncio(way: list[str], tmp_path: Path) -> None:
    """A project's pytest-asyncio tests: by its conftest on hasten's loop, or without one under `hasten run`."""
    shutil.copy(PROGRAMS / "pytest_asyncio_suite.py", tmp_path / "test_suite.py")
    if "hasten" not in way:
        shutil.copy(PROGRAMS / "loop_conftest.py", tmp_path / "conftest.py")
    options = ["asyncio_mode = strict", "asyncio_default_fixture_loop_scope = function", "filterwarnings ="]
    options += ["  error::ResourceWarning", "  error::RuntimeWarning"]
    (tmp_path / "pytest.ini").write_text("\n".join(["[pytest]", *options]))
    done = python(*way, "-q", "-p", "no:cacheprovider", cwd=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed, 7 passed" in done.stdout
    assert "FAILED test_suite.py::test_that_fails" in done.stdout
