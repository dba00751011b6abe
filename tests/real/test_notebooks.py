"""IPython and Jupyter's kernel, with cells that await: both on hasten."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CELLS = """\
import asyncio
async def loop(): return type(asyncio.get_running_loop()).__module__

print("first", await loop())
{load}
print("then", await loop())
async def more(): return type(await asyncio.create_task(asyncio.sleep(0, asyncio.current_task()))).__module__

print("tasks", await more())
"""
# A kernel is started by its name, and gives what each cell prints.
NOTEBOOK = """
import sys
from jupyter_client.manager import start_new_kernel
manager, client = start_new_kernel(kernel_name=sys.argv[1])
try:
    def print_text(message):
        if message["msg_type"] in ("stream", "error"):
            print(message["content"].get("text") or message["content"], end="")
    for cell in sys.stdin.read().split("\\n\\n"):
        client.execute_interactive(cell, output_hook=print_text, timeout=60)
finally:
    client.stop_channels()
    manager.shutdown_kernel()
"""


def need(*modules: str) -> None:
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


def lines(text: str) -> list[str]:
    """What the cells printed, each line from the word that it begins with."""
    words = ("first", "then", "tasks")
    return [line[line.index(word) :] for line in text.splitlines() for word in words if f"{word} " in line]


@pytest.mark.slow  # IPython takes long to start
@pytest.mark.parametrize("load", ["%load_ext hasten", "import hasten; hasten.install()"])
def test_ipython(load: str, tmp_path: Path) -> None:
    need("IPython")
    done = subprocess.run(
        [sys.executable, "-m", "IPython", "--no-banner", "--simple-prompt", "--colors=NoColor"],
        input=CELLS.format(load=load),
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "IPYTHONDIR": str(tmp_path), "PYTHON_HISTORY": os.devnull},
    )
    stays = "hasten.loop" if load.startswith("%") else "asyncio.unix_events"  # a loop that was there before
    assert lines(done.stdout)[:2] == ["first asyncio.unix_events", f"then {stays}"], done.stdout + done.stderr
    if load.startswith("%"):
        assert lines(done.stdout)[2:] == ["tasks hasten.core.task"]


def kernel(name: str, cells: str, tmp_path: Path) -> str:
    environment = {
        **os.environ,
        "JUPYTER_PATH": str(tmp_path / "share/jupyter"),
        "IPYTHONDIR": str(tmp_path / "ipython"),
    }
    done = subprocess.run(
        [sys.executable, "-c", NOTEBOOK, name],
        input=cells,
        capture_output=True,
        text=True,
        timeout=180,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow  # starts a kernel
def test_a_notebook_s_kernel(tmp_path: Path) -> None:
    need("ipykernel", "jupyter_client")
    command = [sys.executable, "-m", "hasten", "jupyter", "install", "--prefix", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    where = tmp_path / "share/jupyter/kernels/hasten"
    assert (done.stdout, done.stderr) == (f"the kernel 'Python (hasten)' is in {where}\n", "")
    assert json.loads((where / "kernel.json").read_text())["display_name"] == "Python (hasten)"
    said = kernel("hasten", CELLS.format(load="%load_ext hasten"), tmp_path)
    assert said == "first hasten.loop\nthen hasten.loop\ntasks hasten.core.task\n"


@pytest.mark.slow  # starts a kernel
def test_the_extension_in_an_ordinary_notebook_says_what_to_do(tmp_path: Path) -> None:
    need("ipykernel", "jupyter_client")
    said = kernel("python3", CELLS.format(load="%load_ext hasten"), tmp_path)
    assert said.startswith("first asyncio.unix_events\n")
    assert "then asyncio.unix_events" in said
    assert "`hasten jupyter install`" in said


class TestTheCommand:
    @staticmethod
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "hasten", "jupyter", *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    def test_help(self) -> None:
        assert self.run().stdout.startswith("usage: hasten jupyter install")
        assert self.run("--help").stdout == self.run().stdout

    @pytest.mark.parametrize(
        ("words", "says"),
        [
            (["remove"], "jupyter has no 'remove'"),
            (["install", "--all"], "jupyter install has no option '--all'"),
            (["install", "--name"], "--name needs a value"),
            (["install", "--user", "--prefix=x"], "takes one of"),
        ],
    )
    def test_what_it_does_not_understand(self, words: list[str], says: str) -> None:
        done = self.run(*words)
        assert done.returncode == 2
        assert says in done.stderr

    def test_without_ipykernel(self) -> None:
        code = "import sys; sys.modules['ipykernel'] = None; from hasten.cli.main import main; sys.exit(main())"
        done = subprocess.run(
            [sys.executable, "-c", code, "jupyter", "install"], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 1
        assert "-m pip install ipykernel" in done.stderr
