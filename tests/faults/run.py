"""Lets system calls fail on purpose, by strace, while a scenario runs, and looks what comes of it.

    python tests/faults/run.py                                  each call of each scenario, with each error it can have
    python tests/faults/run.py tcp udp --call epoll_ctl         two scenarios, one call
    python tests/faults/run.py --sample 3 --seed 7              of each scenario three faults, drawn by a seed
    python tests/faults/run.py tcp --fault sendto:EPIPE:4 -v    one fault; strace's when=4: the fourth call
    python tests/faults/run.py --loop asyncio                   the same on asyncio's own loop, to compare
    python tests/faults/run.py --record build/faults            writes the counts of this interpreter, as JSON
    python tests/faults/run.py --report build/faults            writes docs/conformance.md from such records

First a scenario runs under strace without a fault, which shows the calls that it makes. Then each of them fails, with
each error that errors.py has for it. What must not come of it: a crash, a hang, a busy loop, an open descriptor, a
child or a thread that is left, a byte that is lost while nobody is told of an error, an error that says nothing of the
system.

Exit status 1 when something went wrong, 2 when strace cannot be had.
"""

from __future__ import annotations

import argparse
import errno
import os
import random
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from faults import report, trial
from faults.errors import FOR_A_WHILE, FOR_GOOD, INTERRUPTED, TIMES, errors
from faults.scenarios import SCENARIOS, Scenario
from faults.scene import Scene
from faults.trial import Call, Fault, Result, Trial

MOST_CALLS = 3  # times as many as without a fault may a run make, and some more
MORE_CALLS = 400


# What is not for hasten to mend: the call, the beginning of what is wrong, and why that is so.
_POPEN = "the interpreter's Popen forgets a child when it cannot close its own side of a pipe"
EXPLAINED = [
    ("close", "left open: subprocess", _POPEN),
    ("close", "children are left: ['one that still runs']", _POPEN),
]


class Course:
    """A scenario on one loop, with what it does when nothing fails."""

    def __init__(self, kind: str, scenario: Scenario, folder: Path) -> None:
        self.kind, self.scenario, self.folder = kind, scenario, folder
        self._warm_up()
        self.plain = self.tried(None)
        if self.plain.wrong or self.plain.told:
            raise RuntimeError(f"{scenario.name} fails without a fault: {self.plain.wrong} {self.plain.told}")
        if not any(call.name == "epoll_ctl" for call in self.plain.calls):
            raise RuntimeError(f"{scenario.name}: strace shows none of the loop's calls: {self.plain.calls}")

    def _warm_up(self) -> None:
        """Run it here: what is imported on the way, and looked up once, is there in each child."""
        namespace, loop_factory = trial.kinds()[self.kind]
        with tempfile.TemporaryDirectory(prefix="faults-") as folder:
            scene = Scene(namespace, Path(folder))
            scene.run(self.scenario.run, loop_factory)
            scene.judge()
        if scene.wrong or scene.told:
            raise RuntimeError(f"{self.scenario.name} fails without strace: {scene.wrong} {scene.told}")

    def faults(self) -> list[Fault]:
        """All that can fail in it. Raises NoRule for a call that errors.py does not know."""
        found: dict[Fault, None] = {}
        first: dict[str, Call] = {}
        interrupted = set(INTERRUPTED.split())
        for call in self.plain.calls:
            if not self.scenario.takes(call.name):
                continue
            first.setdefault(call.name, call)
            own = errors(call.name, call.arguments)
            for error in own:
                found[Fault(call.name, error, str(call.n))] = None
            if "EINTR" not in own:
                interrupted.discard(call.name)  # as a write to an eventfd: strace cannot leave out one descriptor
        for name, call in first.items():
            for error in FOR_GOOD.get(name, "").split():
                found[Fault(name, error, f"{call.n}+")] = None
            for error in FOR_A_WHILE.get(name, "").split():
                found[Fault(name, error, f"{call.n}..{call.n + TIMES - 1}")] = None
        if not self.scenario.only:
            for when in ("1+2", "2+2"):
                found[Fault(" ".join(sorted(interrupted)), "EINTR", when)] = None
        return list(found)

    def tried(self, fault: Fault | None) -> Result:
        """Run it once."""
        with tempfile.TemporaryDirectory(prefix="faults-") as folder:
            result = Trial(self.kind, self.scenario, Path(folder), fault).run()
        if fault is not None and len(result.calls) > len(self.plain.calls) * MOST_CALLS + MORE_CALLS:
            result.wrong.append(f"busy: {len(result.calls)} system calls in the place of {len(self.plain.calls)}")
        if fault is not None:
            result.wrong[:] = [line for line in result.wrong if not _explained(fault, line)]
        return result


def _explained(fault: Fault, line: str) -> bool:
    return any(fault.call == call and line.startswith(beginning) for call, beginning, _ in EXPLAINED)


def told_it(fault: Fault, result: Result) -> bool:
    """Was somebody told this very error?"""
    number = getattr(errno, fault.error)
    text = os.strerror(number)
    return any(number in each["errnos"] or text in each["error"] for each in result.told)


def lines(course: Course, fault: Fault, result: Result, verbose: bool) -> Iterable[str]:
    """What is to be said of a run."""
    yield f"{course.scenario.name} {fault}: {result.verdict}"
    yield from (f"    met: {line}" for line in result.met[:3])
    yield from (f"    WRONG: {line}" for line in result.wrong)
    for each in result.told[: None if verbose else 6]:
        yield f"    told: {each['where']}: {each['error']}"
        if "traceback" in each:
            yield "".join(f"        {line}\n" for line in each["traceback"].splitlines())
    yield from (f"    {line}" for line in result.detail.splitlines())
    if result.wrong:
        when = f"{fault.call.replace(' ', ',')}:{fault.error}:{fault.when}"
        loop = "" if course.kind == "hasten" else f" --loop {course.kind}"
        yield f"    repeat it: {sys.executable} {__file__} {course.scenario.name} --fault {when} -v{loop}"


def _chosen(course: Course, options: argparse.Namespace) -> list[Fault]:
    if options.fault:
        return options.fault
    faults = course.faults()
    if options.call:
        faults = [fault for fault in faults if fault.call in options.call]
    if options.error:
        faults = [fault for fault in faults if fault.error in options.error]
    if options.sample:
        rng = random.Random(f"{options.seed} {course.scenario.name}")
        faults = rng.sample(faults, min(options.sample, len(faults)))
    return faults


def run(options: argparse.Namespace, folder: Path, show: Callable[[str], None]) -> list[dict[str, object]]:
    rows = []
    for name in options.scenario or SCENARIOS:
        course = Course(options.loop, SCENARIOS[name], folder)
        counts = report.new_row(name, SCENARIOS[name].what, options.loop)
        for fault in _chosen(course, options):
            result = course.tried(fault)
            if result.verdict == "wrong" and not options.fault:
                again = course.tried(fault)  # another timing, or is it so?
                counts["once"] += again.verdict != "wrong"
            report.count(counts, result.verdict)
            other = result.verdict == "told" and not told_it(fault, result)
            counts["other"] += other
            if result.verdict == "wrong" or options.verbose or (other and options.others):
                show("\n".join(lines(course, fault, result, options.verbose)))
        rows.append(counts)
        if not options.quiet:
            show(report.line(counts))
    return rows


def _fault(text: str) -> Fault:
    call, error, when = text.split(":")
    return Fault(call.replace(",", " "), error, when)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenario", nargs="*", help=f"some of {', '.join(SCENARIOS)}; default: all")
    parser.add_argument("--loop", choices=list(trial.kinds()), default="hasten")
    parser.add_argument("--call", action="append", help="only faults of this call")
    parser.add_argument("--error", action="append", help="only this error, as EINTR")
    parser.add_argument("--fault", action="append", type=_fault, metavar="CALL:ERROR:WHEN")
    parser.add_argument("--sample", type=int, default=0, help="so many faults of each scenario")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--others", action="store_true", help="list what was told by another error than the call's")
    parser.add_argument("--quiet", action="store_true", help="no counts of each scenario on the way")
    parser.add_argument("--record", type=Path, help="a folder to write the counts to")
    parser.add_argument(
        "--report", type=Path, help="write docs/conformance.md from the records in a folder; runs nothing"
    )
    parser.add_argument("-v", "--verbose", action="store_true")
    options = parser.parse_args()
    unknown = set(options.scenario) - set(SCENARIOS)
    if unknown:
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}; there are {', '.join(SCENARIOS)}")
    if options.report:
        print(report.write_page(options.report))
        return 0
    missing = trial.available()
    if missing:
        print(missing)
        return 2
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        rows = run(options, Path(folder), lambda text: print(text, flush=True))
    print("\n" + report.table(rows), end="")
    if options.record:
        print(report.record(options.record, rows))
    return 1 if any(row["wrong"] for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
