"""hasten.trace(): what is recorded, the file of it, and what is made of the file."""

from __future__ import annotations

import gc
import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from typing import Any

import pytest

import hasten
from hasten.cli.main import main as command
from hasten.diagnosis import recorder, trace_file, trace_page
from hasten.diagnosis.trace_file import TraceError

PROGRAM = """\
import asyncio, time

async def child(event):
    await event.wait()
    time.sleep(0.12)

async def main():
    event = asyncio.Event()
    task = asyncio.create_task(child(event), name="the </script> child")
    await asyncio.sleep(0.001)
    event.set()
    await task

asyncio.run(main())
"""


def recorded(main: Any, **options: Any) -> dict[str, Any]:
    with hasten.trace(**options) as trace:
        hasten.run(main)
    return trace.contents()


def kinds_of(found: dict[str, Any], title: str) -> list[str]:
    """The events of the task whose coroutine's name ends so."""
    [number] = [int(key) for key, each in found["tasks"].items() if str(each["coroutine"]).endswith(title)]
    return [kind for loop in found["loops"] for _, kind, task, _, _ in loop["events"] if task == number]


def test_the_events_of_a_task_with_its_name_and_place() -> None:
    async def child() -> None:
        await hasten.sleep(0)

    async def main() -> None:
        await hasten.create_task(child(), name="a child")

    found = recorded(main())
    [child_] = [each for each in found["tasks"].values() if each["name"] == "a child"]
    assert child_["coroutine"].endswith("child")
    assert re.search(r"test_trace\.py:\d+$", child_["made"])
    steps = ["step begins", "step ends"]
    assert kinds_of(found, "locals>.child") == ["made", *steps, "step begins", "ended", "step ends"]
    assert kinds_of(found, "locals>.main")[-3:] == ["step begins", "ended", "step ends"]


def test_a_task_of_hastens_own_coroutine_has_its_name() -> None:
    async def main() -> None:
        await hasten.create_task(hasten.sleep(0), name="now")
        await hasten.create_task(hasten.sleep(0.001), name="soon")
        await hasten.create_task(hasten.Queue().join(), name="joins")

    tasks = {each["name"]: each["coroutine"] for each in recorded(main())["tasks"].values()}
    assert tasks["now"] == tasks["soon"] == "sleep"
    assert tasks["joins"] == "Queue.join"


def test_times_are_microseconds_that_grow() -> None:
    async def main() -> None:
        await hasten.sleep(0.05)
        time.sleep(0.05)  # noqa: ASYNC251 # work

    found = recorded(main())
    events = found["loops"][0]["events"]
    times = [event[0] for event in events]
    assert times == sorted(times)
    assert times[-1] - times[0] >= 100_000
    assert times[-1] < 60_000_000
    slept = [when for when, kind, *_ in events if kind == "poll begins"]
    assert slept


def test_who_wakes_whom_and_who_waits_for_whom() -> None:
    async def main() -> None:
        event = hasten.Event()

        async def waits() -> None:
            await event.wait()

        task = hasten.create_task(waits())
        await hasten.sleep(0)
        event.set()
        await task

    found = recorded(main())
    numbers = {str(each["coroutine"]).rpartition(".")[2]: int(key) for key, each in found["tasks"].items()}
    events = found["loops"][0]["events"]
    woken = next((task, other) for _, kind, task, other, _ in events if kind == "woken")
    assert woken == (numbers["waits"], numbers["main"])
    assert (numbers["main"], numbers["waits"]) in [(task, by) for _, kind, task, by, _ in events if kind == "parked"]
    assert (numbers["waits"], numbers["main"]) in [(task, by) for _, kind, task, by, _ in events if kind == "made"]


def test_callbacks_have_their_names() -> None:
    class Callable:
        def __call__(self) -> None:
            pass

        def __getattr__(self, name: str) -> Any:
            raise AssertionError(f"asked for {name}")

        def method(self) -> None:
            pass

    def function() -> None:
        pass

    async def main() -> None:
        loop = hasten.get_running_loop()
        thing = Callable()
        for callback in (function, thing, thing.method, [].clear):
            loop.call_soon(callback)
        await hasten.sleep(0)

    found = recorded(main())
    labels = [label for _, kind, *_, label in found["loops"][0]["events"] if kind == "callback begins"]
    for wanted in ("locals>.function", "Callable", "Callable.method", "list.clear"):
        assert any(label.endswith(wanted) for label in labels), (wanted, labels)


def test_the_ring_keeps_the_latest_and_counts_what_is_lost() -> None:
    async def main() -> None:
        for _ in range(1000):
            await hasten.sleep(0)

    found = recorded(main(), events=100)
    loop = found["loops"][0]
    assert len(loop["events"]) == 128
    assert loop["lost"] > 1000
    assert loop["events"][-1][1] == "loop ends"
    assert any(str(each["coroutine"]).endswith("main") for each in found["tasks"].values())


@pytest.mark.parametrize("events", [0, -1, 1 << 27, "many", 2.0])
def test_a_wrong_number_of_events(events: Any) -> None:
    with pytest.raises(ValueError, match="a number from 1 to"):
        hasten.trace(events=events)


def test_nothing_is_kept_alive() -> None:
    class Thing:
        pass

    gone = []

    async def work(thing: Thing) -> None:
        await hasten.sleep(0)

    def callback(thing: Thing) -> None:
        pass

    async def main() -> None:
        loop = hasten.get_running_loop()
        for _ in range(3):
            thing = Thing()
            gone.append(weakref.ref(thing))
            await hasten.create_task(work(thing))
            loop.call_soon(callback, thing)
            del thing
        gone.append(weakref.ref(loop))

    with hasten.trace() as trace:
        hasten.run(main())
        gc.collect()
        assert [each() for each in gone] == [None] * 4
        assert len(trace.contents()["loops"]) == 1


def test_loops_of_several_threads_have_rings_of_their_own() -> None:
    with hasten.trace() as trace:
        threads = [
            threading.Thread(target=lambda: hasten.run(hasten.sleep(0.001)), name=f"thread {i}") for i in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(loop["thread"] for loop in trace.contents()["loops"]) == ["thread 0", "thread 1", "thread 2"]


def test_begun_and_stopped_in_the_middle_of_a_run() -> None:
    async def main() -> dict[str, Any]:
        trace = hasten.trace()
        await hasten.create_task(hasten.sleep(0), name="seen")
        trace.stop()
        trace.stop()
        await hasten.create_task(hasten.sleep(0), name="not seen")
        return trace.contents()

    found = hasten.run(main())
    names = {each["name"] for each in found["tasks"].values()}
    assert "seen" in names
    assert "not seen" not in names


def test_written_and_read_packed_and_not(tmp_path: Path) -> None:
    for name in ("t.json", "t.json.gz"):
        with hasten.trace(tmp_path / name):
            hasten.run(hasten.sleep(0))
        assert trace_file.read(tmp_path / name)["hasten_trace"] == 1
    assert gzip.decompress((tmp_path / "t.json.gz").read_bytes()).startswith(b"{")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.json", "t.json.gz"]


def test_written_without_a_file_or_to_one_that_cannot_be(tmp_path: Path) -> None:
    trace = hasten.trace()
    trace.stop()
    with pytest.raises(ValueError, match="a file is needed"):
        trace.write()
    with pytest.raises(FileNotFoundError):
        trace.write(tmp_path / "nowhere" / "t.json")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        trace.write(tmp_path / "folder")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]  # no half file is left


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals on Windows")
def test_written_on_a_signal(tmp_path: Path) -> None:
    file = tmp_path / "t.json"
    before = signal.getsignal(signal.SIGUSR2)
    try:
        with hasten.trace(file) as trace:
            trace.write_on(signal.SIGUSR2)

            async def main() -> None:
                os.kill(os.getpid(), signal.SIGUSR2)
                while not file.exists():
                    await hasten.sleep(0)

            hasten.run(main())
    finally:
        signal.signal(signal.SIGUSR2, before)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", "no recording"),
        ("[1, 2]", "no recording"),
        ("{}", "no recording"),
        ('{"hasten_trace": 99}', "another version"),
        ('{"hasten_trace": 1}', "broken"),
        ('{"hasten_trace": 1, "tasks": {}, "loops": [{"thread": "x", "events": [[1, "what", 0, 0, null]]}]}', "broken"),
        ('{"hasten_trace": 1, "tasks": [], "loops": []}', "broken"),
        ("\x1f\x8b broken", "no recording"),
    ],
)
def test_a_file_that_is_something_else(tmp_path: Path, text: str, wanted: str, capsys: Any) -> None:
    file = tmp_path / "t.json"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(TraceError, match=wanted):
        trace_file.read(file)
    assert command(["trace", str(file)]) == 1
    assert wanted in capsys.readouterr().err


def run_program(tmp_path: Path) -> Path:
    program, file = tmp_path / "program.py", tmp_path / "t.json"
    program.write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, "-m", "hasten", "run", "--trace", file, program], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert f"wrote {file}" in done.stderr
    return file


def test_hasten_run_trace_and_hasten_trace(tmp_path: Path, capsys: Any) -> None:
    file = run_program(tmp_path)
    assert command(["trace", str(file)]) == 0
    page = (tmp_path / "t.json.html").read_text()
    assert page.count("</script>") == 1  # that in the task's name ends nothing
    assert "the \\u003c/script> child" in page
    assert command(["trace", str(file), "--perfetto", "--output", str(tmp_path / "p.json")]) == 0
    events = json.loads((tmp_path / "p.json").read_text())["traceEvents"]
    assert any(event["ph"] == "X" and event["dur"] >= 120_000 and event["tid"] for event in events)
    named = [event["args"]["name"] for event in events if event["name"] == "thread_name"]
    assert "the </script> child (child)" in named
    assert command(["trace", str(file), "--perfetto", "--output=-"]) == 0
    assert json.loads(capsys.readouterr().out.partition("\n")[2].partition("\n")[2])["traceEvents"]


def test_a_program_that_fails_is_written_too(tmp_path: Path) -> None:
    file = tmp_path / "t.json"
    code = "import asyncio\nasync def main(): 1/0\nasyncio.run(main())"
    command_ = [sys.executable, "-m", "hasten", "run", f"--trace={file}", "-c", code]
    done = subprocess.run(command_, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
    assert trace_file.read(file)["loops"]


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["run", "--trace"], "needs a file"),
        (["run", "--trace", "nowhere/at/all.json", "x.py"], "no folder"),
        (["trace"], "one recording, not 0"),
        (["trace", "a", "b"], "one recording, not 2"),
        (["trace", "--what", "a"], "no option"),
        (["trace", "a", "--output"], "needs a file"),
    ],
)
def test_wrong_command_lines(words: list[str], wanted: str, capsys: Any, monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert command(words) == 2
    assert wanted in capsys.readouterr().err


def test_a_recording_that_is_not_there(capsys: Any, tmp_path: Path) -> None:
    assert command(["trace", str(tmp_path / "none.json")]) == 1
    assert "No such file" in capsys.readouterr().err


def test_a_recorder_that_was_not_made_well() -> None:
    with pytest.raises(ValueError, match="power of two"):
        recorder.Recorder(100, "")
    with pytest.raises(ValueError, match="power of two"):
        recorder.Recorder(0, "")
    with pytest.raises(ValueError, match="at most 67108864"):  # before any memory is asked for
        recorder.Recorder(2**31, "")
    empty = recorder.Recorder.__new__(recorder.Recorder)
    if hasattr(recorder, "__pyx_capi__"):  # uncompiled, it has no fields yet
        empty.step_begins(None)
        empty.task_ended(None)


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# Does what a user does, and writes what the page then shows into the document.
USER = """<script>
const seen = [];
addEventListener("error", event => seen.push("error: " + event.message));
const told = () => document.getElementById("told").textContent;
document.getElementById("next").click(); seen.push(told());
document.getElementById("all").click();
const span = to - from;
canvas.dispatchEvent(new WheelEvent("wheel", { deltaY: -100, offsetX: 600, bubbles: true, cancelable: true }));
seen.push("zoomed " + (to - from < span));
document.getElementById("search").value = "child"; search(); seen.push("rows " + rows.length);
document.getElementById("search").value = ""; search(); seen.push("rows " + rows.length);
chosen = find(10, 24 + 22 * 2 + 5); tell(chosen); draw(); seen.push(told());
document.body.innerHTML = "<pre></pre>"; document.querySelector("pre").textContent = seen.join("|");
</script></body>"""


@pytest.mark.slow  # starts a browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here to show the page with")
def test_the_page_in_a_browser(tmp_path: Path) -> None:
    assert CHROMIUM is not None
    file = run_program(tmp_path)
    page = tmp_path / "page.html"
    page.write_text(trace_page.page(trace_file.read(file), "t").replace("</body>", USER))
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile", "--dump-dom"]
    done = subprocess.run(
        [CHROMIUM, *options, page.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "HOME": str(tmp_path), "LD_PRELOAD": ""},  # no sanitizers in the browser
    )
    [shown] = re.findall("<pre>(.*?)</pre>", done.stdout, re.DOTALL)
    assert "error" not in shown
    assert "nothing else ran on this loop meanwhile" in shown
    assert "zoomed true" in shown
    assert re.search(r"rows 2\|rows [3-9]", shown)
    assert "the &lt;/script&gt; child (child), made at" in shown
