"""A pytest plugin for anyio's own tests: on which loop they run, and a line for the outcome of each.

pytest -p anyio_plugin --way WAY --outcomes FILE, where WAY is one of

    asyncio     everything as it comes
    loop        loops of hasten wherever a test asks for the backend "asyncio"; functions and tasks are asyncio's
    install     under `hasten run`: also functions, tasks, and the loops that tests make for themselves
"""

import asyncio
import functools
import json

import pytest

import hasten

WAYS = ("asyncio", "loop", "install")
# The later one counts when a test has several: its set-up, its call, its tear-down.
RANK = ("passed", "xfailed", "skipped", "xpassed", "failed", "error")


def pytest_addoption(parser):
    parser.addoption("--way", choices=WAYS, required=True)
    parser.addoption("--outcomes", required=True)


def pytest_configure(config):
    config.pluginmanager.register(Outcomes(config.getoption("--way"), config.getoption("--outcomes")))


def of_another_loop(item):
    """Whether an item is for trio, or for a loop other than asyncio's own: neither is about hasten."""
    match getattr(item, "callspec", None) and item.callspec.params.get("anyio_backend"):
        case (str(backend), {"loop_factory": factory}):
            return backend != "asyncio" or not str(getattr(factory, "__module__", "")).endswith("conftest")
        case (str(backend), dict()) | str(backend):
            return backend != "asyncio"
    return False


def new_eager_loop():
    loop = hasten.new_event_loop()
    loop.set_task_factory(asyncio.eager_task_factory)
    return loop


made = []  # a word for each loop of hasten


@functools.wraps(hasten.EventLoop.__init__)
def counted(self, *args, make=hasten.EventLoop.__init__, **kwargs):
    made.append("loop")
    make(self, *args, **kwargs)


hasten.EventLoop.__init__ = counted


class Outcomes:
    def __init__(self, way, file):
        self.way = way
        self.outcomes = {}
        self.file = open(file, "w", buffering=1)  # noqa: SIM115 - closed at the end of the session

    def on_hasten(self, backend):
        """The parameter `anyio_backend`, with the loop's factory exchanged."""
        name, options = (backend, {}) if isinstance(backend, str) else backend
        factory = new_eager_loop if "loop_factory" in options else hasten.new_event_loop
        return name, {**options, "loop_factory": factory}

    def pytest_collection_modifyitems(self, config, items):
        others = [item for item in items if of_another_loop(item) or item.get_closest_marker("network")]
        if others:
            config.hook.pytest_deselected(items=others)
            items[:] = [item for item in items if item not in set(others)]
        if self.way == "loop":
            for item in items:
                params = item.callspec.params if hasattr(item, "callspec") else {}
                if "anyio_backend" in params:
                    params["anyio_backend"] = self.on_hasten(params["anyio_backend"])

    def pytest_runtest_logreport(self, report):
        outcome = report.outcome
        if hasattr(report, "wasxfail"):
            outcome = "xpassed" if report.passed else "xfailed"
        elif report.failed and report.when != "call":
            outcome = "error"
        crash = getattr(report.longrepr, "reprcrash", None)
        found = outcome, crash.message[:2000] if crash else ""
        known = self.outcomes.get(report.nodeid, ("passed", ""))
        self.outcomes[report.nodeid] = max(known, found, key=lambda each: RANK.index(each[0]))
        if report.when == "teardown":
            outcome, text = self.outcomes[report.nodeid]
            self.write(test=report.nodeid, outcome=outcome, text=text)

    def write(self, **fields):
        self.file.write(json.dumps(fields) + "\n")

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self):
        self.write(hasten_loops=len(made))
        self.file.close()
