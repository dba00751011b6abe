"""What ended otherwise, and whether that has a reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from suites.libraries import Known
from suites.running import End, Run

ABSENT = End("not run")
ROUNDS = 3


@dataclass
class Comparison:
    """One way's run against asyncio's."""

    way: str
    stock: Run
    ours: Run
    # The reason of each difference that has one.
    explained: dict[str, str] = field(default_factory=dict)
    # Those that passed again and again when they ran without the others.
    among_others: list[str] = field(default_factory=list)
    unexplained: dict[str, tuple[End, End]] = field(default_factory=dict)

    @property
    def reasons(self) -> Counter[str]:
        return Counter(self.explained.values())

    @property
    def good(self) -> bool:
        """The run was whole, it was hasten's loop that it ran on, and each difference has its reason."""
        return not (self.unexplained or self.stock.broken or self.ours.broken) and self.ours.hasten_loops > 0


def differences(stock: Run, ours: Run) -> dict[str, tuple[End, End]]:
    """The tests that passed on asyncio's loop and did not on hasten's."""
    passed = {test: end for test, end in stock.ends.items() if end.outcome == "passed"}
    pairs = {test: (end, ours.ends.get(test, ABSENT)) for test, end in passed.items()}
    return {test: pair for test, pair in pairs.items() if pair[1].outcome != "passed"}


def reason(test: str, way: str, known: Iterable[Known]) -> str:
    """Why a test does not pass, where that is known; else nothing."""
    return next((each.reason for each in known if test.startswith(each.beginning) and way in each.ways), "")


def compare(
    way: str, stock: Run, ours: Run, known: Iterable[Known], again: Callable[[str, tuple[str, ...]], Run]
) -> Comparison:
    """Finds the differences; `again(way, tests)` runs those that have no reason once more, without the others."""
    found = Comparison(way, stock, ours)
    open_ones = {}
    for test, pair in differences(stock, ours).items():
        why = reason(test, way, known)
        if why:
            found.explained[test] = why
        else:
            open_ones[test] = pair
    if not open_ones:
        return found
    # A test may fail because of what others left behind, or because the machine was busy: then it fails on asyncio's
    # loop as often, or never again.
    tests = tuple(sorted(open_ones))
    stock_passed: Counter[str] = Counter()
    ours_passed: Counter[str] = Counter()
    for _ in range(ROUNDS):
        for name, passed in (("asyncio", stock_passed), (way, ours_passed)):
            passed.update(test for test, end in again(name, tests).ends.items() if end.outcome == "passed")
    for test, pair in open_ones.items():
        if ours_passed[test] < max(stock_passed[test], 1):
            found.unexplained[test] = pair
        else:
            found.among_others.append(test)
    return found
