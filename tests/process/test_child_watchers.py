"""asyncio's child watchers, on the Pythons that have them: one that a program sets is used, as asyncio uses it."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import hasten
from hasten.process import child_watchers

Loop = asyncio.AbstractEventLoop


@pytest.mark.skipif(sys.version_info < (3, 14), reason="this Python has child watchers")
def test_newer_pythons_have_none() -> None:
    assert child_watchers.chosen() is None
    assert not hasattr(hasten, "get_child_watcher")
    assert not hasattr(hasten, "ThreadedChildWatcher")


if sys.version_info < (3, 14):

    @pytest.fixture(autouse=True)
    def _policy_stays() -> Iterator[None]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            before = asyncio.events._event_loop_policy  # type: ignore[attr-defined]
            asyncio.set_event_loop_policy(asyncio.DefaultEventLoopPolicy())
            yield
            asyncio.set_event_loop_policy(before)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)

        class Watcher(asyncio.ThreadedChildWatcher):
            """One of a program's own: it tells from another thread."""

            def __init__(self) -> None:
                super().__init__()
                self.pids: list[int] = []
                self.inside = 0
                self.active = True

            def __enter__(self) -> Any:
                self.inside += 1
                return self

            def __exit__(self, *exc: object) -> None:
                self.inside -= 1

            def is_active(self) -> bool:
                return self.active

            def add_child_handler(self, pid: int, callback: Any, *args: Any) -> None:
                assert self.inside
                self.pids.append(pid)
                super().add_child_handler(pid, callback, *args)

        class Forgetful(Watcher):
            """It never tells by itself."""

            def add_child_handler(self, pid: int, callback: Any, *args: Any) -> None:
                self.tell = lambda code: callback(pid, code, *args)

    async def status(command: str) -> int:
        return await (await hasten.create_subprocess_shell(command)).wait()

    def test_nobody_is_made_to_have_one(loop: Loop, run_on: Callable[..., Any]) -> None:
        assert run_on(loop, status("exit 3")) == 3
        policy: Any = asyncio.get_event_loop_policy()
        assert policy._watcher is None

    def test_one_that_asyncio_makes_by_itself_does_not_count(loop: Loop, run_on: Callable[..., Any]) -> None:
        assert hasten.get_child_watcher() is asyncio.get_child_watcher()
        assert child_watchers.chosen() is None
        assert run_on(loop, status("exit 3")) == 3

    def test_one_that_is_set_is_used(loop: Loop, run_on: Callable[..., Any], settle: Callable[..., Any]) -> None:
        watcher = Watcher()
        hasten.set_child_watcher(watcher)

        async def main() -> None:
            process = await hasten.create_subprocess_shell("read x; exit 3", stdin=-1)
            assert watcher.pids == [process.pid]
            assert watcher.inside == 0
            process.stdin.close()
            assert await process.wait() == 3
            process = await hasten.create_subprocess_exec("sleep", "1000")
            process.kill()
            process.kill()
            assert await process.wait() == -9
            await settle()
            with pytest.raises(ProcessLookupError):
                process.kill()

        run_on(loop, main())
        for thread in threading.enumerate():
            if thread.name.startswith("asyncio-waitpid"):
                thread.join(10)

    def test_who_closes_the_transport_takes_the_status(loop: Any, run_on: Callable[..., Any], recorder: Any) -> None:
        """The watcher will never see it: FastChildWatcher, which waits for any child, would not tell of this one."""
        hasten.set_child_watcher(Forgetful())

        async def main() -> None:
            transport, protocol = await loop.subprocess_exec(recorder, "sleep", "1000")
            transport.kill()
            os.waitid(os.P_PID, transport.get_pid(), os.WEXITED | os.WNOWAIT)
            transport.close()
            await protocol.over
            assert transport.get_returncode() == -9

        run_on(loop, main())

    def test_what_a_watcher_has_reaped_is_told_by_it(
        loop: Any, run_on: Callable[..., Any], recorder: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        watcher = Forgetful()
        hasten.set_child_watcher(watcher)

        async def main() -> None:
            transport, protocol = await loop.subprocess_exec(recorder, "sleep", "1000")
            popen = transport.get_extra_info("subprocess")
            transport.kill()
            os.waitpid(transport.get_pid(), 0)
            monkeypatch.setattr(os, "kill", lambda pid, sig: pytest.fail("its number may be a stranger's"))
            transport.close()
            await hasten.sleep(0)
            assert transport.get_returncode() is None
            watcher.tell(-9)
            await protocol.over
            assert transport.get_returncode() == popen.returncode == -9

        run_on(loop, main())

    def test_no_signal_goes_to_a_number_that_is_free(
        loop: Any, run_on: Callable[..., Any], recorder: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hasten.set_child_watcher(Forgetful())

        async def main() -> None:
            transport, protocol = await loop.subprocess_exec(recorder, "sleep", "1000")
            transport.kill()
            os.waitid(os.P_PID, transport.get_pid(), os.WEXITED | os.WNOWAIT)
            transport.close()
            monkeypatch.setattr(os, "kill", lambda pid, sig: pytest.fail("its number may be a stranger's"))
            transport.kill()
            await protocol.over

        run_on(loop, main())

    def test_one_that_is_not_active(loop: Loop, run_on: Callable[..., Any]) -> None:
        watcher = Watcher()
        watcher.active = False
        hasten.set_child_watcher(watcher)
        with pytest.raises(RuntimeError, match="is not active"):
            run_on(loop, status("true"))
        assert watcher.pids == []
        assert watcher.inside == 0

    @pytest.mark.parametrize("name", ["SafeChildWatcher", "FastChildWatcher"])
    def test_watchers_that_need_a_loop(loop: Loop, run_on: Callable[..., Any], name: str) -> None:
        watcher: Any = getattr(hasten, name)()
        hasten.set_child_watcher(watcher)
        with pytest.raises(RuntimeError, match="is not active"):
            run_on(loop, status("true"))
        watcher.attach_loop(loop)
        try:
            assert run_on(loop, status("exit 4")) == 4
        finally:
            hasten.set_child_watcher(None)

    def test_a_policy_without_them(loop: Loop, run_on: Callable[..., Any]) -> None:
        class Policy(asyncio.AbstractEventLoopPolicy):
            def new_event_loop(self) -> Any:
                raise AssertionError

        class Refusing(asyncio.DefaultEventLoopPolicy):
            def get_child_watcher(self) -> Any:
                raise NotImplementedError

        for policy in (Policy(), Refusing()):
            asyncio.set_event_loop_policy(policy)
            assert run_on(loop, status("exit 5")) == 5

    def test_the_installed_policy_has_them() -> None:
        hasten.install()
        try:
            watcher = Watcher()
            asyncio.set_child_watcher(watcher)
            assert asyncio.run(status("exit 6")) == 6
            assert len(watcher.pids) == 1
        finally:
            asyncio.set_child_watcher(None)
            hasten.uninstall()
        for thread in threading.enumerate():
            if thread.name.startswith("asyncio-waitpid"):
                thread.join(10)
