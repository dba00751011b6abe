"""The child's main: puts the subject in place, imports one test module, adapts it, runs it, writes the journal."""

from __future__ import annotations

import faulthandler
import importlib
import os
import signal
import sys
import unittest
from collections.abc import Iterator
from itertools import islice
from types import ModuleType

from conformance import mixtures, namespace, stage
from conformance.exclusions import Exclusions
from conformance.journal import Journal, identity
from conformance.plan import FOREIGN, LOOP, NAMESPACE, Job


def _flatten(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    for each in suite:
        if isinstance(each, unittest.TestSuite):
            yield from _flatten(each)
        else:
            yield each


def _usual_signals() -> None:
    """Whoever started the runner (nohup, a shell's &) may have had signals ignored; tests want them as usual."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for signum in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(signum, signal.SIG_DFL)


def _load(job: Job) -> ModuleType:
    """The test module, with the subject in asyncio's place."""
    setting = stage.Setting(job.subject)
    if job.mode != LOOP and job.subject != "asyncio":
        namespace.install(job.subject)
    stage.install(setting)
    module = importlib.import_module(f"test.test_asyncio.{job.module}")
    stage.adapt(setting, foreign=job.mode == FOREIGN)
    if job.mode != LOOP:
        mixtures.add(module)
    return module


def _select(module: ModuleType, job: Job, journal: Journal) -> list[unittest.TestCase]:
    """The tests to run. Those that are excluded without being run are written down at once."""
    exclusions = Exclusions(job.mode)
    selected = []
    tests = _flatten(unittest.defaultTestLoader.loadTestsFromModule(module))
    for test in islice(tests, job.shard, None, job.shards):
        name = identity(test)
        full = f"{job.module}.{name}"
        if name in job.done or not job.wants(full):
            continue
        exclusion = exclusions.find(full)
        if exclusion is None or (exclusion.run and not exclusion.duplicate):
            selected.append(test)
        else:
            outcome = "duplicate" if exclusion.duplicate else "not run"
            journal.write("end", test=name, outcome=outcome, text="", seconds=0.0)
    return selected


def main(fd: int, text: str) -> None:
    """Runs the job that `text` describes. Does not return: what tests left running must not keep the process."""
    faulthandler.enable()
    _usual_signals()
    os.set_inheritable(fd, False)
    job = Job.from_json(text)
    counted = {LOOP: stage.loops_made, NAMESPACE: None, FOREIGN: stage.foreign_loops}[job.mode]
    journal = Journal(fd, counted, stage.loops_in_real_time)
    try:
        module = _load(job)
    except unittest.SkipTest as skipped:
        journal.write("skip-module", reason=str(skipped))
    else:
        unittest.TestSuite(_select(module, job, journal)).run(journal)
    journal.write("finish")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
