"""The scheduler: batches, stop(), fairness between callbacks, timers and I/O, threads, signals, exits."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
from typing import Any

import pytest

import hasten

POLLERS = ("epoll", "selectors") if sys.platform == "linux" else ("selectors",)


@pytest.fixture(params=POLLERS)
def loop(request: pytest.FixtureRequest) -> Any:
    fresh = hasten.new_event_loop(request.param)
    try:
        yield fresh
        assert hasten.all_tasks(fresh) == set()
    finally:
        fresh.close()


def test_what_a_batch_schedules_runs_in_the_next(loop) -> None:
    out: list[str] = []

    def first() -> None:
        out.append("first")
        loop.call_soon(out.append, "next batch")
        loop.call_soon(loop.stop)

    loop.call_soon(first)
    loop.call_soon(out.append, "second")
    loop.run_forever()
    assert out == ["first", "second", "next batch"]


def test_stop_ends_after_the_current_batch(loop) -> None:
    out: list[str] = []
    loop.call_soon(loop.stop)
    loop.call_soon(out.append, "same batch")
    loop.call_soon(lambda: loop.call_soon(out.append, "not in this run"))
    loop.run_forever()
    assert out == ["same batch"]
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert out == ["same batch", "not in this run"]


def test_stop_before_running_runs_one_batch(loop) -> None:
    out: list[str] = []
    loop.stop()
    loop.call_soon(out.append, "once")
    loop.run_forever()
    assert out == ["once"]


def test_stop_from_a_task_and_from_a_timer(loop) -> None:
    async def main() -> None:
        loop.stop()

    task = loop.create_task(main())
    loop.run_forever()
    assert task.done()
    loop.call_later(0.001, loop.stop)
    loop.run_forever()


def test_a_busy_loop_does_not_starve_timers(loop) -> None:
    out: list[str] = []

    def spin() -> None:
        if not out:
            loop.call_soon(spin)

    spin()
    loop.call_later(0.01, out.append, "timer")
    loop.call_later(0.02, loop.stop)
    loop.run_forever()
    assert out == ["timer"]


def test_a_busy_loop_does_not_starve_io(loop) -> None:
    one, other = socket.socketpair()
    with one, other:
        got: list[bytes] = []

        def spin() -> None:
            if got:
                loop.stop()
            else:
                loop.call_soon(spin)

        loop.add_reader(one, lambda: got.append(one.recv(10)))
        loop.call_soon(other.send, b"x")
        spin()
        loop.run_forever()
        loop.remove_reader(one)
    assert got == [b"x"]


def test_busy_tasks_do_not_starve_io(loop) -> None:
    one, other = socket.socketpair()
    with one, other:
        got: list[bytes] = []

        async def spin() -> None:
            while not got:
                await asyncio.sleep(0)

        async def main() -> None:
            loop.add_reader(one, lambda: got.append(one.recv(10)))
            spinning = [loop.create_task(spin()) for _ in range(3)]
            other.send(b"x")
            await asyncio.wait(spinning)

        loop.run_until_complete(main())
        loop.remove_reader(one)
    assert got == [b"x"]


def test_ready_io_does_not_starve_callbacks(loop) -> None:
    one, other = socket.socketpair()
    with one, other:
        other.send(b"always there")
        rounds: list[int] = []

        def count() -> None:
            rounds.append(1)
            if len(rounds) < 50:
                loop.call_soon(count)
            else:
                loop.stop()

        loop.add_reader(one, lambda: None)
        loop.call_soon(count)
        loop.run_forever()
        loop.remove_reader(one)
    assert len(rounds) == 50


def test_threadsafe_calls_keep_their_place(loop) -> None:
    out: list[int] = []
    for i in range(6):
        (loop.call_soon if i % 2 else loop.call_soon_threadsafe)(out.append, i)
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert out == list(range(6))


def test_threads_wake_a_sleeping_loop(loop) -> None:
    """Many times over: a wake-up that is lost once in a while hangs here."""
    count = 0

    def answer() -> None:
        nonlocal count
        count += 1
        if count == 500:
            loop.stop()
        else:
            go.release()

    def thread() -> None:
        for _ in range(500):
            go.acquire()
            loop.call_soon_threadsafe(answer)

    go = threading.Semaphore(1)
    worker = threading.Thread(target=thread)
    worker.start()
    loop.run_forever()
    worker.join()
    assert count == 500


def test_many_threads_at_once(loop) -> None:
    out: list[tuple[int, int]] = []

    def thread(number: int) -> None:
        for i in range(200):
            loop.call_soon_threadsafe(out.append, (number, i))
        loop.call_soon_threadsafe(done.append, number)
        loop.call_soon_threadsafe(lambda: loop.stop() if len(done) == 4 else None)

    done: list[int] = []
    threads = [threading.Thread(target=thread, args=(n,)) for n in range(4)]
    for each in threads:
        each.start()
    loop.run_forever()
    for each in threads:
        each.join()
    for number in range(4):
        assert [i for n, i in out if n == number] == list(range(200))


def test_threadsafe_on_a_closed_loop() -> None:
    loop = hasten.new_event_loop()
    loop.close()
    for schedule in (loop.call_soon_threadsafe, loop.call_soon):
        with pytest.raises(RuntimeError, match="Event loop is closed"):
            schedule(print)
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        loop.call_later(1, print)
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        loop.run_forever()


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_exit_in_a_callback_leaves_the_loop_usable(loop, kind: type[BaseException]) -> None:
    out: list[str] = []

    def leave() -> None:
        raise kind

    loop.call_soon(out.append, "before")
    loop.call_soon(leave)
    loop.call_soon(out.append, "after")
    with pytest.raises(kind):
        loop.run_forever()
    assert out == ["before"]
    assert not loop.is_running()
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert out == ["before", "after"]


def test_exceptions_of_callbacks_do_not_stop_the_others(loop) -> None:
    told: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda loop, context: told.append(context))
    out: list[int] = []
    for i in range(5):
        loop.call_soon(out.append, i)
        loop.call_soon([].pop)
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert out == list(range(5))
    assert [type(context["exception"]) for context in told] == [IndexError] * 5


def test_exceptions_of_an_exception_handler(loop, caplog: Any) -> None:
    loop.set_exception_handler(lambda loop, context: 1 / 0)
    loop.call_soon([].pop)
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert "Unhandled error in exception handler" in caplog.text


def test_an_exit_from_an_exception_handler_comes_out(loop) -> None:
    def leave(loop: Any, context: Any) -> None:
        raise SystemExit(5)

    loop.set_exception_handler(leave)
    loop.call_soon([].pop)
    with pytest.raises(SystemExit):
        loop.run_forever()


@pytest.mark.skipif(sys.platform == "win32", reason="signals as POSIX has them")
class TestSignals:
    def test_a_handler_runs_in_the_loop(self, loop) -> None:
        out: list[Any] = []
        loop.add_signal_handler(signal.SIGUSR1, lambda *args: (out.append(args), loop.stop()), 1, 2)
        loop.call_soon(os.kill, os.getpid(), signal.SIGUSR1)
        loop.run_forever()
        assert out == [(1, 2)]
        assert loop.remove_signal_handler(signal.SIGUSR1)
        assert not loop.remove_signal_handler(signal.SIGUSR1)

    def test_a_sleeping_loop_is_woken(self, loop) -> None:
        loop.add_signal_handler(signal.SIGALRM, loop.stop)
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        loop.run_forever()
        loop.remove_signal_handler(signal.SIGALRM)

    def test_one_that_comes_while_the_loop_does_not_run_is_delivered_later(self, loop) -> None:
        out: list[str] = []

        def come() -> None:
            out.append("late")
            loop.stop()

        loop.add_signal_handler(signal.SIGUSR1, come)
        os.kill(os.getpid(), signal.SIGUSR1)
        assert out == []
        loop.run_forever()
        assert out == ["late"]
        loop.remove_signal_handler(signal.SIGUSR1)

    def test_a_python_handler_may_schedule(self, loop) -> None:
        """Of signal.signal(): it runs inside the wait, and what it schedules must end it."""
        before = signal.signal(signal.SIGALRM, lambda *args: loop.call_soon_threadsafe(loop.stop))
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.01)
            loop.run_forever()
        finally:
            signal.signal(signal.SIGALRM, before)

    @pytest.mark.usefixtures("no_collector")
    def test_a_python_handlers_exception_comes_out_of_the_wait(self, loop) -> None:
        def fail(*args: object) -> None:
            raise TimeoutError("mine")

        before = signal.signal(signal.SIGALRM, fail)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.01)
            with pytest.raises(TimeoutError, match="mine"):
                loop.run_forever()
        finally:
            signal.signal(signal.SIGALRM, before)
        loop.call_soon(loop.stop)
        loop.run_forever()

    @pytest.mark.usefixtures("no_collector")
    @pytest.mark.parametrize("where", ["callback", "task", "wait"])
    def test_ctrl_c(self, loop, where: str) -> None:
        before = signal.signal(signal.SIGINT, signal.default_int_handler)

        async def task() -> None:
            signal.raise_signal(signal.SIGINT)
            await asyncio.sleep(3600)

        made = None
        try:
            if where == "callback":
                loop.call_soon(signal.raise_signal, signal.SIGINT)
            elif where == "task":
                made = loop.create_task(task())
            else:
                killer = threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGINT))
                loop.call_soon(killer.start)  # not before: whoever runs the tests would get it
            with pytest.raises(KeyboardInterrupt):
                loop.run_forever()
        finally:
            signal.signal(signal.SIGINT, before)
            if where == "wait":
                killer.join()
        if made is not None:
            assert isinstance(made.exception(), KeyboardInterrupt)
        assert not loop.is_running()
        loop.call_soon(loop.stop)
        loop.run_forever()

    @pytest.mark.parametrize("sig", [None, "SIGINT", 1.5])
    def test_wrong_types(self, loop, sig: Any) -> None:
        with pytest.raises(TypeError):
            loop.add_signal_handler(sig, print)

    @pytest.mark.parametrize("sig", [0, -1, 1000])
    def test_wrong_numbers(self, loop, sig: int) -> None:
        with pytest.raises(ValueError, match="invalid signal number"):
            loop.add_signal_handler(sig, print)

    def test_one_that_cannot_be_caught(self, loop) -> None:
        with pytest.raises(RuntimeError, match="cannot be caught"):
            loop.add_signal_handler(signal.SIGKILL, print)

    def test_elsewhere_than_in_the_main_thread(self, loop) -> None:
        errors: list[BaseException] = []

        def thread() -> None:
            try:
                loop.add_signal_handler(signal.SIGUSR1, print)
            except RuntimeError as exc:
                errors.append(exc)

        each = threading.Thread(target=thread)
        each.start()
        each.join()
        assert len(errors) == 1

    def test_closing_gives_signals_back(self) -> None:
        loop = hasten.new_event_loop()
        loop.add_signal_handler(signal.SIGUSR1, print)
        loop.close()
        assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL


FORK = """
import asyncio, os, hasten
async def main():
    loop = asyncio.get_running_loop()
    pid = os.fork()
    if pid == 0:
        # a child may not go on with its parent's loop, but may have one of its own
        asyncio._set_running_loop(None)
        try:
            hasten.run(asyncio.sleep(0.001))
            os._exit(7)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
    _, status = await loop.run_in_executor(None, os.waitpid, pid, 0)
    await asyncio.sleep(0.001)
    print(os.waitstatus_to_exitcode(status))
hasten.run(main())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()")
def test_a_forked_child_has_a_loop_of_its_own() -> None:
    where = os.path.dirname(os.path.dirname(hasten.__file__))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": where},
        check=False,
    )
    assert (done.stdout.strip(), done.returncode) == ("7", 0), done.stderr


def test_task_factories_get_what_the_caller_gave(loop) -> None:
    seen: list[dict[str, Any]] = []

    def factory(loop: Any, coro: Any, **kwargs: Any) -> Any:
        seen.append(dict(kwargs))
        kwargs.pop("eager_start", None)
        return asyncio.Task(coro, loop=loop, **kwargs)

    async def nothing() -> str:
        return "ok"

    loop.set_task_factory(factory)
    assert loop.get_task_factory() is factory
    context = __import__("contextvars").copy_context()
    tasks = [loop.create_task(nothing()), loop.create_task(nothing(), context=context)]
    named = loop.create_task(nothing(), name="n")
    assert type(named) is asyncio.Task
    assert named.get_name() == "n"
    assert seen[:2] == [{}, {"context": context}]
    assert seen[2] in ({}, {"name": "n"})
    for task in [*tasks, named]:
        assert loop.run_until_complete(task) == "ok"
    loop.set_task_factory(None)
    task = loop.create_task(nothing())
    assert type(task) is hasten.Task
    loop.run_until_complete(task)
    with pytest.raises(TypeError):
        loop.set_task_factory(5)


def test_names_are_given_by_hasten_alone(loop) -> None:
    expected = f"<hasten.Loop running=False closed=False debug=False poller={loop._poller.name}>"
    assert repr(loop).replace("debug=True", "debug=False") == expected
    with pytest.raises(ValueError, match="is not a poller of this platform"):
        hasten.new_event_loop("kqueue9")


@pytest.mark.parametrize("again", [1, 5])
def test_a_loop_runs_again_and_again(loop, again: int) -> None:
    out: list[int] = []
    for i in range(again):
        loop.call_soon(out.append, i)
        loop.call_soon(loop.stop)
        loop.run_forever()
    assert out == list(range(again))


def test_close_while_it_runs_is_refused(loop) -> None:
    errors: list[str] = []

    def close() -> None:
        try:
            loop.close()
        except RuntimeError as exc:
            errors.append(str(exc))
        loop.stop()

    loop.call_soon(close)
    loop.run_forever()
    assert "Cannot close a running event loop" in errors[0]
