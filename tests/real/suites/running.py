"""Runs the tests of a library in a process of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from suites.fetching import ROOT
from suites.libraries import Library

PROGRAMS = Path(__file__).parents[1] / "programs"
LIMIT = 60  # seconds for one test
LIMIT_FOR_ALL = 2400


@dataclass(frozen=True)
class End:
    """How a test ended: passed, failed, error (in set-up or tear-down), skipped, xfailed; with the error's text."""

    outcome: str
    text: str = ""
    detail: str = ""


@dataclass
class Run:
    """What one process did."""

    ends: dict[str, End] = field(default_factory=dict)
    hasten_loops: int = 0
    other_loops: int = 0
    # Why it did not come to its end; empty when it did.
    broken: str = ""

    def count(self, outcome: str) -> int:
        return sum(end.outcome == outcome for end in self.ends.values())


@dataclass(frozen=True)
class Suite:
    """A library whose tests can be run: the folder to run them in, the interpreter that has what they need."""

    library: Library
    folder: Path
    python: Path
    variables: dict[str, str]

    def run(self, way: str, tests: tuple[str, ...] = ()) -> Run:
        """Runs `tests`, or all, in one `way`."""
        library = self.library
        with tempfile.TemporaryDirectory() as scratch:
            notes, output = Path(scratch, "notes"), Path(scratch, "output")
            arguments = [*library.arguments, *(tests or library.everything)]
            if library.runner == "pytest":
                arguments = ["-o", f"cache_dir={scratch}/cache", *arguments]
            with output.open("wb") as out:
                process = subprocess.Popen(
                    [self.python, PROGRAMS / "suite.py", way, notes, str(LIMIT), library.runner, *arguments],
                    cwd=self.folder,
                    env=self._environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
                try:
                    process.wait(LIMIT_FOR_ALL)
                except subprocess.TimeoutExpired:
                    pass
                finally:
                    end(process)
            told = output.read_text(errors="replace")[-4000:]
            why = f"exit status {process.returncode}:\n{told}"
            run = read(notes.read_text() if notes.exists() else "", why)
            if process.returncode not in (0, 1) or not run.ends:
                run.broken = why
            return run

    def _environment(self) -> dict[str, str]:
        """Without what a test run that this one is part of has put there."""
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
        path = os.pathsep.join([str(ROOT / "src"), str(PROGRAMS)])
        return {**inherited, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", **self.variables}


def read(notes: str, otherwise: str) -> Run:
    """What a process has noted. `otherwise` is why it did not come to its end, if it did not."""
    run = Run(broken=otherwise or "and said nothing")
    for line in notes.splitlines():
        fields = json.loads(line)
        if "test" in fields:
            test = fields.pop("test")
            run.ends[test] = End(**fields)
        else:
            run.hasten_loops, run.other_loops, run.broken = fields["hasten_loops"], fields["other_loops"], ""
    return run


def end(process: subprocess.Popen[bytes]) -> None:
    """Ends the process, and what it has started and left in its group."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()
