"""Recordings of programs with hostile names, recordings that are broken, and places that cannot be written to."""

from __future__ import annotations

import gzip
import json
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import hasten
from hasten.cli.main import main as command
from hasten.diagnosis import trace_file
from hasten.diagnosis.trace_file import TraceError

NAMES = ("</script><img src=x>", "two\nlines", "\ud800", "x" * 100_000, '"\\', "\x1b[31m")


@pytest.fixture
def good(tmp_path: Path) -> dict[str, Any]:
    """A recording's contents, with tasks of hostile names in it."""

    async def main() -> None:
        for name in NAMES:
            await hasten.create_task(hasten.sleep(0), name=name)

    with hasten.trace(tmp_path / "good.json"):
        hasten.run(main())
    found: dict[str, Any] = json.loads((tmp_path / "good.json").read_text())
    return found


def shown(path: Path, data: bytes) -> int:
    """Have a file made of it in both forms; return the exit status."""
    path.write_bytes(data)
    statuses = {command(["trace", str(path)]), command(["trace", str(path), "--perfetto"])}
    assert statuses <= {0, 1}
    return statuses.pop()


def test_hostile_names_are_shown(good: dict[str, Any], tmp_path: Path) -> None:
    assert {each["name"] for each in good["tasks"].values()} >= set(NAMES)
    assert shown(tmp_path / "b.json", json.dumps(good).encode()) == 0
    page = (tmp_path / "b.json.html").read_text()
    assert "</script><img" not in page
    assert page.count("</script>") == 1
    assert len(page) < 100_000  # a browser would measure the long name again and again


def test_a_name_of_a_file_that_is_no_text(good: dict[str, Any], tmp_path: Path, capfd: Any) -> None:
    try:
        path = tmp_path / os.fsdecode(b"\xff.json")
        assert shown(path, json.dumps(good).encode()) == 0
    except OSError:
        pytest.skip("this file system takes no such name")
    assert "wrote" in capfd.readouterr().out


@pytest.mark.parametrize("data", [b"", b"\x1f\x8b", b"[" * 100_000, b'{"hasten_trace": 1}', b"\xff", b"null"])
def test_rubbish_is_told_in_a_line(data: bytes, tmp_path: Path, capsys: Any) -> None:
    assert shown(tmp_path / "b.json", data) == 1
    assert capsys.readouterr().err.count("\n") == 2


def test_bits_that_turned_over_in_a_packed_file(good: dict[str, Any], tmp_path: Path) -> None:
    packed, rng = gzip.compress(json.dumps(good).encode()), random.Random(1)
    for _ in range(100):
        data = bytearray(packed)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        shown(tmp_path / "b.json", bytes(data))


def places(thing: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The ways to all that is in lists and dicts."""
    found = [at] if at else []
    for key in thing if isinstance(thing, dict) else range(len(thing)) if isinstance(thing, list) else ():
        found += places(thing[key], (*at, key))
    return found


def test_contents_of_wrong_kinds(good: dict[str, Any], tmp_path: Path) -> None:
    rng = random.Random(1)
    wrong = [None, 1, -1, 1e400, float("nan"), "x", [], {}, [[]], True, 10**30, {"a": []}, [1, 2, 3, 4, 5]]
    good["tasks"] = {key: each for key, each in good["tasks"].items() if len(each["name"] or "") < 100}
    everywhere = places(good)
    for _ in range(500):
        made = json.loads(json.dumps(good))
        *way, last = rng.choice(everywhere)
        inside = made
        for key in way:
            inside = inside[key]
        inside[last] = rng.choice(wrong)
        shown(tmp_path / "b.json", json.dumps(made).encode())


def test_what_is_wrong_is_told_in_a_short_line(good: dict[str, Any], tmp_path: Path) -> None:
    good["loops"][0]["events"][0][4] = ["y" * 1_000_000]
    path = tmp_path / "b.json"
    path.write_text(json.dumps(good))
    with pytest.raises(TraceError) as told:
        trace_file.read(path)
    assert len(str(told.value)) < 500 + len(str(path))


# ---- writing -------------------------------------------------------------------------------


def test_a_device_or_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    trace_file.write(pipe, {"loops": []})
    reader.join()
    assert read == [b'{"loops":[]}']
    assert pipe.is_fifo()
    link = tmp_path / "null"
    link.symlink_to("/dev/null")
    trace_file.write(link, {"loops": []})
    assert link.is_symlink()
    assert Path("/dev/null").is_char_device()


def test_a_link_goes_on_leading_where_it_leads(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "file")
    trace_file.write(link, {"loops": []})
    assert link.is_symlink()
    assert (tmp_path / "file").read_text() == '{"loops":[]}'


def test_the_longest_name_that_a_file_can_have(tmp_path: Path) -> None:
    for letter in ("x", "é"):
        path = tmp_path / (letter * (250 // len(letter.encode())) + ".json")
        trace_file.write(path, {"loops": []})
        assert path.read_text() == '{"loops":[]}'
    assert len(list(tmp_path.iterdir())) == 2


def test_a_signal_that_finds_no_place_to_write_to_does_no_harm(tmp_path: Path, caplog: Any) -> None:
    before = signal.getsignal(signal.SIGUSR2)
    with hasten.trace() as trace:
        trace.file = tmp_path / "not there" / "file"
        trace.write_on(signal.SIGUSR2)
        try:
            hasten.run(hasten.sleep(0))
            os.kill(os.getpid(), signal.SIGUSR2)
            trace.file = None  # for the end of the block
        finally:
            signal.signal(signal.SIGUSR2, before)
    assert "could not be written" in caplog.text


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_that_ends_leaves_the_file_to_its_parent(tmp_path: Path) -> None:
    file = tmp_path / "file"
    code = f"""
import os, sys
import hasten
from hasten.diagnosis import trace
trace.write_at_exit({str(file)!r})
hasten.run(hasten.sleep(0))
child = os.fork()
if child == 0:
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
print(os.path.exists({str(file)!r}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "False\n", done.stderr
    assert file.exists()


def test_loops_that_begin_in_many_threads_at_once_are_all_recorded() -> None:
    together = threading.Barrier(8)

    def work() -> None:
        together.wait()
        for _ in range(3):
            hasten.run(hasten.sleep(0))

    with hasten.trace() as trace:
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(trace.contents()["loops"]) >= 15  # of those that have ended, the latest are kept
