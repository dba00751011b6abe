"""A pytest plugin for anyio's own tests: on which loop they run, and a line for the outcome of each.

pytest -p anyio_plugin --way WAY --outcomes FILE, where WAY is one of

    asyncio     everything as it comes
    loop        loops of hasten wherever a test asks for the backend "asyncio"; functions and tasks are asyncio's
    install     under `hasten run`: also functions, tasks, and the loops that tests make for themselves
"""

import asyncio

import pytest
import recording

import hasten

WAYS = ("asyncio", "loop", "install")


def pytest_addoption(parser):
    parser.addoption("--way", choices=WAYS, required=True)
    parser.addoption("--outcomes", required=True)


def pytest_configure(config):
    notes = recording.Notes(config.getoption("--outcomes"))
    notes.count_hasten()
    config.pluginmanager.register(recording.PytestPlugin(notes))
    config.pluginmanager.register(Choice(config.getoption("--way")))
    pytest.Pytester.runpytest_subprocess = elsewhere


def elsewhere(self, *words, **options):
    pytest.skip("runs pytest in a process of its own, which knows nothing of hasten")


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


class Choice:
    """Which tests are run, and on which loop."""

    def __init__(self, way):
        self.way = way

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
