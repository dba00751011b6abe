"""Runs CPython's own asyncio tests on hasten and prints what passed.

    python tests/cpython/run.py                                        all modes, all modules, in two processes
    python tests/cpython/run.py --mode loop --modules test_tasks,test_futures --list
    python tests/cpython/run.py --only test_cancel --list              tests whose id contains a text
    python tests/cpython/run.py --subject asyncio                      the runner's self-check: nothing may fail
    python tests/cpython/run.py --record build/conformance             writes the counts of this interpreter, as JSON
    python tests/cpython/run.py --report build/conformance             writes docs/conformance.md from such records

Exit status 1 when a test that is not excluded fails.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from conformance import report, supervisor
from conformance.exclusions import Exclusions
from conformance.plan import MODES, MODULES, Job, available, suite_folder
from conformance.verdict import Verdict, judge


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mode", choices=MODES, action="append", help="default: all")
    parser.add_argument("--modules", help="a comma-separated list; default: all")
    parser.add_argument("--only", default="", help="a comma-separated list of texts, one of which a test's id contains")
    parser.add_argument("--subject", default="hasten", help="the module in asyncio's place")
    parser.add_argument("--list", action="store_true", help="list what failed, and what is excluded and passes")
    parser.add_argument("--verbose", action="store_true", help="like --list, with the tracebacks")
    parser.add_argument("--jobs", type=int, default=2, help="child processes at a time")
    parser.add_argument("--record", type=Path, help="a folder to write the counts to")
    parser.add_argument(
        "--report", type=Path, help="write docs/conformance.md from the records in a folder; runs nothing"
    )
    return parser.parse_args()


def _jobs(arguments: argparse.Namespace, folder: Path) -> list[Job]:
    wanted = arguments.modules.split(",") if arguments.modules else MODULES
    unknown = set(wanted) - set(MODULES)
    if unknown:
        sys.exit(f"run.py: no such module: {', '.join(sorted(unknown))}; there are {', '.join(MODULES)}")
    only = tuple(filter(None, arguments.only.split(",")))
    modes = arguments.mode or list(MODES)
    return [
        Job(name, mode, arguments.subject, only) for mode in modes for name in wanted if name in available(folder, mode)
    ]


def main() -> int:
    arguments = _arguments()
    if arguments.report:
        print(report.write_page(arguments.report))
        return 0
    folder = suite_folder()
    if folder is None:
        sys.exit("run.py: this interpreter comes without test.test_asyncio; Debian has it in libpython3.X-testsuite")
    jobs = _jobs(arguments, folder)
    exclusions = {mode: Exclusions(mode) for mode in MODES}
    verdicts: list[Verdict] = []
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for job, outcome in zip(jobs, pool.map(supervisor.run, jobs), strict=True):
            verdict = judge(job, outcome, exclusions[job.mode])
            verdicts.append(verdict)
            print(report.progress(verdict), flush=True)
            if arguments.list or arguments.verbose:
                print(report.details(verdict, arguments.verbose), end="", flush=True)
    print(report.table(verdicts))
    if not arguments.only:
        for mode in {job.mode for job in jobs}:
            unused = exclusions[mode].unused([job.module for job in jobs if job.mode == mode])
            if unused:
                print(f"patterns that exclude nothing here ({mode} mode): {', '.join(unused)}")
    if arguments.record:
        print(report.record(arguments.record, verdicts))
    return 1 if any(verdict.failed for verdict in verdicts) else 0


if __name__ == "__main__":
    sys.exit(main())
