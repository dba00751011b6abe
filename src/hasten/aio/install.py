"""`install()`: the asyncio package's own names and default loops become hasten's; `uninstall()` undoes it.

Three things are put in place, and nothing else:

- *Names.* Each public name of asyncio that hasten has of its own is replaced in every module of the asyncio
  package, wherever that very object stands under that name (`asyncio.sleep`, `asyncio.tasks.sleep`,
  `asyncio.streams.sleep`…). So asyncio's own code, and whatever imports from it later, uses hasten's too.
- *Loops.* The default event loop policy makes hasten's loops. This is the one spot through which
  `asyncio.new_event_loop()`, a `Runner` without a `loop_factory` and `get_event_loop()` all go, so also a `run` or
  `Runner` that was imported before `install()` starts a hasten loop. A `loop_factory` or a policy that a program
  chooses afterwards is honoured as ever.
- *Tasks made by their class.* `asyncio.Task(coro, loop=loop)`, which libraries write that start tasks eagerly (aiohttp
  for each request), makes a task of hasten's where the loop is hasten's. The class stays the one that it is, and so do
  its subclasses (compiled only: `kernel/births`).

Names that stay the standard library's are in `KEPT`, each with its reason.
"""

from __future__ import annotations

import asyncio
import asyncio.events
import importlib
import sys
import threading
from types import ModuleType
from typing import Any

from hasten.core import scheduler
from hasten.kernel import births

try:
    from _asyncio import Task as _asyncio_task
except ImportError:  # an interpreter without asyncio's C
    _asyncio_task = None  # type: ignore[assignment, misc]

__all__ = ("install", "uninstall")

KEPT: dict[str, str] = {
    # A stock task or future stays possible (a task factory, a loop of another kind, `_asyncio` itself), and must
    # pass `isinstance(x, asyncio.Task)`. hasten's own pass it already, by their `__class__`: the stock class tells
    # both, hasten's would tell only its own. Calling it makes hasten's nevertheless, on hasten's loops.
    "Task": "isinstance must hold for stock tasks and for hasten's",
    "Future": "isinstance must hold for stock futures and for hasten's",
    # The stock loops make their handles and servers through these very names.
    "Handle": "stock loops construct it through asyncio.events",
    "TimerHandle": "stock loops construct it through asyncio.events",
    "Server": "stock loops construct it through asyncio.base_events",
    # Programs subclass these, give them a selector of their own and reach into them.
    "BaseEventLoop": "base class of other loops",
    "SelectorEventLoop": "named by those who want exactly this loop",
    "ProactorEventLoop": "named by those who want exactly this loop",
    "EventLoop": "the same class as SelectorEventLoop, subclassed as such",
    # These ask the policy, which gives hasten's loops by default and still obeys a program that sets its own.
    "new_event_loop": "asks the policy, whose default is hasten's",
    "get_event_loop": "asks the policy, whose default is hasten's",
    "set_event_loop": "asks the policy, whose default is hasten's",
    "get_event_loop_policy": "policies are the standard library's",
    "set_event_loop_policy": "policies are the standard library's",
}


class _Installation:
    """What one `install()` changed, with all that is needed to take it back."""

    def __init__(self, package: ModuleType) -> None:
        """Prepare to put the names and `new_event_loop` of `package`, which is hasten's, in place."""
        self.names = _replaceable(package)
        self.places: list[tuple[ModuleType, str, Any, Any]] = []
        # A staticmethod: the factory stands on a class and must not be bound to the policy.
        self.factory = staticmethod(package.new_event_loop)
        self.stock_factory: object = None
        self.displaced_policy: object = None

    def put(self) -> None:
        self._replace_names()
        if asyncio.Task is _asyncio_task:
            births.exchange(asyncio.Task, scheduler.task_by_class, scheduler.Scheduler)
        policy_class = default_policy_class()
        self.stock_factory = vars(policy_class)["_loop_factory"]
        policy_class._loop_factory = self.factory
        # A policy that was set earlier would go on making its own loops; the later choice wins, which is this one.
        self.displaced_policy = chosen_policy()
        if self.displaced_policy is not None:
            set_policy(None)

    def take_back(self) -> None:
        if self.displaced_policy is not None and chosen_policy() is None:  # nobody has set another since
            set_policy(self.displaced_policy)
        births.restore()
        for module, name, stock, ours in self.places:
            if vars(module).get(name) is ours:
                setattr(module, name, stock)
        policy_class = default_policy_class()
        if vars(policy_class)["_loop_factory"] is self.factory:
            policy_class._loop_factory = self.stock_factory

    def _replace_names(self) -> None:
        """Put hasten's object wherever a module of the asyncio package has asyncio's own under that name."""
        for module_name, module in list(sys.modules.items()):
            if module_name == "asyncio" or module_name.startswith("asyncio."):
                for name, (stock, ours) in self.names.items():
                    if vars(module).get(name) is stock:
                        # noted first: an interruption may come after each call
                        self.places.append((module, name, stock, ours))
                        setattr(module, name, ours)


def install() -> None:
    """Make asyncio's public functions and default loops hasten's, for the whole process, from now on.

    Call it before the modules that say `from asyncio import …` are imported: what they have taken by name already
    stays the standard library's, and works on hasten's loop as it is. Classes that programs test with `isinstance`
    (`Task`, `Future`, `Handle`…), abstract classes and exceptions stay the standard library's own objects. A second
    call does nothing. Loops that exist already stay what they are.
    """
    global _installed
    # The one look upwards in the package: what takes asyncio's place is the whole of hasten's public names.
    package = importlib.import_module("hasten")
    with _turn:
        if _installed is None:
            installation = _Installation(package)
            _installed = installation  # first: what is put in place can be taken back, also where it comes to no end
            installation.put()


def uninstall() -> None:
    """Give asyncio its own names and default loops back; without an `install()` before, nothing happens.

    A name that somebody else has replaced in the meantime is left alone. Loops and tasks of hasten go on working.
    """
    global _installed
    with _turn:
        if _installed is not None:
            _installed.take_back()
            _installed = None


_installed: _Installation | None = None
# Two threads at once would each note as asyncio's own what the other has put there. A signal handler may come again.
_turn = threading.RLock()


def chosen_policy() -> Any:
    """Return the policy that the program has set because it makes other loops than asyncio's default; or None.

    What makes a loop when nobody says which (`Runner` without a `loop_factory`) has to obey such a policy.
    """
    policy: Any = getattr(asyncio.events, "_event_loop_policy", None)
    if policy is None:
        return None
    default, kind = default_policy_class(), type(policy)
    same_factory = getattr(kind, "_loop_factory", None) is default._loop_factory
    return None if same_factory and kind.new_event_loop is default.new_event_loop else policy


def _replaceable(package: ModuleType) -> dict[str, tuple[Any, Any]]:
    """Return each name to replace, with asyncio's object and hasten's; only names that this Python's asyncio has.

    Where hasten hands on asyncio's own object there is nothing to replace, whatever others may have put there.
    """
    names: dict[str, tuple[Any, Any]] = {}
    for name in {*asyncio.__all__, "TaskGroup"}:  # the latter is forgotten in Python 3.11's list
        stock = getattr(asyncio, name)
        ours = getattr(package, name, stock)
        home = getattr(ours, "__module__", None) or ""
        if name not in KEPT and home.partition(".")[0] == package.__name__:
            names[name] = stock, ours
    return names


def default_policy_class() -> Any:
    """Return the policy class that asyncio uses on this platform (its public name warns from 3.14 on)."""
    home = "asyncio.windows_events" if sys.platform == "win32" else "asyncio.unix_events"
    names = vars(importlib.import_module(home))
    return names.get("_DefaultEventLoopPolicy") or names["DefaultEventLoopPolicy"]


def set_policy(policy: Any) -> None:
    """Set the policy without the deprecation warning that asyncio gives from 3.14 on."""
    events: Any = asyncio.events
    getattr(events, "_set_event_loop_policy", events.set_event_loop_policy)(policy)
