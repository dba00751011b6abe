"""The programs of `users` whose libraries are there for tests anyway, and run_users.py itself with small programs."""

from __future__ import annotations

import functools
import importlib.util
import sys
from pathlib import Path

import pytest

HERE = str(Path(__file__).parent)
if HERE not in sys.path:
    sys.path.insert(0, HERE)

import run_users  # noqa: E402 - found through the line above
from suites import report, users  # noqa: E402
from suites.users import USERS, WAYS, Outcome, User  # noqa: E402

NEEDED = {
    "anyio_processes": ("anyio",),
    "file_responses": ("aiohttp", "trustme"),
    "nginx_peers": ("aiohttp", "trustme"),
}


@functools.cache
def outcome(name: str, way: str) -> Outcome:
    return users.run(USERS[name], way, sys.executable)


@pytest.mark.slow  # whole programs, some with servers, on both loops
@pytest.mark.timeout(3 * users.LIMIT)
@pytest.mark.parametrize("way", WAYS[1:])
@pytest.mark.parametrize("name", NEEDED)
def test_a_user(name: str, way: str) -> None:
    absent = [library for library in NEEDED[name] if importlib.util.find_spec(library) is None]
    if why := ", ".join(absent) or USERS[name].missing:
        pytest.skip(f"not there: {why}")
    stock, ours = outcome(name, "asyncio"), outcome(name, way)
    assert not stock.fault(), stock.errors
    assert not ours.fault(stock), ours.errors


PROGRAM = '''"""Nothing: a small program."""

import asyncio
import multiprocessing
import sys

from common import python, right_loop


async def look(spawned=False):
    right_loop(spawned=spawned)


async def start():
    right_loop()
    process = await asyncio.create_subprocess_exec(*python(__file__, "child"))
    print("child", await process.wait())


def run(spawned):
    asyncio.run(look(spawned))


if sys.argv[1:] == ["child"]:
    asyncio.run(look())
elif __name__ == "__main__":
    asyncio.run(start())
    for kind in ("fork", "spawn"):
        process = multiprocessing.get_context(kind).Process(target=run, args=(kind == "spawn",))
        process.start()
        process.join()
        print(kind, process.exitcode)
'''


def small(folder: Path, text: str) -> User:
    (folder / "small.py").write_text(text)
    return User("small", (), (), folder=folder)


@pytest.mark.parametrize("way", WAYS)
def test_the_ways(way: str, tmp_path: Path) -> None:
    """Each process of a program has its way's loop: forked ones, and those that another Python has started."""
    user = small(tmp_path, PROGRAM)
    found = users.run(user, way, sys.executable)
    assert (found.status, found.output) == (0, "child 0\nfork 0\nspawn 0\n"), found.errors
    assert user.does == ("Nothing", "a small program")


def test_the_wrong_loop_is_seen(tmp_path: Path) -> None:
    text = PROGRAM.replace("import asyncio", "import asyncio, os; os.environ['USERS_WAY'] = 'install'", 1)
    found = users.run(small(tmp_path, text), "asyncio", sys.executable)
    assert "on asyncio, not on hasten" in found.fault()


def test_what_is_a_fault() -> None:
    stock = Outcome("asyncio", 0, "one\ntwo\n", "DeprecationWarning: <a at 0x12>\nsaid 1\n")
    assert not stock.fault()
    assert not Outcome("loop", 0, stock.output, "DeprecationWarning: <a at 0x34>\nsaid 2\n").fault(stock)
    assert "exit status 1: ValueError: no" in Outcome("loop", 1, "", "Traceback\nValueError: no\n").fault(stock)
    assert "no end" in Outcome("loop", None, "one\n", "").fault(stock)
    assert Outcome("loop", 0, "one\n2\n", "").fault(stock) == "printed '2', on asyncio 'two'"
    assert Outcome("loop", 0, "one\n", "").fault(stock) == "printed '(the end)', on asyncio 'two'"
    assert Outcome("loop", 0, "one\ntwo\n3\n", "").fault(stock) == "printed '3', on asyncio '(the end)'"
    complaint = Outcome("loop", 0, stock.output, "Task exception was never retrieved\n")
    assert complaint.fault(stock) == "complained: Task exception was never retrieved"
    # each calls its own transports
    theirs = Outcome("asyncio", 0, "", "a.py:1: ResourceWarning: unclosed transport <_UnixReadPipeTransport fd=8 open>")
    assert not Outcome("run", 0, "", "<sys>:0: ResourceWarning: unclosed transport <ReadPipeTransport fd=5>").fault(
        theirs
    )
    # where asyncio's loop fails there is nothing to compare with
    assert not complaint.fault(Outcome("asyncio", 1, "", "failed"))


def test_the_page_gets_the_table(tmp_path: Path) -> None:
    row = {
        "program": "small",
        "libraries": "small 1.0",
        "python": "3.13.0",
        "used": "small",
        "does": "nothing",
        "ways": {"asyncio": "passed", "loop": "passed", "install": "fails"},
        "notes": ["install: printed 'a|b'"],
    }
    assert not run_users._good(row)
    page = tmp_path / "page.md"
    page.write_text(f"before\n{run_users.BEGIN}\nold\n{run_users.END}\nafter\n")
    report.record(tmp_path / "records", [{**row, "libraries": "small 0.9"}], "program")
    report.record(tmp_path / "records", [{**row, "program": "large", "libraries": "large 2.0"}], "program")
    report.record(tmp_path / "records", [row], "program")
    report.put(page, run_users.BEGIN, run_users.END, run_users.table(report.records(tmp_path / "records")))
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "| small 1.0 | 3.13.0 | small: nothing | passed | passed | fails |  | install: printed 'a\\|b' |" in text
    assert "| large 2.0 |" in text
    assert "small 0.9" not in text
    assert "old" not in text


def test_each_user_says_what_it_does() -> None:
    for user in USERS.values():
        used, does = user.does
        assert used
        assert does
        pinned = {text.partition("==")[0].partition("[")[0] for text in user.requirements}
        assert pinned >= set(user.libraries)
    helpers = {"common", "server_app", "gunicorn_settings"}
    assert {path.stem for path in users.PROGRAMS.glob("*.py")} == set(USERS) | helpers
