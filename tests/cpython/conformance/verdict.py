"""What a module's outcome means, given the exclusions."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from conformance.exclusions import Exclusions
from conformance.plan import Job
from conformance.supervisor import Outcome, Record


@dataclass
class Verdict:
    """The tests of one job, sorted."""

    job: Job
    passed: dict[str, Record] = field(default_factory=dict)
    failed: dict[str, Record] = field(default_factory=dict)
    # skipped by the suite itself (wrong platform, a missing feature)
    skipped: dict[str, Record] = field(default_factory=dict)
    # loop mode: passed without ever asking for a loop
    unrelated: dict[str, Record] = field(default_factory=dict)
    excluded: dict[str, Record] = field(default_factory=dict)
    # excluded, and passed all the same: the list may be too long
    excluded_passing: dict[str, Record] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)
    skip_reason: str = ""


def judge(job: Job, outcome: Outcome, exclusions: Exclusions) -> Verdict:
    """Sorts the tests of `outcome`."""
    verdict = Verdict(job, skip_reason=outcome.skipped)
    if outcome.broken:
        verdict.failed["(module)"] = Record("crash", outcome.broken)
    for test, record in outcome.tests.items():
        exclusion = exclusions.find(f"{job.module}.{test}")
        if exclusion is not None and exclusion.duplicate:
            continue
        if exclusion is not None:
            verdict.reasons[exclusion.reason] += 1
            verdict.excluded[test] = record
            if record.outcome == "pass":
                verdict.excluded_passing[test] = record
        elif record.bad:
            verdict.failed[test] = record
        else:
            {"pass": verdict.passed, "skip": verdict.skipped, "unrelated": verdict.unrelated}[record.outcome][test] = (
                record
            )
    return verdict
