"""The pages in docs/mistakes/: their programs, and what hasten says.

`python tests/programs/mistakes.py` writes into the pages what hasten says now.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

PAGES = Path(__file__).parents[2] / "docs" / "mistakes"
# Those that are told of while the program goes on to its end.
GOES_ON = ("exception-nobody-took", "never-awaited", "tasks-that-do-not-end")
_BEGINS = re.compile(r"[\w.]+Error: |.*Warning: |Task exception was never|\d+ tasks? that run\(\) cancelled")
_IMPORT, _INSTALLED = "import hasten as asyncio", "import asyncio, hasten; hasten.install()"
_SAID = re.compile(r"\n```text\n(.*?)```\n", re.DOTALL)


def pages() -> dict[str, str]:
    """Return the text of each page by its name, without the list of them."""
    return {path.stem: path.read_text("utf-8") for path in sorted(PAGES.glob("*.md")) if path.stem != "README"}


def program(page: str, kind: str) -> str:
    """Return the program of a page; `kind` is "wrong" or "right"."""
    (found,) = re.findall(rf"\n```python {kind}\n(.*?)```\n", page, re.DOTALL)
    return str(found)


def said(page: str) -> str:
    (found,) = _SAID.findall(page)
    return str(found)


def run(source: str, scratch: Path, way: str = "import") -> subprocess.CompletedProcess[str]:
    """Run a program as a file of its own, with HASTEN_WATCH=1.

    `way`: "import": as it is; "install": with asyncio after install(); "run": by `hasten run`, with asyncio.
    """
    path = scratch / "program.py"
    if way != "import":
        assert source.count(_IMPORT) == 1
        source = source.replace(_IMPORT, _INSTALLED if way == "install" else "import asyncio")
    path.write_text(source, "utf-8")
    env = {**os.environ, "HASTEN_WATCH": "1"}
    command = [sys.executable, *(["-m", "hasten", "run"] if way == "run" else []), str(path)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=env)


def last_words(stderr: str) -> str:
    """Return the exception and its note, as a traceback ends with them, or a warning. Addresses and paths are alike."""
    lines = stderr.splitlines()
    end = max(i for i, line in enumerate(lines) if line.startswith("See docs/mistakes/"))
    start = max(i for i, line in enumerate(lines[:end]) if _BEGINS.match(line))
    text = "".join(line + "\n" for line in lines[start : end + 1])
    text = re.sub(r'[^\s"]*/program\.py', "program.py", re.sub(r"0x[0-9a-f]+", "0x7f0000000000", text))
    # Python 3.14 says it in other words
    return text.replace("'int' object can't be awaited", "object int can't be used in 'await' expression")


def main() -> None:
    import tempfile

    for name, page in pages().items():
        with tempfile.TemporaryDirectory() as scratch:
            words = last_words(run(program(page, "wrong"), Path(scratch)).stderr)
        (PAGES / f"{name}.md").write_text(_SAID.sub(lambda _, words=words: f"\n```text\n{words}```\n", page), "utf-8")


if __name__ == "__main__":
    main()
