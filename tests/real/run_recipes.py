"""Starts each framework on hasten as its page in docs/how-to/ says, sends it traffic, and looks at whose loop it is.

    python tests/real/run_recipes.py                    every page
    python tests/real/run_recipes.py fastapi quart      some
    python tests/real/run_recipes.py --write            every page; and the table goes into docs/how-to/README.md

The libraries (the extra `recipes` of pyproject.toml) are fetched into an environment of their own, in build/recipes.
What is run is what stands in the pages: tests/programs/snippets.py says how. Servers listen on the loopback interface,
at ports that the system chooses.

Exit status 1 when a page does not hold, or what it starts is on another loop.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "programs")]

import snippets  # noqa: E402 - found through the line above
from suites import fetching, report  # noqa: E402

ROOT = fetching.ROOT
FOLDER = ROOT / "docs" / "how-to"
PAGE = FOLDER / "README.md"
BEGIN, END = "<!-- recipes:begin -->", "<!-- recipes:end -->"
TRAFFIC = 1000  # requests, for each that a page shows


def environment() -> str:
    """The interpreter of an environment with hasten, as it is in this checkout, and all that the pages need."""
    command = [sys.executable, str(ROOT / "tools" / "requirements.py"), "recipes"]
    wanted = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    python = str(fetching.environment("recipes", wanted, ROOT / "build" / "recipes"))
    os.environ["HASTEN_NO_EXTENSIONS"] = "1"  # a link: what is compiled is compiled already
    fetching.pip(python, "install", "--no-build-isolation", "--no-deps", "--editable", str(ROOT), what="hasten")
    del os.environ["HASTEN_NO_EXTENSIONS"]
    return python


def title(path: Path) -> str:
    return path.read_text("utf-8").partition("\n")[0].removeprefix("# ")


def row(path: Path, python: str) -> list[str]:
    """Run a page; return its row of the table.

    Raises:
        snippets.Wrong: the page does not hold.
    """
    text = path.read_text("utf-8")
    wanted = snippets.needs(text)
    start = f"[{title(path)}]({path.name})"
    if wanted is None:
        return [start, "", "see its tests", ""]
    if reason := snippets.missing(wanted, python):
        return [start, "", reason, ""]
    with tempfile.TemporaryDirectory() as folder:
        seen = snippets.Run(Path(folder), python, TRAFFIC).page(path)
    if not seen.on_hasten and re.search(r"^<hasten\.", text, re.MULTILINE):
        raise snippets.Wrong(f"another loop than hasten's, or none:\n{seen.output}")
    libraries = snippets.versions([each for each in wanted if each != "hasten"], python)
    sent = [f"{seen.requests:,} requests"] if seen.requests else []
    sent += [f"{seen.programs} program{'s' if seen.programs != 1 else ''}"] if seen.programs else []
    return [start, libraries or "-", ", ".join(sent), "hasten's" if seen.on_hasten else "-"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", nargs="*", help="names of pages in docs/how-to, without .md; default: all")
    parser.add_argument("--write", action="store_true", help="write the table into docs/how-to/README.md")
    arguments = parser.parse_args()
    python = environment()
    rows, failed = [], []
    for path in sorted(FOLDER.glob("*.md")):
        if path == PAGE or (arguments.page and path.stem not in arguments.page):
            continue
        try:
            rows.append(row(path, python))
        except snippets.Wrong as error:
            failed.append(path.stem)
            print(f"{path.stem}: {error}")
        else:
            print(": ".join(filter(None, [path.stem, *rows[-1][1:]])), flush=True)
    head = [["page", "tried with", "what was run", "loop"], ["---"] * 4]
    table = "\n".join(report.line(each) for each in [*head, *rows])
    version = sys.version.split()[0]
    if arguments.write and not failed:
        report.put(
            PAGE, BEGIN, END, f"{table}\n\nOn CPython {version}; what each page says was run as it stands there.\n"
        )
    print(f"{len(rows)} passed, {len(failed)} failed" + (f": {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
