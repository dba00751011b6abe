"""Whatever hostile objects do, nobody acts upon a stale check, the loop goes on, and nothing crashes: the programs in
hostile.py and hostile_entries.py, compiled, in plain Python, and where it behaves so, on asyncio."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hasten

from .. import once

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


Heard = tuple[dict[str, list[str]], str]  # what each scenario said, and for one that did not come to its end, why


@pytest.fixture(scope="session")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Heard]:
    """`outcome(program, side, way)`: a program is run once for all its scenarios, by whoever asks first."""

    @functools.cache
    def outcome(program: str, side: str, way: str) -> Heard:
        where = PACKAGE.parent if way == "compiled" else once.plain(tmp_path_factory)
        folder = once.once(tmp_path_factory, f"{program}-{side}-{way}", functools.partial(heard, program, side, where))
        lines = (folder / "stdout").read_text().splitlines()
        last = lines[-1] if lines else "nothing"
        said = dict(json.loads(line) for line in lines if line.startswith("["))
        return said, f"in or after {last}\n{(folder / 'end').read_text()}"

    return outcome


def heard(program: str, side: str, where: Path, folder: Path) -> None:
    """Runs a program, and writes down what it said and how it ended."""
    done = subprocess.run(
        [sys.executable, str(HERE / f"{program}.py"), side],
        capture_output=True,
        text=True,
        timeout=250,
        env={**os.environ, "PYTHONPATH": str(where), "PYTHONDONTWRITEBYTECODE": "1"},
        check=False,
    )
    (folder / "stdout").write_text(done.stdout)
    (folder / "end").write_text(f"status {done.returncode}\n{done.stderr[-3000:]}")


@pytest.mark.slow  # the programs collect garbage wherever it may hurt
@pytest.mark.parametrize(("program", "name", "said"), CASES, ids=[name for _, name, _ in CASES])
@pytest.mark.parametrize("way", ["compiled", "plain"])
def test_hostile(program: str, name: str, said: list[str] | None, way: str, outcome: Callable[..., Heard]) -> None:
    heard, end = outcome(program, "hasten", way)
    assert name in heard, end
    if said is None:
        said = outcome(program, "asyncio", "compiled")[0][name]
    assert heard[name] == said
