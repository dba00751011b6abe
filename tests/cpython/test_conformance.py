"""CPython's own asyncio tests on hasten: one test here per module of theirs and mode. See README.md."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = str(Path(__file__).parent)
if HERE not in sys.path:
    sys.path.insert(0, HERE)

from conformance import report, supervisor  # noqa: E402 - found through the line above
from conformance.exclusions import Exclusions  # noqa: E402
from conformance.plan import MODES, MODULES, Job, available, suite_folder  # noqa: E402
from conformance.verdict import judge  # noqa: E402

SUITE = suite_folder()
MISSING = "this interpreter comes without test.test_asyncio (Debian has it in libpython3.X-testsuite)"


def modules(mode: str) -> list[str]:
    return available(SUITE, mode) if SUITE else [MODULES[0]]


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("mode", "module"), [(mode, name) for mode in MODES for name in modules(mode)])
def test_module(mode: str, module: str) -> None:
    if SUITE is None:
        pytest.skip(MISSING)
    job = Job(module, mode)
    verdict = judge(job, supervisor.run(job), Exclusions(mode))
    if verdict.skip_reason:
        pytest.skip(verdict.skip_reason)
    assert not verdict.failed, "\n" + report.progress(verdict) + "\n" + report.details(verdict, verbose=True)


@pytest.mark.parametrize("mode", MODES)
def test_runner_finds_no_fault_with_the_stdlib(mode: str) -> None:
    """The runner's self-check: what it reports must be the subject's fault and never its own."""
    if SUITE is None:
        pytest.skip(MISSING)
    for module in {"test_futures", "test_queues", "test_runners"} & {*modules(mode)}:
        job = Job(module, mode, subject="asyncio")
        verdict = judge(job, supervisor.run(job), Exclusions(mode))
        assert not verdict.failed, report.details(verdict, verbose=True)
        assert len(verdict.passed) > 20


def test_every_exclusion_names_a_module_that_is_run() -> None:
    for mode in MODES:
        for exclusion in Exclusions(mode).entries:
            for pattern in exclusion.tests:
                assert pattern.split(".")[0] in (*MODULES, "*"), pattern
