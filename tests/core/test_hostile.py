"""Whatever hostile objects do, nobody acts upon a stale check, the loop goes on, and nothing crashes: the programs in
hostile.py and hostile_entries.py, compiled, in plain Python, and where it behaves so, on asyncio."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import hasten

HERE = Path(__file__).parent
PACKAGE = Path(hasten.__file__).parent
PROGRAMS = ("hostile", "hostile_entries")


def _expectations(program: str) -> dict[str, list[str] | None]:
    """Names of the scenarios and what they have to say."""
    argv, sys.argv = sys.argv, [program, "hasten"]
    sys.path.insert(0, str(HERE))
    try:
        spec = importlib.util.spec_from_file_location(f"_{program}_expected", HERE / f"{program}.py")
        assert spec is not None
        assert spec.loader is not None
        module: Any = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return dict(module.EXPECTED)
    finally:
        sys.path.remove(str(HERE))
        sys.modules.pop("hostile", None)
        sys.argv = argv


CASES = [(program, name, said) for program in PROGRAMS for name, said in _expectations(program).items()]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """hasten without what is compiled."""
    folder = tmp_path_factory.mktemp("plain")
    shutil.copytree(PACKAGE, folder / "hasten", ignore=shutil.ignore_patterns("*.so", "*.pyd", "__pycache__"))
    return folder


@functools.cache
def outcome(program: str, side: str, where: str) -> tuple[dict[str, list[str]], str]:
    """What each scenario said, and for one that did not come to its end, why."""
    done = subprocess.run(
        [sys.executable, str(HERE / f"{program}.py"), side],
        capture_output=True,
        text=True,
        timeout=250,
        env={**os.environ, "PYTHONPATH": where, "PYTHONDONTWRITEBYTECODE": "1"},
        check=False,
    )
    lines = done.stdout.splitlines()
    said = dict(json.loads(line) for line in lines if line.startswith("["))
    last = lines[-1] if lines else "nothing"
    return said, f"status {done.returncode} in or after {last}\n{done.stderr[-3000:]}"


@pytest.mark.parametrize(("program", "name", "said"), CASES, ids=[name for _, name, _ in CASES])
@pytest.mark.parametrize("way", ["compiled", "plain"])
def test_hostile(program: str, name: str, said: list[str] | None, way: str, plain: Path) -> None:
    heard, end = outcome(program, "hasten", str(PACKAGE.parent if way == "compiled" else plain))
    assert name in heard, end
    if said is None:
        said = outcome(program, "asyncio", str(PACKAGE.parent))[0][name]
    assert heard[name] == said
