"""The thread that answers, asked from within its own process: who is let in, and what it says."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import shutil
import socket
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import hasten
from hasten.aio import companions
from hasten.core import attending
from hasten.diagnosis import asking, census, inspecting, meeting, sampling

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs unix sockets")


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The folder of the sockets, which others' programs do not use."""
    base = tempfile.mkdtemp(dir="/tmp")  # a socket's path has to be short
    place = f"{base}/hasten"
    monkeypatch.setattr(meeting, "folders", lambda uid, runtime: [place])
    yield place
    shutil.rmtree(base, ignore_errors=True)


@pytest.fixture
def inspector(folder: str) -> Iterator[inspecting.Inspector]:
    with hasten.inspect() as one:
        yield one


def ask(what: str = "ps") -> dict[str, Any]:
    return asking.ask(os.getpid(), what, 20)


# ---- the socket ---------------------------------------------------------------------------


def test_the_socket_is_the_users_alone(inspector: inspecting.Inspector, folder: str) -> None:
    assert inspector.path == f"{folder}/{os.getpid()}.sock"
    assert os.stat(folder).st_mode & 0o777 == 0o700
    assert hasten.inspect() is inspector
    assert ask()["process"]["pid"] == os.getpid()
    assert inspecting.how() == f"on: `hasten ps {os.getpid()}` by {inspector.path}"
    inspector.close()
    assert os.listdir(folder) == []
    assert inspector._thread not in threading.enumerate()
    inspector.close()
    with pytest.raises(asking.Unreachable, match=r"cannot be looked into: start it by `hasten run --inspect`"):
        ask()
    assert inspecting.how().startswith("off")


def test_a_folder_of_others_is_not_used(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkdir(folder, 0o755)
    os.chmod(folder, 0o755)
    with pytest.raises(PermissionError, match=r"others may enter it \(mode 0755\): chmod 700 it"):
        hasten.inspect()
    os.chmod(folder, 0o700)
    os.rename(folder, f"{folder}-real")
    os.symlink(f"{folder}-real", folder)
    with pytest.raises(PermissionError, match="it should be a folder, and is none"):
        hasten.inspect()
    os.unlink(folder)
    os.mkdir(folder, 0o700)
    real = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: real + 1)
    with pytest.raises(PermissionError, match=f"it belongs to user {real}, not to {real + 1}"):
        hasten.inspect()
    assert os.listdir(folder) == []
    assert inspecting.begin not in attending.on_run


def test_the_next_folder_is_used(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meeting, "folders", lambda uid, runtime: [f"{folder}/not/there", "/proc/self/x" * 20, folder])
    with hasten.inspect() as one:
        assert one.path.startswith(folder)
        assert ask()["process"]["pid"] == os.getpid()


def test_where_the_folders_are() -> None:
    assert meeting.folders(7, "/run/me")[0] == "/run/me/hasten"
    assert meeting.folders(987654, None) == ["/tmp/hasten-987654"]
    assert meeting.folders(987654, "not/absolute") == ["/tmp/hasten-987654"]


def test_what_the_dead_left_is_removed(folder: str) -> None:
    os.mkdir(folder, 0o700)
    with socket.socket(socket.AF_UNIX) as dead, socket.socket(socket.AF_UNIX) as alive:
        dead.bind(f"{folder}/1.sock")
        alive.bind(f"{folder}/2.sock")
        alive.listen()
        Path(folder, "3.txt").touch()
        with hasten.inspect():
            assert sorted(os.listdir(folder)) == sorted(["2.sock", "3.txt", f"{os.getpid()}.sock"])


@pytest.mark.skipif(sys.platform != "linux", reason="where the kernel tells who the other is")
def test_other_users_are_not_answered(inspector: inspecting.Inspector, monkeypatch: pytest.MonkeyPatch) -> None:
    real = meeting.peer
    uid = os.geteuid()
    monkeypatch.setattr(meeting, "may_ask", lambda who: who != uid)
    with pytest.raises(asking.Unreachable, match="has hung up"):
        ask()
    monkeypatch.undo()
    assert meeting.may_ask(uid)
    assert not meeting.may_ask(uid + 1)
    assert real(socket.socketpair()[0]) == (os.getpid(), uid)


# ---- peers that do harm -------------------------------------------------------------------


def connect(inspector: inspecting.Inspector) -> socket.socket:
    peer = socket.socket(socket.AF_UNIX)
    peer.settimeout(20)
    peer.connect(inspector.path)
    return peer


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (b"rubbish\n", "JSONDecodeError"),
        (b"\xff\xfe\xff\n", "Error"),
        (b"[]\n", "not protocol 1"),
        (b'{"protocol":2,"ask":"ps"}\n', "not protocol 1"),
        (b'{"protocol":1}\n', "not understood: 'None'"),
        (b'{"protocol":1,"ask":["ps"]}\n', "not understood"),
        (b"[" * 4000 + b"\n", "Error"),
    ],
    ids=lambda value: str(value[:12]),
)
def test_rubbish_is_answered(inspector: inspecting.Inspector, sent: bytes, told: str) -> None:
    with connect(inspector) as peer, peer.makefile("rb") as answers:
        peer.sendall(sent)
        assert told in json.loads(answers.readline())["error"]
        peer.sendall(b'{"protocol":1,"ask":"ps"}\n' * 2)
        assert json.loads(answers.readline())["process"] == json.loads(answers.readline())["process"] | {
            "now": pytest.approx(0, abs=1e12)
        }


def test_too_much_is_not_listened_to(inspector: inspecting.Inspector) -> None:
    with connect(inspector) as peer:
        try:
            peer.sendall(b"x" * 100_000)
            received = peer.recv(10)
        except (BrokenPipeError, ConnectionResetError):
            received = b""
        assert received == b""
    assert ask()["process"]


def test_who_says_nothing_holds_nobody_up(inspector: inspecting.Inspector, monkeypatch: pytest.MonkeyPatch) -> None:
    with connect(inspector), connect(inspector) as half:
        half.sendall(b'{"protocol":1,')
        assert ask()["process"]
    monkeypatch.setattr(inspecting, "PATIENCE", 0.05)
    with connect(inspector) as peer:
        assert peer.recv(1) == b""  # it was left


def test_only_so_many_at_a_time(inspector: inspecting.Inspector) -> None:
    peers = [connect(inspector) for _ in range(inspecting.MOST_PEERS)]
    with connect(inspector) as one_more:
        assert one_more.recv(1) == b""
    for peer in peers:
        peer.close()
    deadline = threading.Event()
    while True:
        try:
            assert ask()["process"]
            break
        except asking.Unreachable:  # it has not noticed yet that they are gone
            deadline.wait(0.01)


def test_an_answer_that_nobody_takes(inspector: inspecting.Inspector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(census, "census", lambda loops: {"filler": "x" * 10_000_000, "tasks": []})
    with connect(inspector) as peer:
        peer.sendall(b'{"protocol":1,"ask":"ps"}\n')
        assert len(ask()["filler"]) == 10_000_000  # nobody waits for it
        (other,) = (each for each in list(inspector._peers.values()) if each._left)
        other.deadline = 0.0  # as if its time had come
        assert len(ask()["filler"]) == 10_000_000
        received = 0
        while data := peer.recv(1 << 20):
            received += len(data)
        assert received < 10_000_000


# ---- what is told -------------------------------------------------------------------------


class Loose:
    """An awaitable of the program's own, of which nothing may be called."""

    def __await__(self) -> Any:
        return (yield from hasten.sleep(1000).__await__())

    def __getattr__(self, name: str) -> Any:
        pytest.fail(f"{name} was looked up")

    def __repr__(self) -> str:
        pytest.fail("it was shown")


async def sleeps() -> None:
    await hasten.sleep(1000)


async def gathers() -> None:
    await hasten.gather(sleeps(), sleeps())


async def groups() -> None:
    async with hasten.TaskGroup() as group:
        group.create_task(sleeps())


async def limited() -> None:
    await hasten.wait_for(sleeps(), 1000)


async def waits_for(task: Any) -> None:
    await task


async def numbers() -> Any:
    await hasten.sleep(1000)
    yield 1


async def iterates() -> None:
    async for _ in numbers():
        pass


async def own(awaitable: Any) -> None:
    await awaitable


async def queued(queue: Any) -> None:
    await queue.get()


def run_with(*factories: Callable[[], Any], stock: bool = False) -> dict[str, dict[str, Any]]:
    """Run a task of each, look when all wait, and return what was told, by name."""
    found: dict[str, Any] = {}

    async def main() -> None:
        loop = asyncio.get_running_loop()
        make: Any = asyncio.Task if stock else loop.create_task
        tasks = [make(factory(), name=f"t{number}") for number, factory in enumerate(factories)]
        for _ in range(5):
            await hasten.sleep(0)
        found.update(await loop.run_in_executor(None, ask))
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    hasten.run(main())
    told = {task["name"]: task for task in found["tasks"]}
    told["loops"] = found["loops"]
    return told


def test_where_tasks_stand(inspector: inspecting.Inspector) -> None:
    queue: Any = hasten.Queue()
    told = run_with(
        sleeps,
        gathers,
        groups,
        limited,
        iterates,
        lambda: own(Loose()),
        lambda: queued(queue),
        lambda: hasten.sleep(99),
    )
    names = {name: [place[2] for place in task["stands"]] for name, task in told.items() if name[0] == "t"}
    assert names == {
        "t0": ["sleeps"],
        "t1": ["gathers"],
        "t2": ["groups"],
        "t3": ["limited", "sleeps"],
        "t4": ["iterates", "numbers"],
        "t5": ["own", "Loose.__await__"],
        "t6": ["queued"],
        "t7": [],
    }
    awaits = {name: task["awaits"] for name, task in told.items() if name[0] == "t"}
    assert awaits == {
        "t0": "sleep",
        "t1": "gather",
        "t2": "TaskGroup.__aexit__",
        "t3": "sleep",
        "t4": "sleep",
        "t5": "sleep",
        "t6": "Queue.get",
        "t7": "sleep",
    }
    t0 = told["t0"]
    code = sleeps.__code__
    assert t0["stands"] == [[__file__, code.co_firstlineno + 1, "sleeps"]]
    assert t0["made"][0] == __file__
    assert ".main" in t0["made"][2]
    assert t0["state"] == "waiting"
    assert told["t1"]["coroutine"] == "gathers"
    parents = sorted(task["parent"] for name, task in told.items() if name.startswith("Task-") and task["parent"])
    assert parents == sorted([told["t1"]["id"]] * 2 + [told["t2"]["id"]])
    (loop,) = told["loops"]
    assert loop["thread"] == threading.current_thread().name
    assert loop["thread_id"] == threading.get_ident()


def test_who_waits_for_a_task(inspector: inspecting.Inspector) -> None:
    made: list[Any] = []

    def first() -> Any:
        return sleeps()

    def second() -> Any:
        made.append(next(task for task in hasten.all_tasks() if task.get_name() == "t0"))
        return waits_for(made[0])

    told = run_with(first, second)
    assert told["t0"]["parent"] == told["t1"]["id"]
    assert told["t1"]["awaits"] == "task t0"


def test_stock_tasks_are_told(inspector: inspecting.Inspector) -> None:
    told = run_with(sleeps, stock=True)
    assert told["t0"]["coroutine"] == "sleeps"
    assert told["t0"]["awaits"] == "sleep"
    assert told["t0"]["made"] is None


def test_loops_of_several_threads(inspector: inspecting.Inspector) -> None:
    ready, end = threading.Event(), threading.Event()

    async def other() -> None:
        ready.set()
        await hasten.to_thread(end.wait)

    thread = threading.Thread(target=lambda: hasten.run(other()), name="the other")
    thread.start()
    assert ready.wait(20)
    told = run_with(sleeps)
    end.set()
    thread.join()
    assert sorted(loop["thread"] for loop in told["loops"]) == sorted(["the other", threading.current_thread().name])


def test_a_running_task_shows_where_it_is(inspector: inspecting.Inspector) -> None:
    found: dict[str, Any] = {}

    def deep() -> None:
        thread = threading.Thread(target=lambda: found.update(ask("dump")))
        thread.start()
        thread.join()

    async def main() -> None:
        deep()

    hasten.run(main())
    (task,) = found["tasks"]
    assert task["state"] == "running"
    names = [place[2].rpartition(".")[2] for place in task["stands"]]
    assert names[:2] == ["main", "deep"]
    (thread,) = (each for each in found["threads"] if each["id"] == threading.get_ident())
    assert [place[2].rpartition(".")[2] for place in thread["stack"]][-len(names) :] == names
    assert "hasten-inspect" not in {each["name"] for each in found["threads"]}


class Hostile(hasten.Task):  # type: ignore[type-arg]
    """A task whose methods and comparisons are the program's own."""

    def get_name(self) -> str:
        pytest.fail("get_name was called")

    def done(self) -> bool:
        # from 3.14 on asyncio.all_tasks(), the only way to stock tasks, asks each task that is not in C
        if threading.current_thread().name == "hasten-inspect" and sys.version_info < (3, 14):
            pytest.fail("done was called")
        return super().done()

    def __repr__(self) -> str:
        pytest.fail("it was shown")

    def __eq__(self, other: object) -> bool:
        pytest.fail("it was compared")

    __hash__ = hasten.Task.__hash__


class Name(str):
    def __str__(self) -> str:
        return self

    def __len__(self) -> int:
        pytest.fail("its length was asked")


def test_nothing_of_the_programs_is_called(inspector: inspecting.Inspector) -> None:
    found: dict[str, Any] = {}

    async def main() -> None:
        loop = asyncio.get_running_loop()
        task = Hostile(sleeps(), loop=loop, name=Name("hostile\x1b[31m"))
        await hasten.sleep(0)
        found.update(await loop.run_in_executor(None, ask))
        task.cancel()

    hasten.run(main())
    assert "hostile\x1b[31m" in {task["name"] for task in found["tasks"]}
    assert not any("cannot be looked into" in task["coroutine"] for task in found["tasks"])


def test_nothing_is_kept_alive(inspector: inspecting.Inspector) -> None:
    left: list[weakref.ref[Any]] = []

    class Local:
        pass

    async def holds() -> None:
        local = Local()
        left.append(weakref.ref(local))
        await hasten.sleep(1000)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        left.append(weakref.ref(loop))
        task = loop.create_task(holds())
        left.append(weakref.ref(task))
        await hasten.sleep(0)
        for what in ("ps", "dump", "top"):
            await loop.run_in_executor(None, ask, what)
        task.cancel()

    hasten.run(main())
    gc.collect()
    assert [reference() for reference in left] == [None, None, None]
    assert inspecting.loops() == []


def test_more_tasks_than_are_looked_at(folder: str) -> None:
    async def main() -> dict[str, Any]:
        tasks = [hasten.create_task(sleeps()) for _ in range(9)]
        await hasten.sleep(0)
        found = census.census([asyncio.get_running_loop()], most=5)
        for task in tasks:
            task.cancel()
        return found

    before = len(census.unfinished([]))  # tasks of the interpreter's own that have ended, while a test keeps them
    found = hasten.run(main())
    assert len(found["tasks"]) == 5
    assert found["tasks_in_all"] == before + 10


# ---- watching -----------------------------------------------------------------------------


@pytest.fixture
def sampler() -> Iterator[sampling.Sampler]:
    one = sampling.Sampler()
    yield one
    one.close()
    assert sampling._samplers == []


def test_what_is_seen_of_a_batch_that_goes_on(sampler: sampling.Sampler) -> None:
    """Looks from another thread at a callback that blocks until it has been looked at."""

    def looks(loop: Any, done: threading.Event) -> None:
        for _ in range(5):
            sampler.sample([loop])
        done.set()

    async def blocks() -> None:
        done = threading.Event()
        thread = threading.Thread(target=looks, args=(asyncio.get_running_loop(), done))
        thread.start()
        done.wait()
        thread.join()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        sampler.report([loop])
        await hasten.create_task(blocks())
        told = sampler.report([loop])
        (one,) = told["loops"]
        assert one["busy"] == 1.0
        assert one["lag"] > 0
        assert one["tasks"] == 1
        assert told["looks"] == 5
        (busy,) = told["busy"]
        assert busy["share"] == 1.0
        assert busy["root"][2].endswith("blocks")
        assert busy["root"][1] == blocks.__code__.co_firstlineno
        assert told["groups"][0][1] == 1
        (longest,) = told["longest"]
        assert longest["coroutine"].endswith("main")
        assert sampler.report([loop])["busy"] == []

    hasten.run(main())


def test_a_loop_that_sleeps_is_not_busy(sampler: sampling.Sampler) -> None:
    def looks(loop: Any) -> None:
        while not loop._poller.sleeping:
            pass
        for _ in range(3):
            sampler.sample([loop])

    async def main() -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, looks, loop)
        (told,) = sampler.report([loop])["loops"]
        assert told["busy"] == 0.0
        assert told["lag"] == 0.0

    hasten.run(main())


def test_who_stands_longest(sampler: sampling.Sampler) -> None:
    """A task that has waited for one thing after the other in the same line has not stood there."""

    async def again(events: list[Any]) -> None:
        for event in events:
            await event.wait()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        events = [hasten.Event(), hasten.Event()]
        task = loop.create_task(again(events))
        still = loop.create_task(sleeps())
        await hasten.sleep(0)
        sampler.report([loop])
        events[0].set()
        for _ in range(3):
            await hasten.sleep(0)
        told = {each["coroutine"].rpartition(".")[2]: each for each in sampler.report([loop])["longest"]}
        assert told["again"]["seconds"] == 0
        assert told["sleeps"]["seconds"] > 0
        seconds = sampler.report([loop])["longest"][0]["seconds"]
        assert seconds > told["sleeps"]["seconds"]
        task.cancel()
        still.cancel()

    hasten.run(main())


# ---- switched on by the environment, and after a fork ---------------------------------------


def test_values_of_the_variable() -> None:
    assert companions.asked_for({}) == companions.asked_for({"HASTEN_INSPECT": "0"}) == []
    assert len(companions.asked_for({"HASTEN_INSPECT": "1"})) == 1
    with pytest.warns(RuntimeWarning, match="HASTEN_INSPECT='yes': 1 switches it on"):
        assert companions.asked_for({"HASTEN_INSPECT": "yes"}) == []


def test_the_environment_switches_it_on_when_a_loop_runs(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attending, "on_run", companions.asked_for({"HASTEN_INSPECT": "1"}))

    async def main() -> dict[str, Any]:
        return await hasten.to_thread(ask)

    try:
        assert [task["coroutine"].rpartition(".")[2] for task in hasten.run(main())["tasks"]][:1] == ["main"]
    finally:
        assert inspecting._inspector is not None
        inspecting._inspector.close()


def test_a_companion_that_fails_does_not_stop_the_loop(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[Any] = []

    def fails(loop: Any) -> None:
        calls.append(loop)
        raise ValueError("unforeseen")

    monkeypatch.setattr(attending, "on_run", [fails])
    for _ in range(2):
        hasten.run(hasten.sleep(0))
    assert len(calls) == 1
    assert "unforeseen" in caplog.text


def test_no_safe_place_does_not_stop_the_loop(
    folder: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    os.mkdir(folder)
    os.chmod(folder, 0o777)
    monkeypatch.setattr(attending, "on_run", [inspecting.begin])
    for _ in range(2):
        hasten.run(hasten.sleep(0))
    assert caplog.text.count("cannot be looked into") == 1
    assert "chmod 700" in inspecting.how()
    monkeypatch.setattr(inspecting, "_failed", None)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_has_its_own(inspector: inspecting.Inspector, folder: str) -> None:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(reader)
            before = inspecting._inspector

            async def main() -> None:
                os.write(writer, json.dumps([before is None, sorted(os.listdir(folder))]).encode())
                told = await hasten.to_thread(ask)
                os.write(writer, b"\n" + str(told["process"]["pid"]).encode())

            hasten.run(main())
            inspecting._inspector.close()  # type: ignore[union-attr]
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader) as file:
        none, sockets = json.loads(file.readline())
        assert none
        assert sockets == sorted([f"{os.getpid()}.sock", f"{pid}.sock"])
        assert int(file.readline()) == pid
    assert os.waitpid(pid, 0)[1] == 0
    assert os.listdir(folder) == [f"{os.getpid()}.sock"]
    assert ask()["process"]["pid"] == os.getpid()
