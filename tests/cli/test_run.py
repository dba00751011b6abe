"""`hasten run` against `python`: the same output, the same status, the same tracebacks, for every form of program."""

from __future__ import annotations

import os
import py_compile
import re
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _no_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have `hasten run` report no blocked loops: where tests run side by side, a process may not get a processor."""
    monkeypatch.setenv("HASTEN_WATCH", "0")


# What a program tells of the world it runs in.
WORLD = """
import sys
print({key: str(value).split(" at ")[0] for key, value in sorted(globals().items())})
print(sys.argv, sys.path[0], sys.modules["__main__"].__dict__ is globals())
"""

FILES: dict[str, str | bytes] = {
    "world.py": WORLD,
    "ends.py": "print('fine')",
    "fails.py": "def f():\n    raise ValueError('x')\n\n\nf()",
    "chained.py": "try:\n    1 / 0\nexcept ArithmeticError as error:\n    raise KeyError('k') from error",
    "group.py": "raise ExceptionGroup('several', [ValueError(1), TypeError(2)])",
    "syntax.py": "x = (\n",
    "imports.py": "import a_module_that_does_not_exist",
    "exit_none.py": "import sys\nsys.exit()",
    "exit_3.py": "import sys\nsys.exit(3)",
    "exit_text.py": "import sys\nsys.exit('a message')",
    "exit_tuple.py": "raise SystemExit((1, 2))",
    "exit_hard.py": "import os\nprint('x', flush=True)\nos._exit(7)",
    "interrupt.py": (
        "import atexit, threading\n"
        "atexit.register(print, 'at exit')\n"
        "threading.Thread(target=print, args=('thread',)).start()\n"
        "raise KeyboardInterrupt\n"
    ),
    "signalled.py": "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)",
    "caught.py": (
        "import os, signal, time\n"
        "try:\n    os.kill(os.getpid(), signal.SIGINT)\n    time.sleep(60)\n"
        "except KeyboardInterrupt:\n    print('caught')\n"
    ),
    "hook.py": (
        "import sys, traceback\n"
        "def hook(kind, value, trace):\n"
        "    print(kind, value, *(frame.name for frame in traceback.extract_tb(trace)))\n"
        "sys.excepthook = hook\n"
        "def f():\n    1 / 0\n"
        "f()\n"
    ),
    "last.py": (
        "import atexit, sys, traceback\n"
        "atexit.register(lambda: print(sys.last_value, *(f.name for f in traceback.extract_tb(sys.last_traceback))))\n"
        "1 / 0\n"
    ),
    "thread.py": "import threading\nt = threading.Thread(target=lambda: 1 / 0)\nt.start()\nt.join()",
    "warns.py": "import warnings\nwarnings.warn('careful')\nasync def f(): pass\nf()",
    "annotated.py": "from __future__ import annotations\nx: int = 3\nprint(__annotations__)",
    "encoded.py": "# -*- coding: latin-1 -*-\nprint(len('é'))".encode("latin-1"),
    "pickles.py": (
        "import dataclasses, pickle\n"
        "@dataclasses.dataclass\nclass Point:\n    x: int\n"
        "print(pickle.loads(pickle.dumps(Point(3))))\n"
    ),
    "processes.py": (
        "import multiprocessing, sys\n"
        "def square(x):\n    return x * x\n"
        "if __name__ == '__main__':\n"
        "    with multiprocessing.get_context(sys.argv[1]).Pool(1) as pool:\n"
        "        print(pool.map(square, [1, 2, 3]))\n"
    ),
    "package/__init__.py": "",
    "package/__main__.py": WORLD + "\nfrom . import other\nprint(__package__, __spec__.name)\n1 / 0\n",
    "package/other.py": "",
    "package/fails.py": "1 / 0",
    "no_main/__init__.py": "",
    "broken/__init__.py": "1 / 0",
    "broken/part.py": "",
    "folder/__main__.py": WORLD,
}

RUNS = [
    *([name] for name in FILES if "/" not in name and name != "processes.py"),
    ["./world.py", "-h", "--help", "-m", "-c", "--", "-"],
    ["link.py"],
    ["fails.pyc"],
    ["archive.zip", "a"],
    ["folder", "b"],
    ["processes.py", "fork"],
    ["processes.py", "spawn"],
    ["processes.py", "forkserver"],
    ["-m", "package", "-m", "--help"],
    ["-m", "package.fails"],
    ["-m", "package.nowhere"],
    ["-m", "no_main"],
    ["-m", "nowhere"],
    ["-m", "nowhere.py"],
    ["-m", "broken.part"],
    ["-mpackage.other"],
    ["-c", WORLD, "-c", "x"],
    ["-c", "def f():\n    1 / 0\nf()"],
    ["-c", "   print(1)"],
    ["-c", "x = ("],
    ["-cprint(5)"],
    ["-", "-x"],
    ["no_such_file.py"],
    ["no_such_folder/no_such_file.py"],
    ["package"],
    ["no_main"],
    ["-c", "import sys; sys.exit(4)"],
    ["-c", "raise KeyboardInterrupt"],
    ["-m", "world"],
]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("programs")
    for name, source in FILES.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(source if isinstance(source, bytes) else source.encode())
    (folder / "link.py").symlink_to(folder / "folder" / "__main__.py")
    py_compile.compile(str(folder / "fails.py"), str(folder / "fails.pyc"))
    with zipfile.ZipFile(folder / "archive.zip", "w") as archive:
        archive.writestr("__main__.py", WORLD)
    return folder


def run(launcher: list[str], words: list[str], folder: Path, **environment: str) -> tuple[str, str, int]:
    done = subprocess.run(
        [sys.executable, *launcher, *words],
        cwd=folder,
        input=WORLD + "\n1 / 0\n",
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **environment},
    )
    return done.stdout, comparable(done.stderr), done.returncode


def comparable(stderr: str) -> str:
    """Without what has to differ: the frames of python's own launcher, addresses, and who cannot open a file."""
    stderr = re.sub(r'  File "<frozen runpy>".*\n', "", stderr)
    stderr = re.sub(r"0x[0-9a-f]+", "0x", stderr)
    return stderr.replace(f"{sys.executable}: can't open", "hasten: can't open")


def label(words: list[str]) -> str:
    return re.sub(r"\W+", "-", " ".join(words)).strip("-")[:40]


@pytest.mark.parametrize("words", RUNS, ids=label)
def test_as_with_python(words: list[str], programs: Path) -> None:
    assert run(["-m", "hasten", "run"], words, programs) == run([], words, programs)


def test_safe_path(programs: Path) -> None:
    """With PYTHONSAFEPATH neither the program's folder nor the command's is put on the path."""
    words = ["-c", "import sys; print(sys.path)"]
    assert run(["-m", "hasten", "run"], words, programs, PYTHONSAFEPATH="1") == run(
        [], words, programs, PYTHONSAFEPATH="1"
    )
    out, err, status = run(["-m", "hasten", "run"], ["folder"], programs, PYTHONSAFEPATH="1")
    assert (out, err, status) == run([], ["folder"], programs, PYTHONSAFEPATH="1")
    assert str(programs / "folder") in out


# Here hasten's own frames stand between the program's, as asyncio's would: what the program says and how it ends count.
ASYNC_PROGRAM = """
import asyncio, os, signal, sys
from asyncio import Runner, sleep

async def main():
    assert type(asyncio.get_running_loop()).__module__.startswith("hasten."), asyncio.get_running_loop()
    try:
        if sys.argv[1] == "interrupt":
            os.kill(os.getpid(), signal.SIGINT)
            await sleep(60)
        if sys.argv[1] == "fail":
            raise LookupError("from inside")
        if sys.argv[1] == "exit":
            sys.exit(5)
        return 0
    finally:
        print("cleaned up")

if sys.argv[2] == "run":
    asyncio.run(main())
elif sys.argv[2] == "runner":
    with Runner() as runner:
        runner.run(main())
else:
    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    loop.close()
print("end")
"""


@pytest.mark.parametrize("way", ["run", "runner", "loop"])
def test_asyncio_program_ends_as_with_python(way: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(ASYNC_PROGRAM)

    out, err, status = run(["-m", "hasten", "run"], [str(program), "return", way], tmp_path)
    assert (out, err, status) == ("cleaned up\nend\n", "", 0)

    out, err, status = run(["-m", "hasten", "run"], [str(program), "exit", way], tmp_path)
    assert (out, status) == ("cleaned up\n", 5)

    out, err, status = run(["-m", "hasten", "run"], [str(program), "fail", way], tmp_path)
    assert (out, status) == ("cleaned up\n", 1)
    lines = err.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1].startswith(f'  File "{program}", line ')
    assert lines[-1] == "LookupError: from inside"
    assert "hasten/cli" not in err


@pytest.mark.parametrize("way", ["run", "runner"])
def test_interrupt(way: str, tmp_path: Path) -> None:
    """Ctrl-C cancels the main task, which cleans up; the process then dies by SIGINT, as python does."""
    program = tmp_path / "program.py"
    program.write_text(ASYNC_PROGRAM)
    out, err, status = run(["-m", "hasten", "run"], [str(program), "interrupt", way], tmp_path)
    assert (out, status) == ("cleaned up\n", -signal.SIGINT)
    assert err.splitlines()[-1] == "KeyboardInterrupt"
    assert "hasten/cli" not in err


def test_deleted_folder(tmp_path: Path) -> None:
    """A program given by its whole name runs even where the current folder no longer exists, as with python."""
    program = tmp_path / "program.py"
    program.write_text("print('fine')")
    code = (
        "import os, subprocess, sys, tempfile\n"
        "folder = tempfile.mkdtemp()\nos.chdir(folder)\nos.rmdir(folder)\n"
        "sys.exit(subprocess.call([sys.executable, *sys.argv[1:]]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "-P", "-m", "hasten", "run", str(program)],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (done.stdout, done.returncode) == ("fine\n", 0), done.stderr
