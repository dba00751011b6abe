"""The pytest plugin, once it is asked for: asyncio tests on hasten's loop, and checked. Its options: hasten_pytest."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from hasten.testing import blocks, leaks
from hasten.testing.policy import loops_made_by
from hasten.testing.simulation import virtual_time

MOST = 20  # things left behind that are told of


class Rules:
    """What a test may do: from the ini file, and the marks on it."""

    def __init__(self, config: pytest.Config, item: pytest.Item | None = None) -> None:
        marks: dict[str, Any] = {}
        if item is not None:
            for mark in item.iter_markers("hasten"):
                unknown = [*mark.args, *sorted(set(mark.kwargs) - {"leaks", "blocks", "virtual_time"})]
                if unknown:
                    raise pytest.UsageError(
                        f"@pytest.mark.hasten takes leaks=, blocks= and virtual_time=, not {unknown[0]!r}"
                    )
                for name, value in mark.kwargs.items():
                    marks.setdefault(name, value)
        self.kinds = _kinds(config.getini("hasten_leaks"), "hasten_leaks")
        allowed = marks.get("leaks", "")
        self.kinds -= set(leaks.KINDS) if allowed in ("allow", True) else _kinds(allowed or "", "leaks")
        longest = marks.get("blocks", config.getini("hasten_block"))
        try:
            self.longest = 0.0 if longest == "allow" else float(longest)
        except (TypeError, ValueError):
            raise pytest.UsageError(f"hasten: {longest!r} is not a number of seconds") from None
        self.virtual = bool(marks.get("virtual_time"))


def _kinds(text: str, what: str) -> set[str]:
    kinds = set(text.replace(",", " ").split())
    if kinds - set(leaks.KINDS):
        wrong = sorted(kinds - set(leaks.KINDS))[0]
        raise pytest.UsageError(f"{what}: {wrong!r} is not one of {', '.join(leaks.KINDS)}")
    return kinds


class Plugin:
    """The hooks."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.rules = Rules(config)
        self.blocks: list[str] = []
        self.watcher = blocks.watcher()
        self.ledger = leaks.Ledger(self.watcher.watching, leaks.Origins())
        self.simulation = virtual_time()
        self.simulation.loop_class = leaks.CheckedSimulatedLoop
        self.stack = ExitStack()
        # Not install(): what other plugins took from asyncio when they were imported, which was before, has to go on
        # being asyncio's. anyio, for one, compares eager_task_factory.
        self.stack.enter_context(loops_made_by(self.new_loop))
        self.stack.enter_context(leaks.told_of_leftovers(self.ledger))
        self.stack.callback(self.watcher.close)

    def new_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop for a test."""
        loop = self.simulation.new_loop() if self.rules.virtual else leaks.CheckedLoop()
        self.ledger.begin_loop(loop)
        return loop

    def pytest_report_header(self) -> str:
        """Say so."""
        version = sys.modules["hasten"].__version__
        return f"hasten {version}: asyncio tests run on its loop, and may leave nothing behind"

    def pytest_unconfigure(self) -> None:
        """Give asyncio back what was its own."""
        self.stack.close()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """A test, from its first fixture on to the end of its last one."""
        try:
            self.rules = Rules(self.config, item)
        except pytest.UsageError as exc:
            self.rules, self.wrong = Rules(self.config), str(exc)
        else:
            self.wrong = ""
        self.blocks.clear()
        self.failed = False
        self.watcher.begin(self.rules.longest, self.blocks.append)
        self.ledger.begin()
        try:
            return (yield)
        finally:
            self.rules = Rules(self.config)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Iterator[None]:
        """What a fixture of a wider scope makes is to last."""
        if fixturedef.scope == "function":
            return (yield)
        with self.ledger.excused():
            return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        """Fail the test itself by what is known when it ends."""
        if self.wrong:
            pytest.fail(self.wrong, pytrace=False)
        try:
            result = yield
        except BaseException:
            self.failed = True  # that is what matters, and most often why something is left
            raise
        self.tell(self.ledger.take())
        return result

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Iterator[None]:
        """And what is only known when its fixtures have ended, as an error of its teardown."""
        result = yield
        found = self.ledger.end()
        if not self.failed:
            self.tell(found)
        return result

    def tell(self, found: list[leaks.Problem]) -> None:
        """Fail the test, if there is something that it may not do."""
        left = [text for kind, text in found if kind in self.rules.kinds]
        blocked, self.blocks[:] = list(self.blocks), []
        text: list[str] = []
        if left:
            text += ["hasten: the test left behind", *(f"  {each}" for each in left[:MOST])]
            if len(left) > MOST:
                text.append(f"  … and {len(left) - MOST} more")
            text.append('  to allow that: @pytest.mark.hasten(leaks="allow")')
        if blocked:
            text += [f"hasten: the test blocked the loop, {self.rules.longest:g} s are allowed"]
            text += [f"  {each}" for each in blocked]
            text.append("  to allow that: @pytest.mark.hasten(blocks=SECONDS)")
        if text:
            pytest.fail("\n".join(text), pytrace=False)
