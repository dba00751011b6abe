"""What pytest imports in every run of everybody who has hasten installed: options, and nothing else until they are set.

A module of its own, beside the package: to import `hasten.anything` would import the event loop. With `--hasten`, or
`hasten = true` in pytest's configuration, hasten.testing.plugin does the rest.
"""

from __future__ import annotations

from typing import Any

NAME = "hasten-checks"
MARK = (
    "hasten(leaks='allow', blocks=seconds, virtual_time=True): what hasten's plugin allows the test to leave behind "
    "(or some of it: leaks='tasks fds'), how long it may block the loop, and whether its loop's time jumps"
)


def pytest_addoption(parser: Any) -> None:
    """Add the options."""
    group = parser.getgroup("hasten")
    group.addoption(
        "--hasten",
        action="store_true",
        default=None,
        help="run asyncio tests on hasten's loop, and fail those that leak tasks, transports, files or threads, or "
        "that block the loop",
    )
    group.addoption("--no-hasten", action="store_false", dest="hasten", help="the opposite, whatever the ini says")
    parser.addini("hasten", "do as --hasten", type="bool", default=False)
    parser.addini("hasten_block", "seconds for which a test may block the loop (0: as long as it likes)", default="0.2")
    parser.addini("hasten_leaks", "what no test may leave behind", default="tasks transports fds threads")


def pytest_load_initial_conftests(early_config: Any) -> None:
    """Begin before any conftest.py is imported, which may make loops."""
    _begin(early_config, early_config.known_args_namespace)


def pytest_configure(config: Any) -> None:
    """Enter the mark, and begin if that was not done yet."""
    config.addinivalue_line("markers", MARK)
    _begin(config, config.option)


def _begin(config: Any, options: Any) -> None:
    wanted = getattr(options, "hasten", None)
    if wanted is None:
        wanted = config.getini("hasten")
    if wanted and not config.pluginmanager.has_plugin(NAME):
        from hasten.testing.plugin import Plugin

        config.pluginmanager.register(Plugin(config), NAME)
