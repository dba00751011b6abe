"""What type checkers say of programs under `import asyncio`, and under `import hasten as asyncio`.

    python tests/typing/compare.py [--checker mypy|pyright] [--all] [--part NAME] [--python VERSION]

Checks each program twice with each checker that is to be had: as it is, and as a copy whose imports of asyncio import
hasten. Says which errors are there on one side only; ends with 1 if any are there with hasten alone. Without `--all`
it checks the programs in `corpus` (seconds); with it, the sources of anyio, aiohttp and starlette too, as they are
installed, and this project's tests (minutes). hasten is taken from `src`, as a user's checker finds it: without
Cython, which users do not have.
"""

from __future__ import annotations

import argparse
import collections
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PACKAGES = ("anyio", "aiohttp", "starlette")
CHECKERS = ("mypy", "pyright")

Found = collections.Counter[tuple[str, int, str]]  # (file, line, rule): what is told in words may differ
_texts: dict[tuple[str, int, str], str] = {}

# `from asyncio.subprocess import …` stays: hasten's own modules of these names are attributes, not importable.
_CHANGES = (
    (re.compile(r"^(\s*)import asyncio$", re.M), r"\1import hasten as asyncio"),
    (re.compile(r"^(\s*)import asyncio\.\w+$", re.M), r"\1pass"),  # an attribute of hasten
    (re.compile(r"^(\s*)import asyncio as (\w+)$", re.M), r"\1import hasten as \2"),
    (re.compile(r"^(\s*)from asyncio import ", re.M), r"\1from hasten import "),
)


def changed(text: str) -> str:
    """The program as one has it who switched to hasten in its imports."""
    for pattern, put in _CHANGES:
        text = re.sub(pattern, put, text)
    return text


def sources(kind: str) -> Iterator[tuple[str, str]]:
    """The files of one part: (path, text)."""
    if kind == "corpus":
        folder, prefix = HERE / "corpus", "corpus"
    elif kind == "tests":
        folder, prefix = ROOT / "tests", "tests"
    else:
        spec = importlib.util.find_spec(kind)
        if spec is None or spec.origin is None:
            raise SystemExit(f"{kind} is not installed: pip install {kind}")
        folder, prefix = Path(spec.origin).parent, kind
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".py", ".pyi", ".typed") and not (kind == "tests" and "corpus" in path.parts):
            yield f"{prefix}/{path.relative_to(folder)}", path.read_text(encoding="utf-8")


def write(folder: Path, kind: str, change: bool) -> int:
    """Write the files of one part; return how many were, or would be, changed."""
    count = 0
    for name, text in sources(kind):
        other = changed(text)
        count += other != text
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(other if change else text, encoding="utf-8")
    # before the one that is installed here, whose types hide those of the classes that it decorates
    (folder / "cython.pyi").write_text("from typing import Any\n\ndef __getattr__(name: str) -> Any: ...\n")
    return count


def _environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "MYPYPATH": f"{folder}{os.pathsep}{ROOT / 'src'}", "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}


def mypy(folder: Path, kind: str, version: str) -> Found:
    strict = ["--strict"] if kind == "corpus" else ["--check-untyped-defs"]
    what = ["corpus"] if kind == "corpus" else ["tests"] if kind == "tests" else ["-p", kind]
    command = [sys.executable, "-m", "mypy", *strict, "--python-version", version, "--output", "json"]
    command += ["--follow-imports=silent", "--explicit-package-bases", "--namespace-packages"]
    done = subprocess.run(
        [*command, "--cache-dir", str(folder / ".cache"), *what],
        capture_output=True,
        text=True,
        cwd=folder,
        env=_environment(folder),
        check=False,
    )
    if done.returncode > 1 or (done.returncode and not done.stdout):
        raise SystemExit(f"mypy failed:\n{done.stdout}{done.stderr}")
    found: Found = collections.Counter()
    for line in done.stdout.splitlines():
        if line.startswith("{"):
            each = json.loads(line)
            if each["severity"] == "error" and not Path(each["file"]).is_absolute():
                _add(found, (each["file"], each["line"], each["code"] or ""), each["message"])
    return found


def pyright(folder: Path, kind: str, version: str) -> Found:
    settings = {
        "include": ["corpus" if kind == "corpus" else "tests" if kind == "tests" else kind],
        "extraPaths": [".", str(ROOT / "src")],
        "pythonVersion": version,
        "typeCheckingMode": "strict" if kind == "corpus" else "standard",
        "reportPrivateUsage": False,
    }
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=folder,
        env=_environment(folder),
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode > 1 or not done.stdout.startswith("{"):
        raise SystemExit(f"pyright failed:\n{done.stdout}{done.stderr}")
    found: Found = collections.Counter()
    for each in json.loads(done.stdout)["generalDiagnostics"]:
        if each["severity"] == "error":
            path = str(Path(each["file"]).resolve().relative_to(folder.resolve()))
            _add(found, (path, each["range"]["start"]["line"] + 1, each.get("rule", "")), each["message"])
    return found


def _add(found: Found, key: tuple[str, int, str], text: str) -> None:
    found[key] += 1
    _texts[key] = text


def has(checker: str) -> bool:
    """True if the checker can be started. pyright needs node, which its package fetches if there is none."""
    if importlib.util.find_spec(checker) is None:
        return False
    done = subprocess.run([sys.executable, "-m", checker, "--version"], capture_output=True, check=False)
    return done.returncode == 0


def compare(checker: str, kind: str, version: str) -> tuple[int, int, Found, Found]:
    """Return how many files were changed, how many errors asyncio's side has, and those of one side only."""
    run = {"mypy": mypy, "pyright": pyright}[checker]
    with tempfile.TemporaryDirectory(prefix="hasten-types-") as place:
        stock, ours = Path(place, "stock"), Path(place, "ours")
        count = write(stock, kind, False)
        write(ours, kind, True)
        before, after = run(stock, kind, version), run(ours, kind, version)
    return count, before.total(), after - before, before - after


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--checker", choices=CHECKERS, action="append", help="default: those that are installed")
    parser.add_argument("--all", action="store_true", help="anyio, aiohttp, starlette and this project's tests too")
    parser.add_argument("--part", action="append", help="only this part: corpus, tests, or an installed package")
    parser.add_argument(
        "--python", action="append", help="check as for this version of Python, as 3.11; default: all for the corpus"
    )
    options = parser.parse_args()
    parts = options.part or (["corpus", *PACKAGES, "tests"] if options.all else ["corpus"])
    checkers = options.checker or [checker for checker in CHECKERS if has(checker)]
    for missing in sorted({*CHECKERS} - {*checkers}):
        if not options.checker:
            print(
                f"{missing} cannot be started{' (it needs node)' * (missing == 'pyright')}: left out", file=sys.stderr
            )
    wrong = 0
    print(
        "| part | changed files | checker | as for Python | errors with asyncio | new with hasten | gone with hasten |"
    )
    print("| --- | ---: | --- | --- | ---: | ---: | ---: |")
    for part in parts:
        for checker in checkers:
            for version in options.python or (["3.11", "3.13", "3.14"] if part == "corpus" else ["3.13"]):
                count, errors, new, gone = compare(checker, part, version)
                row = (part, count, checker, version, errors, new.total(), gone.total())
                print("|", " | ".join(map(str, row)), "|", flush=True)
                wrong += new.total()
                for sign, found in (("new", new), ("gone", gone)):
                    for key in sorted(found):
                        print(f"  {sign}: {key[0]}:{key[1]}: [{key[2]}] {_texts[key]}", file=sys.stderr, flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
