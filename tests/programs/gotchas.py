"""The table of the README: what asyncio says about common mistakes, and what hasten says.

`python tests/programs/gotchas.py` runs each program on both and writes the table anew. What stands in it is what the
runs printed: the last line of a traceback, the first of a warning or a log record; nothing where they printed nothing.
What is said without the watch, by a program that only imports hasten in asyncio's place, is said "always".
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"
BEGIN, END = "<!-- gotchas: tests/programs/gotchas.py writes this table -->", "<!-- end of gotchas -->"
# What follows from the mistake, or is said beside it by Python itself, on both.
NOISE = (
    r"Enable tracemalloc|^See docs/|^future: |CancelledError|^<sys>:|^GatheringFuture"
    r"|'(?:work|answer)' was never awaited"
)
WATCHED = "with `HASTEN_WATCH=1`"
PATIENCE = 5.0  # seconds; a program that does not end by then hangs


@dataclass(frozen=True)
class Gotcha:
    """A mistake, a program that makes it, and the page that tells more."""

    title: str
    program: str
    wanted: str  # a regular expression: what hasten's answer has, and asyncio's has not
    page: str = ""


GOTCHAS = (
    Gotcha(
        "a blocking call in a coroutine",
        """\
        import asyncio, time

        async def handler():
            time.sleep(0.3)

        async def main():
            await asyncio.gather(handler(), asyncio.sleep(0.1))

        asyncio.run(main())
        """,
        r"time\.sleep",
        "docs/diagnosis/watch.md",
    ),
    Gotcha(
        "a forgotten `await`",
        """\
        import asyncio

        async def save():
            pass

        async def main():
            save()

        asyncio.run(main())
        """,
        r"dropped at",
        "docs/diagnosis/forgotten.md",
    ),
    Gotcha(
        "two tasks that wait for each other",
        """\
        import asyncio

        async def first(mine, other):
            async with mine:
                await asyncio.sleep(0)
                async with other:
                    pass

        async def main():
            a, b = asyncio.Lock(), asyncio.Lock()
            await asyncio.gather(first(a, b), first(b, a))

        asyncio.run(main())
        """,
        r"[Dd]eadlock",
        "docs/diagnosis/deadlock.md",
    ),
    Gotcha(
        "`run()` inside a coroutine",
        """\
        import asyncio

        async def answer():
            return 42

        async def main():
            return asyncio.run(answer())

        asyncio.run(main())
        """,
        r"await main\(\)",
        "docs/mistakes/nested-run.md",
    ),
    Gotcha(
        "an exception that nobody saw",
        """\
        import asyncio

        async def job():
            raise ValueError("no such user")

        async def main():
            asyncio.create_task(job())
            await asyncio.sleep(0.01)

        asyncio.run(main())
        """,
        r"line 7, in main",
        "docs/diagnosis/forgotten.md",
    ),
    Gotcha(
        "a queue made for another loop",
        """\
        import asyncio

        queue = asyncio.Queue(1)

        async def use():
            try:
                await asyncio.wait_for(queue.get(), 0.01)
            except TimeoutError:
                pass

        asyncio.run(use())
        asyncio.run(use())
        """,
        r"one event loop only",
        "docs/mistakes/two-loops.md",
    ),
    Gotcha(
        "`create_task()` outside of a coroutine",
        """\
        import asyncio

        async def work():
            pass

        asyncio.create_task(work())
        """,
        r"inside a coroutine only",
        "docs/mistakes/no-running-loop.md",
    ),
)


def output(gotcha: Gotcha, on: str) -> str:
    """Run a program and return what it printed to stderr, or that it hangs.

    Arguments:
        gotcha: whose program.
        on: "asyncio"; "hasten", which watches; "import", hasten in asyncio's place and nothing else.
    """
    import textwrap

    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "program.py"
        program = textwrap.dedent(gotcha.program)
        if on == "import":
            program = re.sub(r"^import asyncio(?:, (\w+))?$", _import, program, flags=re.MULTILINE)
        path.write_text(program, "utf-8")
        command = [sys.executable, *(["-m", "hasten", "run"] if on == "hasten" else []), "program.py"]
        environment = {
            key: value for key, value in os.environ.items() if not key.startswith(("HASTEN_W", "PYTHONASYNC"))
        }
        environment |= {"HASTEN_WATCH": "1"} if on == "hasten" else {}
        try:
            done = subprocess.run(
                command, cwd=scratch, capture_output=True, text=True, timeout=PATIENCE, check=False, env=environment
            )
        except subprocess.TimeoutExpired:
            return "(hangs for ever)"
        return done.stderr.replace(f"{scratch}{os.sep}", "")


def _import(found: re.Match[str]) -> str:
    return "import hasten as asyncio" + (f", {found[1]}" if found[1] else "")


def always(gotcha: Gotcha) -> bool:
    """True if hasten says so without the watch too."""
    return re.search(gotcha.wanted, "\n".join(told(output(gotcha, "import")))) is not None


def told(text: str) -> list[str]:
    """The lines that tell something: of a traceback the end; no frames, no lines of source."""
    lines = [line for line in text.splitlines() if line.strip()]
    found = [line for line in lines if line.startswith("  Instead:") or not line.startswith((" ", "Traceback"))]
    return [re.sub(r"0x[0-9a-f]+", "0x7f…", line.strip()) for line in found if not re.search(NOISE, line)]


def cell(lines: list[str], limit: int) -> str:
    if not lines:
        return "nothing"
    shown = []
    for line in lines[:limit]:
        short = line if len(line) < 170 else line[:167].rsplit(" ", 1)[0] + " …"
        shown.append(short.replace("|", "\\|").replace("`", "'"))
    return "<br>".join(f"`{line}`" if not line.startswith("(") else line for line in shown)


def table() -> str:
    rows = ["| mistake | asyncio says | hasten says | told |", "| --- | --- | --- | --- |"]
    for gotcha in GOTCHAS:
        stock, ours = told(output(gotcha, "asyncio")), told(output(gotcha, "hasten"))
        page = f" ([page]({gotcha.page}))" if gotcha.page else ""
        when = "always" if always(gotcha) else WATCHED
        rows.append(f"| {gotcha.title} | {cell(stock, 2)} | {cell(ours, 4)}{page} | {when} |")
    return "\n".join(rows)


def main() -> None:
    text = README.read_text("utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    README.write_text(f"{before}{BEGIN}\n{table()}\n{END}{after}", "utf-8")


if __name__ == "__main__":
    main()
