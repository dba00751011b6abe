"""Where the tests come from: source distributions, checkouts, and an environment for each library."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[3]
CACHE = ROOT / "build" / "suites"


class Unavailable(Exception):
    """What a suite needs cannot be had; says what, and why."""


def sdist(name: str, version: str, cache: Path, without: str = "") -> Path:
    """The folder of a source distribution, fetched from the package index when `cache` does not have it.

    `without` is a folder in it that is left out.
    """

    def fill(folder: Path) -> None:
        command = ["download", "--no-deps", f"--no-binary={name}", "--dest", str(folder)]
        pip(sys.executable, *command, f"{name}=={version}", what=f"the source distribution of {name} {version}")
        with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
            archive.extractall(folder, filter="data")
        if without:
            shutil.rmtree(folder / f"{name}-{version}" / without)

    return _made_once(cache / f"{name}-{version}", fill)


def checkout(name: str, version: str, source: Path, cache: Path) -> Path:
    """The files of `source`: of its tag `version` when it is a Git repository, else the folder as it is."""
    if not source.is_dir():
        raise Unavailable(f"{source} is no folder")
    if not _git(source, "rev-parse", "--git-dir"):
        return source.resolve()

    def fill(folder: Path) -> None:
        archive, inside = folder / "archive.tar", folder / f"{name}-{version}"
        if not _git(source, "archive", "--output", str(archive.resolve()), version):
            raise Unavailable(f"{source} has no tag {version}, the one whose tests are run")
        inside.mkdir()
        with tarfile.open(archive) as files:
            files.extractall(inside, filter="data")

    return _made_once(cache / f"{name}-{version}", fill)


def environment(name: str, requirements: list[str], cache: Path) -> Path:
    """The interpreter of an environment that has `requirements`; it is made anew when they have changed."""
    folder = cache / sys.version.split()[0] / name
    python, stamp = folder / "bin" / "python", folder / "requirements"
    wanted = "\n".join(requirements)
    if not stamp.exists() or stamp.read_text() != wanted:
        folder.mkdir(parents=True, exist_ok=True)
        done = subprocess.run([sys.executable, ROOT / "tools" / "make_venv.py", folder], stdin=subprocess.DEVNULL)
        if done.returncode:
            raise Unavailable(f"no environment for {name}: tools/make_venv.py failed")
        pip(str(python), "install", *requirements, what=f"what the tests of {name} need")
        stamp.write_text(wanted)
    return python


def pip(python: str, *arguments: str, what: str) -> None:
    """Runs pip; `what` it is for stands in the error."""
    command = [python, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=900, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{what} cannot be had: no answer from the package index") from None
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["pip failed"])[-1]
        raise Unavailable(f"{what} cannot be had: {why}")


def _git(repository: Path, *arguments: str) -> bool:
    command = ["git", "-C", str(repository), *arguments]
    return subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL).returncode == 0


def _made_once(folder: Path, fill: Callable[[Path], None]) -> Path:
    """`folder`, which `fill` makes in a scratch folder beside it, so that it is there as a whole or not at all."""
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            fill(Path(scratch))
            try:
                Path(scratch, folder.name).rename(folder)
            except OSError:  # another process was faster
                if not folder.is_dir():
                    raise
    return folder
