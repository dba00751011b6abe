"""The pytest plugin: each asyncio plugin's tests run on hasten's loop, and are told what they leave behind or block."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

# How each test ended is written down by pytest's own hook: when → (outcome, text).
CONFTEST = """
import json

def pytest_runtest_logreport(report):
    with open("reports", "a") as file:
        print(json.dumps([report.nodeid, report.when, report.outcome, report.longreprtext]), file=file)
"""
HEAD = """
import asyncio, os, socket, sys, threading, time, unittest
import pytest

KEPT = []  # what is left behind is not found by the collector

def on_hasten():
    name = type(asyncio.get_running_loop()).__module__
    assert name.startswith("hasten."), name
"""


class Ran:
    """A run of pytest."""

    def __init__(self, status: int, output: str, reports: list[list[Any]]) -> None:
        self.status = status
        self.output = output
        self.reports: dict[str, dict[str, tuple[str, str]]] = {}
        for nodeid, when, outcome, text in reports:
            self.reports.setdefault(nodeid.rpartition("::")[2], {})[when] = outcome, text

    def told(self, name: str) -> str:
        """What was said of a test that failed; empty if it passed."""
        return "\n".join(text for outcome, text in self.reports[name].values() if outcome == "failed")


class Project:
    """A folder with tests."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "conftest.py").write_text(CONFTEST)
        (path / "pytest.ini").write_text(
            "[pytest]\nasyncio_default_fixture_loop_scope = function\nasyncio_mode = auto\n"
        )

    def run(self, text: str, *options: str, hasten: bool = True, env: dict[str, str] | None = None) -> Ran:
        (self.path / "test_it.py").write_text(HEAD + textwrap.dedent(text).strip() + "\n")
        reports = self.path / "reports"
        reports.write_text("")
        command = [sys.executable, "-m", "pytest", "-p", "hasten_pytest", "-p", "no:cacheprovider", "-q"]
        if hasten:
            command.append("--hasten")
        source = str(Path(__file__).parents[2] / "src")
        environment = {**os.environ, "PYTHONPATH": source, **(env or {})}
        environment.pop("PYTEST_ADDOPTS", None)
        done = subprocess.run(
            [*command, *options, "test_it.py"],
            cwd=self.path,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )
        return Ran(done.returncode, done.stdout, [json.loads(line) for line in reports.read_text().splitlines()])


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def clean(ran: Ran, *names: str) -> None:
    """Checks that these tests were not accused of anything."""
    for name in names:
        assert not ran.told(name), f"{name}: {ran.told(name)}"
        assert ran.reports[name]["call"][0] == "passed", ran.output


def test_pytest_does_not_warn_that_it_comes_too_late(project: Project) -> None:
    """Under `hasten run -m pytest` hasten is imported before pytest, which marks what has plugins for its rewriting."""
    (project.path / "conftest.py").write_text(
        CONFTEST + "import hasten\nimport pytest\npytest.register_assert_rewrite('hasten')\n"
    )
    ran = project.run("def test_nothing(): pass", hasten=False)
    clean(ran, "test_nothing")
    assert "PytestAssertRewriteWarning" not in ran.output


# ---- whatever the plugin --------------------------------------------------------------------------


def test_pytest_asyncio(project: Project) -> None:
    ran = project.run(
        """
        import pytest_asyncio

        @pytest_asyncio.fixture
        async def running():
            task = asyncio.create_task(asyncio.sleep(1000))
            yield task
            task.cancel()

        async def test_right(running):
            on_hasten()
            await asyncio.sleep(0.001)

        async def test_thread():
            await asyncio.to_thread(time.sleep, 0.001)

        async def test_cancelled_and_not_awaited():
            asyncio.create_task(asyncio.sleep(1000)).cancel()

        async def wait(event):
            await event.wait()

        async def test_task():
            KEPT.append(asyncio.create_task(wait(asyncio.Event()), name="mine"))
            await asyncio.sleep(0)

        @pytest.mark.hasten(virtual_time=True)
        async def test_virtual():
            await asyncio.sleep(86400)
            assert asyncio.get_running_loop().time() == 86400
        """
    )
    clean(ran, "test_right", "test_thread", "test_cancelled_and_not_awaited", "test_virtual")
    told = ran.told("test_task")
    assert "a task that still runs: mine, wait()" in told
    assert re.search(r"made at test_it\.py:\d+ in test_task: KEPT\.append\(asyncio\.create_task\(wait", told)
    assert re.search(r"it waits at test_it\.py:\d+ in wait: await event\.wait\(\)", told)
    assert '@pytest.mark.hasten(leaks="allow")' in told
    assert ran.status == 1


def test_what_lasts_longer_than_a_test_is_not_its_leak(project: Project) -> None:
    ran = project.run(
        """
        import pytest_asyncio
        pytestmark = pytest.mark.asyncio(loop_scope="session")

        @pytest_asyncio.fixture(scope="session", loop_scope="session")
        async def server():
            task = asyncio.create_task(asyncio.sleep(1000))
            server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
            yield server
            task.cancel()
            server.close()

        @pytest_asyncio.fixture(scope="module", loop_scope="session")
        async def connection(server):
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            file = open(os.devnull)
            yield reader
            file.close()
            writer.close()

        async def test_first(server): on_hasten()
        async def test_second(connection): await connection.read()
        async def test_task(connection):
            KEPT.append(asyncio.create_task(asyncio.sleep(1000)))
        async def test_last(connection): await asyncio.sleep(0)
        """
    )
    clean(ran, "test_first", "test_second", "test_last")
    assert "a task that still runs" in ran.told("test_task")


def test_anyio(project: Project) -> None:
    ran = project.run(
        """
        import anyio
        pytestmark = pytest.mark.anyio

        @pytest.fixture
        def anyio_backend():
            return "asyncio"

        @pytest.fixture
        async def group():
            async with anyio.create_task_group() as group:
                group.start_soon(anyio.sleep_forever)
                yield group
                group.cancel_scope.cancel()

        async def test_right(group):
            on_hasten()
            await anyio.to_thread.run_sync(time.sleep, 0.001)

        async def test_task():
            KEPT.append(asyncio.create_task(asyncio.sleep(1000)))

        @pytest.mark.hasten(virtual_time=True)
        async def test_virtual(group):
            with anyio.move_on_after(1000):
                await anyio.sleep(2000)
            for _ in range(10):
                with anyio.fail_after(1000):
                    await anyio.to_thread.run_sync(time.sleep, 0.001)
            await anyio.sleep(2000)
            assert 3000 <= asyncio.get_running_loop().time() < 3500
        """,
        "-o",
        "asyncio_mode=strict",
    )
    clean(ran, "test_right", "test_virtual")
    assert "a task that still runs" in ran.told("test_task")


def test_unittest_and_loops_of_one_s_own(project: Project) -> None:
    ran = project.run(
        """
        class TestCase(unittest.IsolatedAsyncioTestCase):
            async def asyncSetUp(self):
                self.task = asyncio.create_task(asyncio.sleep(1000))
            async def asyncTearDown(self):
                self.task.cancel()
            async def test_case_right(self):
                on_hasten()
            async def test_case_task(self):
                KEPT.append(asyncio.create_task(asyncio.sleep(1000)))
            @pytest.mark.hasten(virtual_time=True)
            async def test_case_virtual(self):
                await asyncio.sleep(86400)

        async def main():
            on_hasten()
            KEPT.append(asyncio.create_task(asyncio.sleep(1000)))

        def test_run():
            asyncio.run(main())

        def test_hasten_run():
            import hasten
            hasten.run(main())

        def test_not_closed():
            KEPT.append(asyncio.new_event_loop())
            KEPT[-1].run_until_complete(asyncio.sleep(0))

        def test_closed_too_early():
            loop = asyncio.new_event_loop()
            KEPT.append(loop.create_task(asyncio.sleep(1000)))
            loop.run_until_complete(asyncio.sleep(0))
            loop.close()

        def test_another_loop_is_another_s_matter():
            with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
                runner.run(asyncio.sleep(0))

        def test_no_loop_at_all():
            KEPT.append(socket.socket())
        """
    )
    clean(ran, "test_case_right", "test_case_virtual", "test_another_loop_is_another_s_matter", "test_no_loop_at_all")
    for name in ("test_case_task", "test_run", "test_hasten_run", "test_closed_too_early"):
        assert "a task that still runs" in ran.told(name), name
        assert ran.reports[name]["call"][0] == "failed"  # known when the test ends
    told = ran.told("test_not_closed")
    assert re.search(r"an event loop that was not closed\s+made at test_it\.py:\d+ in test_not_closed", told)
    assert "fd" not in told


@pytest.mark.skipif(importlib.util.find_spec("pytest_aiohttp") is None, reason="pytest-aiohttp is not installed")
def test_aiohttp(project: Project) -> None:
    ran = project.run(
        """
        from aiohttp import web

        def app():
            async def hello(request):
                on_hasten()
                return web.Response(text="hello")
            app = web.Application()
            app.router.add_get("/", hello)
            return app

        async def test_right(aiohttp_client):
            client = await aiohttp_client(app())
            async with client.get("/") as response:
                assert await response.text() == "hello"

        @pytest.mark.hasten(virtual_time=True)
        async def test_virtual(aiohttp_client):
            client = await aiohttp_client(app())
            await asyncio.sleep(86400)
            async with client.get("/") as response:
                assert await response.text() == "hello"

        async def test_task(aiohttp_client):
            await aiohttp_client(app())
            KEPT.append(asyncio.create_task(asyncio.sleep(1000)))
        """
    )
    clean(ran, "test_right", "test_virtual")
    assert "a task that still runs" in ran.told("test_task")


@pytest.mark.skipif(importlib.util.find_spec("django") is None, reason="django is not installed")
def test_django(project: Project) -> None:
    ran = project.run(
        """
        import django
        from django.conf import settings
        settings.configure()
        django.setup()
        from django.test import SimpleTestCase

        class TestCase(SimpleTestCase):
            async def test_right(self):
                on_hasten()
                await asyncio.sleep(0)
            async def test_task(self):
                KEPT.append(asyncio.create_task(asyncio.sleep(1000)))
        """
    )
    clean(ran, "test_right")
    assert "a task that still runs" in ran.told("test_task")


# ---- what is found ------------------------------------------------------------------------------------

LEAKS = """
        async def test_connection():
            async def serve(reader, writer):
                await reader.read()
            server = await asyncio.start_server(serve, "127.0.0.1", 0)
            KEPT.append(server)
            KEPT.append(await asyncio.open_connection(*server.sockets[0].getsockname()))

        async def test_closed():
            server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
            async with server:
                reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
                await reader.read()
                writer.close()

        async def test_datagrams():
            loop = asyncio.get_running_loop()
            KEPT.append(await loop.create_datagram_endpoint(asyncio.DatagramProtocol, ("127.0.0.1", 0)))

        async def test_file(tmp_path):
            KEPT.append(open(tmp_path / "kept", "w"))

        async def test_socket():
            KEPT.append(socket.socket())

        async def test_garbage():
            circle = [socket.socket()]
            circle.append(circle)

        async def test_thread():
            go = threading.Event()
            def spin():
                while not go.wait(0.01):
                    pass
            threading.Thread(target=spin, name="spinner").start()
            KEPT.append(go)

        async def test_thread_that_ends():
            threading.Thread(target=time.sleep, args=(0.05,)).start()

        async def test_pool():
            from concurrent.futures import ThreadPoolExecutor
            KEPT.append(ThreadPoolExecutor())
            await asyncio.get_running_loop().run_in_executor(KEPT[-1], int)

        def test_end():
            for each in KEPT:
                if isinstance(each, threading.Event):
                    each.set()  # or the process would wait for the thread
"""


def test_leaks(project: Project) -> None:
    ran = project.run(LEAKS)
    clean(ran, "test_closed", "test_garbage", "test_thread_that_ends", "test_pool")
    told = ran.told("test_connection")
    assert re.search(r"a server on \('127.0.0.1', \d+\)\s+made at test_it\.py:\d+ in test_connection: server = ", told)
    assert re.search(
        r"an open transport, \('127.0.0.1', \d+\) to \('127.0.0.1', \d+\)\s+made at test_it\.py:\d+ in test_conn", told
    )
    assert "an open file" not in told, "the same, told twice"
    told = ran.told("test_datagrams")
    assert re.search(r"an open transport, .*\s+made at test_it\.py:\d+ in test_datagrams: KEPT", told)
    told = ran.told("test_file")
    assert re.search(r"an open file: fd \d+, \S*kept\s+opened at test_it\.py:\d+ in test_file: KEPT\.append\(op", told)
    told = ran.told("test_socket")
    assert re.search(r"an open file: fd \d+, <socket.*>\s+opened at test_it\.py:\d+ in test_socket: KEPT", told)
    told = ran.told("test_thread")
    assert re.search(r"a thread that still runs: spinner, at .*", told)
    if sys.version_info >= (3, 12):  # before, the interpreter did not tell
        assert re.search(r"\s+started at test_it\.py:\d+ in test_thread: threading.Thread", told)


def test_leaks_that_are_allowed(project: Project) -> None:
    text = LEAKS.replace("async def test", '@pytest.mark.hasten(leaks="allow")\n        async def test')
    ran = project.run(text)
    assert ran.status == 0, ran.output
    text = LEAKS.replace("async def test", '@pytest.mark.hasten(leaks="fds, transports")\n        async def test')
    ran = project.run(text)
    assert not ran.told("test_file")
    assert "a thread" in ran.told("test_thread")
    assert "a task" in ran.told("test_connection")
    assert "a server" not in ran.told("test_connection")
    ran = project.run(LEAKS, "-o", "hasten_leaks=threads")
    assert not ran.told("test_connection")
    assert "a thread" in ran.told("test_thread")


def test_blocking(project: Project) -> None:
    ran = project.run(
        """
        def slow():
            time.sleep(0.5)

        async def helper():
            slow()

        async def test_sleeps():
            await helper()

        async def test_computes():
            end = time.thread_time() + 0.5  # waits for a processor do not count
            while time.thread_time() < end:
                pass

        async def test_keeps_the_lock():
            begun = time.thread_time()
            sum(range(1_000_000))
            took = time.thread_time() - begun
            sum(range(int(1_000_000 / took)))  # one second, however fast the machine is
            await asyncio.sleep(0.1)

        async def test_waits():
            await asyncio.sleep(0.5)
            await asyncio.to_thread(time.sleep, 0.3)

        @pytest.mark.hasten(blocks=30)
        async def test_allowed():
            await helper()

        @pytest.mark.hasten(blocks="allow")
        async def test_allowed_whatever():
            await helper()
        """
    )
    clean(ran, "test_waits", "test_allowed", "test_allowed_whatever")
    told = ran.told("test_sleeps")
    assert "the test blocked the loop, 0.2 s are allowed" in told
    assert re.search(r"0\.[3-9]\d s at test_it\.py:\d+ in slow: time\.sleep\(0\.5\)", told)
    assert re.search(r"called from test_it\.py:\d+ in helper: slow\(\)", told)
    assert re.search(r"s at test_it\.py:\d+ in test_computes: ", ran.told("test_computes"))
    assert (
        "kept the interpreter's lock" in (told := ran.told("test_keeps_the_lock")) or "in test_keeps_the_lock" in told
    )
    ran = project.run("async def test_sleeps(): time.sleep(0.5)", "-o", "hasten_block=0")
    clean(ran, "test_sleeps")


def test_a_failure_is_not_buried(project: Project) -> None:
    ran = project.run(
        """
        async def test_fails():
            KEPT.append(socket.socket())
            KEPT.append(asyncio.create_task(asyncio.sleep(1000)))
            assert 1 == 2
        """
    )
    told = ran.told("test_fails")
    assert "assert 1 == 2" in told
    assert "left behind" not in told


def test_wrong_marks(project: Project) -> None:
    ran = project.run(
        """
        @pytest.mark.hasten(leak="allow")
        async def test_name(): pass

        @pytest.mark.hasten(leaks="taks")
        async def test_kind(): pass

        @pytest.mark.hasten(blocks="long")
        async def test_seconds(): pass
        """
    )
    assert "takes leaks=, blocks= and virtual_time=, not 'leak'" in ran.told("test_name")
    assert "leaks: 'taks' is not one of tasks, transports, fds, threads" in ran.told("test_kind")
    assert "'long' is not a number of seconds" in ran.told("test_seconds")


# ---- off until it is asked for ------------------------------------------------------------------------

OFF = """
        @pytest.mark.hasten(leaks="allow")
        async def test_it():
            KEPT.append(socket.socket())
            loop = asyncio.get_running_loop()
            assert not type(loop).__module__.startswith("hasten")
            assert not [name for name in sys.modules if name == "hasten" or name.startswith("hasten.")]
"""


def test_off_unless_asked_for(project: Project) -> None:
    ran = project.run(OFF, "--strict-markers", hasten=False)
    assert ran.status == 0, ran.output
    ran = project.run(OFF, "-o", "hasten=true", "--no-hasten", hasten=False)
    assert ran.status == 0, ran.output


def test_by_the_ini_file(project: Project) -> None:
    ini = project.path / "pytest.ini"
    ini.write_text(ini.read_text() + "hasten = true\n")
    ran = project.run("async def test_it(): on_hasten()", hasten=False)
    clean(ran, "test_it")


def test_the_entry_point_imports_no_loop() -> None:
    code = "import sys, typing; before = {*sys.modules}; import hasten_pytest; print(*sorted({*sys.modules} - before))"
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert done.stdout.split() == ["__future__", "hasten_pytest"]


def test_many_tasks_are_left_and_their_names_and_classes_are_hostile(project: Project) -> None:
    ran = project.run(
        """
        import hasten

        async def forever():
            await asyncio.get_running_loop().create_future()

        class Hostile(hasten.Task):
            def fails(self, *args):
                raise ZeroDivisionError
            get_name = get_coro = cancelling = created_at = __repr__ = fails

        class TestIt(unittest.IsolatedAsyncioTestCase):
            async def test_many(self):
                KEPT.extend(asyncio.create_task(forever()) for _ in range(100))

            async def test_named(self):
                KEPT.append(asyncio.create_task(forever(), name="a\\x1b[31m\\r\\n\\ud800" + "n" * 10000))

            async def test_hostile(self):
                KEPT.append(Hostile(forever(), loop=asyncio.get_running_loop(), name="hostile"))
                await asyncio.sleep(0)
        """
    )
    assert "INTERNALERROR" not in ran.output
    told = ran.told("test_many")
    assert told.count("a task that still runs") == 20
    assert "… and 80 more" in told
    assert "runs: a\\x1b[31m\\r\\n\\ud800nnn" in ran.told("test_named")
    assert len(ran.told("test_named")) < 2000
    assert "a task that still runs: hostile, forever()" in ran.told("test_hostile")
