"""Network tests run on hasten's loop and on asyncio's, and expect the same of both.

What asyncio does only since some Python says so with ``@pytest.mark.asyncio_since(3, 13)``: on older ones the test
then runs on hasten alone, which behaves like the newest everywhere. ``@pytest.mark.hasten_only`` marks what asyncio
does not do at all.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pytest
import trustme

import hasten

_T = TypeVar("_T")
Run = Callable[[Coroutine[Any, Any, _T]], _T]

LIMIT = 30.0  # seconds; only a hang takes as long


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "asyncio_since(major, minor): the first Python whose asyncio behaves like this")
    config.addinivalue_line("markers", "hasten_only: asyncio does not behave like this")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "either_loop" in metafunc.fixturenames:
        kinds = ["hasten"]
        since = metafunc.definition.get_closest_marker("asyncio_since")
        alone = metafunc.definition.get_closest_marker("hasten_only")
        if alone is None and (since is None or sys.version_info >= since.args):
            kinds.append("asyncio")
        metafunc.parametrize("either_loop", kinds, indirect=True)


@pytest.fixture
def either_loop(request: pytest.FixtureRequest) -> Iterator[asyncio.AbstractEventLoop]:
    """A fresh loop: hasten's or asyncio's."""
    loop = hasten.new_event_loop() if request.param == "hasten" else asyncio.SelectorEventLoop()
    try:
        yield loop
        assert not [task for task in asyncio.all_tasks(loop) if not task.done()]
        if not loop.is_closed():
            loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()


@pytest.fixture
def run(either_loop: asyncio.AbstractEventLoop) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Runs a coroutine to its end on the loop."""

    def run(coro: Coroutine[Any, Any, Any]) -> Any:
        return either_loop.run_until_complete(asyncio.wait_for(coro, LIMIT))

    return run


@pytest.fixture
def reports(either_loop: asyncio.AbstractEventLoop) -> list[dict[str, Any]]:
    """What the loop's exception handler is told."""
    told: list[dict[str, Any]] = []
    either_loop.set_exception_handler(lambda loop, context: told.append(context))
    return told


class Certificates(NamedTuple):
    """A server context for localhost, 127.0.0.1 and a.example; client contexts that do and do not trust it."""

    server: ssl.SSLContext
    client: ssl.SSLContext
    stranger: ssl.SSLContext


@pytest.fixture(scope="session")
def certificates() -> Certificates:
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1", "a.example").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    stranger = ssl.create_default_context()
    trustme.CA().configure_trust(stranger)
    return Certificates(server, client, stranger)


@pytest.fixture
def unix_path(tmp_path: Path) -> str:
    """A short path for a unix socket."""
    return str(tmp_path / "s")
