"""`python -m bench`: hasten beside asyncio and uvloop."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench import contenders, machine, report
from bench.contenders import CONTENDERS, FLOOR, Contender
from bench.failures import Failure
from bench.measuring import QUICK, Bench, Effort
from bench.native import NoCompiler
from bench.results import Results
from bench.workloads import GROUPS, WORKLOADS, Workload, choose


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, help="how often each workload runs on each loop (default: 5, quick: 1)")
    parser.add_argument("--only", default=",".join(GROUPS), help="names, groups or patterns, with commas between")
    parser.add_argument("--columns", help=f"with commas between, of: {', '.join(c.key for c in [*CONTENDERS, FLOOR])}")
    parser.add_argument("--quick", action="store_true", help="short windows and one round: to see that all works")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="keep every run and its circumstances")
    parser.add_argument(
        "--markdown", type=Path, action="append", default=[], metavar="FILE", help="put the tables between its markers"
    )
    parser.add_argument("--from", type=Path, dest="source", metavar="FILE.json", help="measure nothing, report this")
    parser.add_argument("--list", action="store_true", help="name the workloads and end")
    options = parser.parse_args(argv)
    try:
        options.workloads = choose(options.only)
    except ValueError as error:
        parser.error(str(error))
    options.columns = _columns(parser, options.columns)
    if options.rounds is None:
        options.rounds = 1 if options.quick else 5
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    for path in options.markdown:
        if not report.has_markers(path):
            parser.error(f"{path} has no <!-- bench:begin --> … <!-- bench:end --> to put the tables between")
    return options


def _columns(parser: argparse.ArgumentParser, text: str | None) -> list[Contender]:
    if text is None:
        return list(CONTENDERS)
    wanted, known = text.split(","), [*CONTENDERS, FLOOR]
    if unknown := set(wanted) - {each.key for each in known}:
        parser.error(f"no column {', '.join(sorted(unknown))}")
    return [each for each in known if each.key in wanted]


def circumstances(options: argparse.Namespace, effort: Effort, absent: dict[str, str]) -> dict[str, object]:
    """What stands in the results file beside the runs."""
    packages = dict.fromkeys([each.package for each in options.columns if each.is_python] + ["aiohttp"])
    found = {package: contenders.version(package) for package in packages if package != "asyncio"}
    return {
        "machine": machine.describe(),
        "versions": {package: version for package, version in found.items() if version},
        "contenders": [each.key for each in options.columns],
        "absent": absent,
        "uncompiled": [] if "hasten" in absent else contenders.uncompiled_parts(),
        "rounds": options.rounds,
        "quick": options.quick,
        "effort": dataclasses.asdict(effort),
    }


def run_workload(bench: Bench, workload: Workload, columns: list[Contender], rounds: int, results: Results) -> None:
    """All rounds of a workload, the contenders taking turns. What cannot run or hangs is not tried again."""
    hopeless = set()
    for number in range(rounds):
        for contender in columns:
            if contender.key in hopeless:
                continue
            run: dict[str, object] = {"workload": workload.name, "contender": contender.key, "round": number}
            try:
                run["figures"] = bench.measure(workload, contender)
            except Failure as failure:
                run |= {"failure": failure.kind, "why": failure.why}
                if failure.kind in ("unsupported", "hang"):
                    hopeless.add(contender.key)
            results.runs.append(run)


def measure(options: argparse.Namespace) -> Results:
    """Measures what was asked for, telling each row as it is there."""
    effort = QUICK if options.quick else Effort()
    absent = {each.key: why for each in options.columns if (why := contenders.why_absent(each)) is not None}
    for key, why in absent.items():
        print(f"{key} is not measured: {why}", flush=True)
    columns = [each for each in options.columns if each.key not in absent]
    results = Results(circumstances(options, effort, absent))
    for name in results.meta["uncompiled"]:
        print(f"warning: {name} runs uncompiled; hasten's figures say nothing", flush=True)
    with Bench(effort) as bench:
        try:
            for workload in options.workloads:
                start = time.monotonic()
                run_workload(bench, workload, columns, options.rounds, results)
                cells = [(each.key, report.cell(results, workload.name, each.key)) for each in columns]
                row = "  ".join(f"{key} {text}" for key, text in cells if text != "—")
                print(f"{workload.name:18} {row}  [{time.monotonic() - start:.0f} s]", flush=True)
                if options.out:
                    results.save(options.out)
        except KeyboardInterrupt:
            print("interrupted: what was measured so far stands in the results", file=sys.stderr)
            raise
    return results


def faults(results: Results) -> int:
    """How many workloads hasten could not run though nothing was missing for it."""
    count: int = sum(key.startswith("hasten") for key in results.meta["absent"])
    for name in results.workloads():
        for key in results.contenders():
            summary = results.summary(name, key)
            if key.startswith("hasten") and summary is not None and summary.supported and summary.failures:
                count += 1
    return count


def main() -> int:
    options = parse()
    if options.list:
        for workload in WORKLOADS.values():
            print(f"{workload.group:7} {workload.name:18} {workload.what}")
        return 0
    try:
        results = Results.load(options.source) if options.source else measure(options)
    except (NoCompiler, ValueError, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    print("\n" + report.markdown(results))
    for path in options.markdown:
        if not report.write(results, path):
            print(f"bench: {path} has no place for results of this Python", file=sys.stderr)
            return 2
    if broken := faults(results):
        print(f"bench: hasten failed in {broken} places; see the tables", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
