"""What is shipped: the sdist is the same each time, and has what it needs; the figures of the project are true."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SHIPPED = ("src", "docs", "examples", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "MANIFEST.in", "README.md")


def sdist(folder: Path, moment: float) -> Path:
    """Make the sdist of a copy of the project whose files have the same time."""
    folder.mkdir()
    for name in (*SHIPPED, "pyproject.toml", "setup.py"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("*.so", "__pycache__", "*.egg-info"))
        else:
            shutil.copy(source, folder / name)
    for path in folder.rglob("*"):
        os.utime(path, (moment, moment))
    command = [sys.executable, "setup.py", "--quiet", "sdist", "--dist-dir", "dist"]
    environment = {**os.environ, "HASTEN_NO_EXTENSIONS": "1"}
    environment.pop("SOURCE_DATE_EPOCH", None)
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, timeout=120)
    [archive] = (folder / "dist").iterdir()
    return archive


@pytest.mark.slow  # setuptools reads all of the project twice
def test_the_sdist_has_the_same_bytes_each_time(tmp_path: Path) -> None:
    pytest.importorskip("setuptools", reason="setuptools, which setup.py imports, is not installed here")
    first, second = sdist(tmp_path / "first", 1e9), sdist(tmp_path / "other", 1.1e9)
    assert first.name == second.name
    assert first.read_bytes() == second.read_bytes()
    with tarfile.open(first) as archive:
        entries = archive.getmembers()
    names = {entry.name.partition("/")[2] for entry in entries}
    assert {(entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname) for entry in entries} == {
        (315532800, 0, 0, "", "")
    }
    assert [name for name in names if name.endswith((".c", ".so", ".pyc")) or name.startswith("tests/")] == []
    for path in (ROOT / "src").rglob("*"):
        if path.suffix in (".py", ".pyx", ".pxd", ".pyi", ".h") or path.name in ("py.typed", "trace.html"):
            assert path.relative_to(ROOT).as_posix() in names
    assert {"setup.py", "pyproject.toml", "LICENSE", "README.md", "docs/divergences.md", "PKG-INFO"} <= names


def test_what_is_said_of_pythons_is_the_same_everywhere() -> None:
    said = [each.rpartition(" ")[2] for each in PROJECT["project"]["classifiers"] if re.search(r":: 3\.\d+$", each)]
    assert PROJECT["project"]["requires-python"] == f">={said[0]}"
    built = [f"cp{version.replace('.', '')}-*" for version in said]
    assert PROJECT["tool"]["cibuildwheel"]["build"] == built
    workflow = (ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8")
    versions = ", ".join([f'"{version}"' for version in said])
    assert f"python: [{versions}]" in workflow


def test_no_library_is_needed_to_run() -> None:
    assert PROJECT["project"]["dependencies"] == []
