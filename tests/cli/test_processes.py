"""What `hasten run` reaches beyond the program's own asyncio: who asks for uvloop, child processes, other loops."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hasten.aio import other_loops

SAY = """
import asyncio
async def say():
    loop = type(asyncio.get_running_loop())
    print(loop.__module__, flush=True)
"""


def run(tmp_path: Path, code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "program.py").write_text(SAY + code)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HASTEN_")}
    return subprocess.run(
        [sys.executable, "-m", "hasten", "run", "program.py"],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
        env={**environment, "HASTEN_WATCH": "0", **variables},
    )


class TestUvloop:
    @pytest.mark.parametrize(
        "code",
        [
            "import uvloop; uvloop.run(say())",
            "import uvloop; uvloop.loop.Loop().run_until_complete(say())",
            "import uvloop; uvloop.install(); asyncio.run(say())",
            "import uvloop; asyncio.set_event_loop_policy(uvloop.EventLoopPolicy()); asyncio.run(say())",
            "import uvloop; asyncio.new_event_loop().run_until_complete(say())",
            "import uvloop; uvloop.new_event_loop().run_until_complete(say())",
            "from uvloop import Loop; Loop().run_until_complete(say())",
            "from uvloop.loop import Loop; Loop().run_until_complete(say())",
            "import uvloop; asyncio.Runner(loop_factory=uvloop.new_event_loop).run(say())",
        ],
    )
    def test_who_asks_for_it_has_hastens_loop(self, tmp_path: Path, code: str) -> None:
        done = run(tmp_path, f"import warnings; warnings.simplefilter('ignore')\n{code}")
        assert (done.stdout, done.stderr) == ("hasten.loop\n", "")

    def test_isinstance_holds(self, tmp_path: Path) -> None:
        code = """
import uvloop, warnings
warnings.simplefilter("ignore")
async def main():
    print(isinstance(asyncio.get_running_loop(), uvloop.Loop), uvloop.__version__.count("."))
asyncio.run(main())
asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
print(isinstance(asyncio.get_event_loop_policy(), uvloop.EventLoopPolicy))
"""
        assert run(tmp_path, code).stdout == "True 2\nTrue\n"

    def test_what_it_does_not_have(self, tmp_path: Path) -> None:
        done = run(tmp_path, "import uvloop.includes")
        assert "ModuleNotFoundError: No module named 'uvloop.includes'" in done.stderr
        for name in ("uvloop.nothing", "uvloop.loop.libuv_get_version"):
            done = run(tmp_path, f"import uvloop\n{name}")
            module, _, attribute = name.rpartition(".")
            text = f"AttributeError: module '{module}' has no attribute '{attribute}': it is hasten's stand-in ("
            assert text in done.stderr
        assert run(tmp_path, "import uvloop\nprint(hasattr(uvloop, 'nothing'))").stdout == "False\n"

    def test_its_names_in_pickles(self, tmp_path: Path) -> None:
        """Also in those that a process of another kind reads: it finds what goes by that name there."""
        code = """
import pickle, uvloop, warnings
warnings.simplefilter("ignore")
for name in uvloop.__all__:
    thing = getattr(uvloop, name)
    assert thing.__name__ == thing.__qualname__ == name, thing
    assert pickle.loads(pickle.dumps(thing)) is thing
assert pickle.loads(pickle.dumps(uvloop.Loop)) is uvloop.Loop
print(uvloop.run.__module__, uvloop.install.__module__, uvloop.EventLoopPolicy.__module__)
"""
        done = run(tmp_path, code)
        assert (done.stdout, done.stderr) == ("uvloop uvloop uvloop\n", "")

    def test_its_loop_is_derived_from(self, tmp_path: Path) -> None:
        code = """
import uvloop, uvloop.loop
class Mine(uvloop.Loop):
    pass
assert issubclass(Mine, asyncio.AbstractEventLoop) and uvloop.loop.Loop is uvloop.Loop
async def main():
    print(type(asyncio.get_running_loop()) is Mine, isinstance(asyncio.get_running_loop(), uvloop.Loop))
uvloop.run(main(), loop_factory=Mine)
uvloop.run(main(), loop_factory=lambda: Mine(), debug=True)
"""
        done = run(tmp_path, code)
        assert (done.stdout, done.stderr) == ("True True\nTrue True\n", "")

    def test_its_run_refuses_other_loops(self, tmp_path: Path) -> None:
        code = """
import uvloop
async def main():
    print("never")
try:
    uvloop.run(main(), loop_factory=asyncio.SelectorEventLoop)
except TypeError as error:
    print(error)
"""
        done = run(tmp_path, code, HASTEN_QUIET="1")
        assert done.stdout == "uvloop.run() uses a non-uvloop event loop\n"

    @pytest.mark.skipif(sys.version_info < (3, 12), reason="deprecated from 3.12 on")
    def test_install_is_deprecated(self, tmp_path: Path) -> None:
        code = """
import uvloop, warnings
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    uvloop.install()
print([str(each.message) for each in told if each.category is DeprecationWarning][0])
"""
        text = "uvloop.install() is deprecated in favor of uvloop.run() starting with Python 3.12.\n"
        assert run(tmp_path, code).stdout == text
        assert run(tmp_path, "import uvloop; uvloop.install()").stderr == ""  # as the real one: of no line of its own

    def test_who_asks_for_its_version(self, tmp_path: Path) -> None:
        code = """
from importlib import metadata, util
print(util.find_spec("uvloop") is not None, metadata.version("UVLoop") == metadata.metadata("uvloop")["Version"])
import uvloop, uvloop._version
print(uvloop.__version__ == metadata.version("uvloop") == uvloop._version.__version__)
print([each for each in metadata.distributions() if type(each).__name__ == "StandIn"], metadata.files("uvloop") == [])
try:
    metadata.version("not-installed")
except metadata.PackageNotFoundError:
    print("good")
"""
        installed = importlib.util.find_spec("uvloop") is not None
        done = run(tmp_path, code)
        if not installed:
            assert (done.stdout, done.stderr) == ("True True\nTrue\n[] False\ngood\n", "")
        done = run(tmp_path, "from importlib import metadata\nprint(metadata.version('uvloop'))", HASTEN_UVLOOP="keep")
        assert ("PackageNotFoundError" in done.stderr) == (not installed)

    def test_loaded_anew(self, tmp_path: Path) -> None:
        code = "import importlib, uvloop\nimportlib.reload(uvloop)\nuvloop.run(say())\n"
        done = run(tmp_path, code)
        assert (done.stdout, done.stderr) == ("hasten.loop\n", "")

    @pytest.mark.skipif(importlib.util.find_spec("uvloop") is None, reason="uvloop is not installed")
    def test_it_is_kept(self, tmp_path: Path) -> None:
        done = run(tmp_path, "import uvloop; uvloop.run(say())", HASTEN_UVLOOP="keep")
        assert (done.stdout, done.stderr) == ("uvloop\n", "")


class TestChildren:
    @pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
    def test_of_multiprocessing(self, tmp_path: Path, method: str) -> None:
        code = f"""
import multiprocessing
def child(deeper):
    asyncio.run(say())
    if deeper:
        start(False)
def start(deeper):
    process = multiprocessing.get_context({method!r}).Process(target=child, args=(deeper,))
    process.start()
    process.join()
if __name__ == "__main__":
    start(True)
"""
        done = run(tmp_path, code)
        assert (done.stdout, done.stderr) == ("hasten.loop\n" * 2, "")

    def test_what_the_program_does_when_it_is_imported(self, tmp_path: Path) -> None:
        code = """
from asyncio import sleep
import multiprocessing
print(sleep.__module__, flush=True)
if __name__ == "__main__":
    process = multiprocessing.get_context("spawn").Process(target=print)
    process.start()
    process.join()
"""
        assert run(tmp_path, code).stdout == "hasten.primitives.sleeping\n" * 2 + "\n"

    def test_where_multiprocessing_has_been_imported_before(self) -> None:
        code = """
import multiprocessing.spawn
from hasten.cli import process
process.begin()
data = multiprocessing.spawn.get_preparation_data("x")
import pickle
class Gone:
    def find_spec(self, name, path=None, target=None):
        if name == "hasten": raise ImportError("no hasten")
import sys
del data["authkey"]  # only for a process that is being started
text = pickle.dumps(data)
for name in [name for name in sys.modules if name.partition(".")[0] == "hasten"]:
    del sys.modules[name]
sys.meta_path.insert(0, Gone())
print(pickle.loads(text)["name"])
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
        assert done.stdout == "x\n"
        assert done.stderr == "hasten: a child process runs without hasten: no hasten\n"

    def test_a_python_without_hasten_is_told_of(self) -> None:
        code = """
from hasten.aio import children
import pickle
for function in (children.call, len):
    begin = children._Begin(function, ("too", "many", "arguments"))
    begin._code = begin._code.replace("'many'", "1 / 0")
    print(pickle.loads(pickle.dumps(begin)))
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
        assert done.stdout == "None\nNone\n"
        assert done.stderr == "hasten: a child process runs without hasten: division by zero\n" * 2

    def test_the_module_is_as_ever(self, tmp_path: Path) -> None:
        code = """
import multiprocessing.spawn as module
print(type(module.__loader__).__name__, module.__spec__.loader is module.__loader__, module.__file__[-8:])
"""
        assert run(tmp_path, code).stdout == "SourceFileLoader True spawn.py\n"


class TestOtherLoops:
    CODE = """
for _ in range(2):
    loop = asyncio.SelectorEventLoop()
    loop.run_until_complete(say())
    loop.run_until_complete(say())
    loop.close()
print(asyncio._set_running_loop is asyncio.events._set_running_loop)
"""

    def test_one_line_tells_which(self, tmp_path: Path) -> None:
        done = run(tmp_path, self.CODE)
        assert done.stdout == "asyncio.unix_events\n" * 4 + "True\n"
        assert done.stderr.count("\n") == 1
        assert done.stderr.startswith("hasten: this runs on another loop, asyncio.unix_events._UnixSelectorEventLoop: ")
        assert "name hasten.new_event_loop" in done.stderr

    def test_none_where_it_is_not_wanted(self, tmp_path: Path) -> None:
        assert run(tmp_path, self.CODE, HASTEN_QUIET="1").stderr == ""

    @pytest.mark.parametrize("how", ["sys.stderr.close()", "sys.stderr = open('/dev/full', 'w')", "sys.stderr = 1"])
    def test_the_loop_runs_where_nothing_can_be_told(self, tmp_path: Path, how: str) -> None:
        done = run(tmp_path, f"import sys\n{how}\n{self.CODE}")
        assert done.stdout == "asyncio.unix_events\n" * 4 + "True\n"

    def test_none_where_all_is_well(self, tmp_path: Path) -> None:
        done = run(tmp_path, "asyncio.run(say())\nasyncio.new_event_loop().run_until_complete(say())")
        assert done.stderr == ""

    @pytest.mark.parametrize("package", other_loops.ADVICE)
    def test_who_made_it_is_told_its_option(self, tmp_path: Path, package: str) -> None:
        (tmp_path / f"{package}.py").write_text("def serve(loop, coro):\n    loop.run_until_complete(coro)\n")
        done = run(tmp_path, f"import {package}\n{package}.serve(asyncio.SelectorEventLoop(), say())")
        assert other_loops.ADVICE[package] in done.stderr
