"""Prints the sum of several pytest runs in pytest's own form.

    python tools/ci_summary.py FOLDER FAILED_STEPS SECONDS

FOLDER holds the runs' JUnit files. Exit status 1 when a test or a step failed, or when there is no run at all.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree


def count(folder: Path) -> Counter[str]:
    """The outcomes in all JUnit files of `folder`."""
    sums: Counter[str] = Counter()
    for file in sorted(folder.glob("*.xml")):
        for suite in ElementTree.parse(file).iter("testsuite"):
            numbers = {name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")}
            sums["failed"] += numbers["failures"]
            sums["errors"] += numbers["errors"]
            sums["skipped"] += numbers["skipped"]
            sums["passed"] += numbers["tests"] - numbers["failures"] - numbers["errors"] - numbers["skipped"]
    return sums


def main(folder: str, failed_steps: str, seconds: str) -> int:
    sums = count(Path(folder))
    names = ("failed", "passed", "skipped", "errors")
    text = ", ".join(f"{sums[name]} {name}" for name in names if sums[name]) or "no tests ran"
    bad = int(failed_steps) > 0 or sums["failed"] > 0 or sums["errors"] > 0
    if int(failed_steps):
        print(f"{failed_steps} steps failed")
    print(f" {text} in {seconds}s ".center(100, "="))
    return 1 if bad else 0


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: python tools/ci_summary.py FOLDER FAILED_STEPS SECONDS")
    sys.exit(main(*sys.argv[1:]))
