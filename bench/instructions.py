"""`python -m bench.instructions WORKLOAD…`: instructions per operation, counted by valgrind.

Times vary by some percent from run to run; instruction counts hardly do, so they show a small regression. Each
workload runs at two sizes: the difference leaves out start-up. `--save` keeps the counts, `--against` compares.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.children import ROOT, python
from bench.contenders import CONTENDERS, Contender, why_absent
from bench.failures import Failure, Unsupported
from bench.tasks import TASKS

PATIENCE = 300


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.instructions", description=__doc__)
    parser.add_argument("workloads", nargs="+", metavar="WORKLOAD", help=f"of: {', '.join(TASKS)}")
    keys = [each.key for each in CONTENDERS if each.is_python]
    parser.add_argument("--loop", choices=keys, default="hasten", help="which column (default: hasten)")
    parser.add_argument(
        "--top", type=int, default=0, metavar="N", help="also the N functions with the most instructions"
    )
    parser.add_argument("--save", type=Path, metavar="FILE.json", help="keep the counts")
    parser.add_argument("--against", type=Path, metavar="FILE.json", help="compare; exit status 1 when one is higher")
    parser.add_argument("--tolerance", type=float, default=2.0, metavar="PERCENT", help="of a comparison (default: 2)")
    options = parser.parse_args(argv)
    if unknown := set(options.workloads) - TASKS.keys():
        parser.error(f"no workload {', '.join(sorted(unknown))}; there are {', '.join(TASKS)}")
    return options


def count(contender: Contender, workload: str, size: int, profile: Path) -> tuple[int, int]:
    """(instructions of a whole run, operations in it); the profile is left in the file. Raises Failure."""
    arguments = ["counted", "--name", workload, "--size", str(size)]
    arguments += ["--loop", contender.loop, "--functions", contender.functions]
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={profile}", *python(*arguments)]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=PATIENCE,
            check=False,
            env=dict(os.environ, PYTHONHASHSEED="0"),
        )
    except subprocess.TimeoutExpired:
        raise Failure("hang", f"no end within {PATIENCE} s") from None
    messages = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"event"')]
    for message in messages:
        if message["event"] == "unsupported":
            raise Unsupported(message["why"])
    total = re.search(r"^(?:summary|totals): (\d+)", profile.read_text() if profile.exists() else "", re.MULTILINE)
    results = [message for message in messages if message["event"] == "result"]
    if done.returncode or not results or not total:
        lines = [line for line in done.stderr.splitlines() if line and not line.startswith("==")]
        raise Failure("error", lines[-1] if lines else f"valgrind ended with status {done.returncode}")
    return int(total[1]), results[-1]["operations"]


def per_operation(contender: Contender, workload: str, folder: Path) -> float:
    """Instructions per operation: what a run three times as long has more, shared among its further operations."""
    small = max(10, TASKS[workload].size // 50)
    few, less = count(contender, workload, small, folder / "small")
    many, more = count(contender, workload, 3 * small, folder / "large")
    return (many - few) / (more - less)


def functions(profile: Path, most: int) -> list[str]:
    """The functions with the most instructions of their own, as callgrind_annotate lists them."""
    done = subprocess.run(["callgrind_annotate", str(profile)], capture_output=True, text=True, check=False)
    lines = re.findall(r"^\s*([\d,]+ \([ \d.]+%\))\s+\S*?([^/\s]+:\S+)", done.stdout, re.MULTILINE)
    return [f"    {share:>24}  {name}" for share, name in lines[:most]]


def compare(counts: dict[str, float], before: dict[str, float], tolerance: float) -> list[str]:
    """The workloads that take more instructions than before, in words."""
    worse = []
    for name, value in counts.items():
        if name not in before:
            print(f"{name}: nothing to compare with")
        elif value > before[name] * (1 + tolerance / 100):
            worse.append(f"{name}: {before[name]:,.0f} → {value:,.0f} ({value / before[name] - 1:+.1%})")
    return worse


def main() -> int:
    options = parse()
    contender = next(each for each in CONTENDERS if each.key == options.loop)
    if shutil.which("valgrind") is None:
        print("instructions: valgrind is not installed (Debian: apt install valgrind)", file=sys.stderr)
        return 2
    if (why := why_absent(contender)) is not None:
        print(f"instructions: {contender.key} cannot run here: {why}", file=sys.stderr)
        return 2
    before = json.loads(options.against.read_text()) if options.against else None
    counts: dict[str, float] = {}
    failed = False
    with tempfile.TemporaryDirectory(prefix="hasten-bench-") as name:
        for workload in options.workloads:
            try:
                counts[workload] = per_operation(contender, workload, Path(name))
            except Failure as failure:
                print(f"{workload:18} {failure.kind}: {failure.why}", flush=True)
                failed = failed or failure.kind != "unsupported"
                continue
            print(f"{workload:18} {counts[workload]:>12,.0f} instructions per operation", flush=True)
            for line in functions(Path(name) / "large", options.top) if options.top else []:
                print(line)
    if options.save:
        options.save.write_text(json.dumps(counts, indent=1) + "\n")
    worse = [] if before is None else compare(counts, before, options.tolerance)
    for line in worse:
        print(f"instructions: more than before: {line}", file=sys.stderr)
    return 1 if worse or failed else 0


if __name__ == "__main__":
    sys.exit(main())
