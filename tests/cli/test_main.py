"""The `hasten` command itself: help, version, and what it says to a wrong command line."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

import pytest

import hasten
from hasten.cli.main import VERBS, main


@pytest.mark.parametrize(
    "words", [[], ["--help"], ["-h"], *([verb, option] for verb in VERBS for option in ("--help", "-h"))]
)
def test_help(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert out.startswith("usage: hasten")
    assert (words and f"hasten {words[0]}" in out) or all(f"\n  {verb} " in out for verb in VERBS)
    assert err == ""


def test_help_names_what_is_read_from_the_environment(capsys: pytest.CaptureFixture[str]) -> None:
    """Each variable that the package reads, but those of the tests' (HASTEN_SEED) and of the build."""
    assert main([]) == 0
    told = capsys.readouterr().out
    package = Path(hasten.__file__).parent
    read = set()
    for path in package.rglob("*.py"):
        read |= set(re.findall(r'"(HASTEN_[A-Z_]+)"', path.read_text(encoding="utf-8")))
    names = read - {"HASTEN_SEED", "HASTEN_NO_EXTENSIONS", "HASTEN_POOLS", "HASTEN_SANITIZE"}
    assert "HASTEN_POLLER" in names
    assert [name for name in sorted(names) if f"  {name}=" not in told] == []


@pytest.mark.parametrize("word", ["--version", "-V"])
def test_version(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([word]) == 0
    name, version = capsys.readouterr().out.split(maxsplit=1)
    assert name == "hasten"
    assert version.strip() == metadata.version("hasten")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["fly"], f"there is no verb 'fly': it is one of {', '.join(VERBS)} ('hasten run PROGRAM.py' runs a program)"),
        (["program.py"], "there is no verb 'program.py': did you mean \"hasten run program.py\"?"),
        (["x.py", "a b", "-v"], "there is no verb 'x.py': did you mean \"hasten run x.py 'a b' -v\"?"),
        (["-m", "http.server"], "there is no verb '-m': did you mean \"hasten run -m http.server\"?"),
        (["-c", "1"], "there is no verb '-c': did you mean \"hasten run -c 1\"?"),
        ([os.curdir], "there is no verb '.': did you mean \"hasten run .\"?"),
        (["dcotor", "-v"], "there is no verb 'dcotor': did you mean \"hasten doctor -v\"?"),
        (["run"], "run needs a program: 'hasten run PROGRAM.py', 'hasten run -m MODULE' or 'hasten run -c CODE'"),
        (["run", "-m"], "run -m needs an argument: 'hasten run -m MODULE'"),
        (["run", "-c"], "run -c needs an argument: 'hasten run -c CODE'"),
        (
            ["run", "-X", "dev", "program.py"],
            "run has no option '-X': options of python stand before hasten, 'python -X -m hasten run …', and those of "
            "the program after the program",
        ),
    ],
)
def test_wrong_command_line(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert capsys.readouterr() == ("", f"hasten: {told}\n")


def test_what_is_not_read_is_not_wanted() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "hasten", "doctor"], stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


def test_status_of_the_process() -> None:
    """`python -m hasten` and the installed command hand the status on."""
    installed = shutil.which("hasten", path=sysconfig.get_path("scripts"))
    assert installed, "the project is not installed: its `hasten` command is missing"
    for command in ([sys.executable, "-m", "hasten"], [installed]):
        done = subprocess.run([*command, "fly"], capture_output=True, text=True, timeout=60)
        assert done.returncode == 2
        assert done.stderr.startswith("hasten: there is no verb 'fly'")
        done = subprocess.run([*command, "run", "-c", "1 / 0"], capture_output=True, text=True, timeout=60)
        assert done.returncode == 1
        assert done.stderr.splitlines()[1].startswith('  File "<string>", line 1')


@pytest.mark.parametrize("options", [[], ["-E"]], ids=["plain", "-E"])
def test_run_debug(options: list[str]) -> None:
    """Debug mode is on, of loops that are hasten's and of children, also where python does not look at variables."""
    program = (
        "import asyncio, os\n"
        "async def main(): print(asyncio.get_running_loop().get_debug(), os.environ['PYTHONASYNCIODEBUG'])\n"
        "asyncio.run(main())"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONASYNCIODEBUG"}
    for words, told in ((["--debug"], "True 1\n"), (["--debug", "-m", "this"], "The Zen")):
        tail = words if "-m" in words else [*words, "-c", program]
        done = subprocess.run(
            [sys.executable, *options, "-m", "hasten", "run", *tail],
            capture_output=True,
            text=True,
            timeout=60,
            env={**environment, "HASTEN_WATCH": "0"},
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(told)
