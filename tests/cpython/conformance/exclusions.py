"""The list of tests that do not count, each with a reason: `exclusions.toml`."""

from __future__ import annotations

import sys
import tomllib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from conformance.plan import MODES

FILE = Path(__file__).parent.parent / "exclusions.toml"


@dataclass(frozen=True)
class Exclusion:
    reason: str
    tests: tuple[str, ...]
    modes: tuple[str, ...] = MODES
    # False: not even started, because it would not end or would take others down with it
    run: bool = True
    # True: the same test stands in another class and counts there; left out of all counts
    duplicate: bool = False

    def pattern_for(self, test: str) -> str | None:
        """The pattern that covers `test` (module.Class.method)."""
        return next((pattern for pattern in self.tests if fnmatchcase(test, pattern)), None)


def _covers(bounds: str, version: tuple[int, ...]) -> bool:
    """Whether `version` lies within bounds such as ">=3.12" or ">=3.12.2,<3.14"."""
    for bound in filter(None, bounds.split(",")):
        sign = bound.rstrip("0123456789.")
        limit = tuple(int(part) for part in bound[len(sign) :].split("."))
        if not {">=": version >= limit, "<": version < limit}[sign]:
            return False
    return True


class Exclusions:
    """The exclusions that apply to one mode on this interpreter."""

    def __init__(self, mode: str, file: Path = FILE, version: tuple[int, ...] = sys.version_info[:3]) -> None:
        with file.open("rb") as stream:
            entries = tomllib.load(stream)["exclusion"]
        self.entries: list[Exclusion] = []
        for entry in entries:
            applies = _covers(entry.pop("python", ""), version)
            entry["tests"] = tuple(entry["tests"])
            if "modes" in entry:
                entry["modes"] = tuple(entry["modes"])
            exclusion = Exclusion(**entry)
            if not exclusion.reason.strip():
                raise ValueError(f"{file.name}: an exclusion without a reason: {exclusion.tests}")
            if applies and mode in exclusion.modes:
                self.entries.append(exclusion)
        self.used: set[str] = set()

    def find(self, test: str) -> Exclusion | None:
        """What excludes `test` (module.Class.method), if anything does."""
        for exclusion in self.entries:
            pattern = exclusion.pattern_for(test)
            if pattern is not None:
                self.used.add(pattern)
                return exclusion
        return None

    def unused(self, modules: list[str]) -> list[str]:
        """Patterns for `modules` that covered nothing that was asked for: to be removed from the list, or misspelt."""
        patterns = [pattern for exclusion in self.entries for pattern in exclusion.tests]
        return [p for p in patterns if p not in self.used and p.split(".")[0] in modules]
