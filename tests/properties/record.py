"""Records what the newest asyncio does, so that hasten can be held to it on every Python.

    python -m tests.properties.record           writes recorded.txt; needs the newest Python
    python -m tests.properties.record PROGRAM   shows what this Python's asyncio does

A line of recorded.txt: theme, digest of the log, program; with tabs between.
"""

from __future__ import annotations

import ast
import hashlib
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings

from . import found, grammar, machine, themes
from .comparing import STOCK

FILE = Path(__file__).with_name("recorded.txt")
TRIED = 400  # programs of a theme, of which
KEPT = 10  # are kept, those that show the most
LONGEST = 600  # characters of a program
FOUND, TOGETHER = "found", "all together"


def digest(log: list[machine.Note]) -> str:
    return hashlib.sha256(repr(log).encode()).hexdigest()[:16]


def recorded() -> Iterator[tuple[str, str, Any]]:
    """Theme, digest, program."""
    for line in FILE.read_text(encoding="utf-8").splitlines():
        theme, expected, program = line.split("\t")
        yield theme, expected, ast.literal_eval(program)


def some(parts: list[str]) -> list[Any]:
    programs: list[Any] = []

    @settings(
        max_examples=TRIED,
        derandomize=True,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(program=grammar.programs(*parts))
    def collect(program: Any) -> None:
        if len(repr(program)) <= LONGEST and program not in programs:
            programs.append(program)

    collect()
    return programs


def shown(log: list[machine.Note]) -> set[str]:
    """What kinds of things happened."""
    doing: dict[str, str] = {}
    kinds = set()
    for who, what, *rest in log:
        if what in ("gave", "raised"):
            kinds.add(f"{doing.get(who)} {what} {rest[0]}")
        else:
            doing[who] = what
            kinds.add(f"{what} {len(rest)}" if what != "fails" else f"fails {rest}")
    return kinds


def best(programs: list[Any], count: int) -> list[Any]:
    """Those that together show the most."""
    kinds = [shown([note for note in machine.run(*STOCK, program) if len(note) > 1]) for program in programs]
    chosen: list[Any] = []
    seen: set[str] = set()
    for _ in range(count):
        at = max(range(len(programs)), key=lambda i: len(kinds[i] - seen))
        if not kinds[at] - seen:
            break
        seen |= kinds[at]
        chosen.append(programs[at])
    return chosen


def main() -> None:
    warnings.simplefilter("ignore", RuntimeWarning)
    if len(sys.argv) > 1:
        for note in machine.run(*STOCK, ast.literal_eval(sys.argv[1])):
            print(note)
        return
    if sys.version_info < themes.NEWEST:
        sys.exit("needs Python {}.{}".format(*themes.NEWEST))
    chosen = {FOUND: list(found.FOUND.values())}
    for name in themes.THEMES:
        older = [found.OLDER[name]] if name in found.OLDER else []
        chosen[name] = older + best(some(themes.parts_of([name])), KEPT)
    chosen[TOGETHER] = best(some(themes.parts_of(list(themes.THEMES))), 3 * KEPT)
    lines = [
        f"{theme}\t{digest(machine.run(*STOCK, program))}\t{program!r}"
        for theme, programs in chosen.items()
        for program in programs
    ]
    FILE.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
