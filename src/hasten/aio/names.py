"""The public names of Python 3.15's asyncio, and whose object hasten gives for each.

`HOMES` maps each name to the module that defines it: hasten's own, or "asyncio" where it is the interpreter's object on
every Python. Exceptions, abstract classes, protocols and transports always are, so that `except` and isinstance hold
for both packages.
"""

from __future__ import annotations

import socket
import sys
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_TOPICS = {
    # hasten's own
    "hasten.aio.running": "run Runner",
    "hasten.primitives.sleeping": "sleep",
    "hasten.primitives.spawning": "create_task ensure_future isfuture iscoroutine",
    "hasten.primitives.gathering": "gather",
    "hasten.primitives.waiting": "wait wait_for",
    "hasten.primitives.completing": "as_completed",
    "hasten.primitives.shielding": "shield",
    "hasten.core.task": "Task",
    "hasten.core.registry": "current_task all_tasks",
    "hasten.core.future": "Future",
    "hasten.core.handle": "Handle TimerHandle",
    "hasten.loop": "new_event_loop EventLoop",
    "hasten.aio.policies": "get_event_loop",
    "hasten.primitives.eager": "eager_task_factory create_eager_task_factory",
    "hasten.primitives.awaited_by": "future_add_to_awaited_by future_discard_from_awaited_by",
    "hasten.aio.graph": ("FrameCallGraphEntry FutureCallGraph capture_call_graph format_call_graph print_call_graph"),
    "hasten.primitives.locks": "Lock Event Semaphore BoundedSemaphore",
    "hasten.primitives.conditions": "Condition Barrier",
    "hasten.primitives.queues": "Queue PriorityQueue LifoQueue QueueShutDown",
    "hasten.aio.streams": "StreamReader StreamReaderProtocol StreamWriter open_connection start_server",
    "hasten.aio.subprocess": "create_subprocess_exec create_subprocess_shell",
    "hasten.primitives.taskgroups": "TaskGroup",
    "hasten.primitives.threads": "to_thread run_coroutine_threadsafe",
    "hasten.core.bridging": "wrap_future",
    "hasten.primitives.timeouts": "Timeout timeout timeout_at",
    # the interpreter's
    "asyncio": (
        # exceptions and constants
        "BrokenBarrierError CancelledError IncompleteReadError InvalidStateError LimitOverrunError QueueEmpty QueueFull"
        " SendfileNotAvailableError TimeoutError ALL_COMPLETED FIRST_COMPLETED FIRST_EXCEPTION"
        # abstract classes, protocols, transports
        " AbstractEventLoop AbstractServer BaseEventLoop Server SelectorEventLoop"
        " BaseProtocol BufferedProtocol DatagramProtocol Protocol SubprocessProtocol"
        " BaseTransport DatagramTransport ReadTransport SubprocessTransport Transport WriteTransport"
        # the running loop, the thread's loop, and what loops and tasks of any make tell asyncio
        " get_running_loop set_event_loop get_event_loop_policy set_event_loop_policy"
        " iscoroutinefunction"
        " _get_running_loop _set_running_loop _enter_task _leave_task _register_task _unregister_task"
    ),
}
if hasattr(socket, "AF_UNIX"):
    _TOPICS["hasten.aio.streams"] += " open_unix_connection start_unix_server"
if sys.platform == "win32":
    _TOPICS["asyncio"] += " ProactorEventLoop IocpProactor"

HOMES = {name: home for home, names in _TOPICS.items() for name in names.split()}
PUBLIC = tuple(sorted(HOMES))

# What hasten has and asyncio does not, by the module that defines it. Not in `__all__`: `from hasten import *` gives
# asyncio's names.
_COMPANIONS: dict[str, str] = {
    "hasten.diagnosis.deadlock": "DeadlockError tell_deadlocks",
    "hasten.diagnosis.forgotten": "tell_forgotten",
    "hasten.diagnosis.inspecting": "inspect",
    "hasten.diagnosis.metrics": "metrics all_metrics",
    "hasten.diagnosis.standing": "created_at",
    "hasten.diagnosis.trace": "trace",
    "hasten.diagnosis.watch": "watch",
    "hasten.diagnosis.wait_graph": "wait_graph",
    "hasten.diagnosis.waits": "WaitGraph",
    "hasten.ipython": "load_ipython_extension unload_ipython_extension",
}
COMPANIONS = {name: home for home, names in _COMPANIONS.items() for name in names.split()}

# Modules that are attributes of the package without being imported first.
MODULES = {"subprocess": "hasten.aio.subprocess", "testing": "hasten.testing"}

# asyncio's modules that programs reach through the package, as in `asyncio.events.AbstractServer`; `subprocess` is one
# of hasten's own.
_MODULES = (
    "base_events base_futures base_tasks base_subprocess constants coroutines events exceptions format_helpers futures"
    " graph locks log mixins protocols queues runners selector_events sslproto staggered streams taskgroups tasks"
    " threads timeouts transports trsock unix_events proactor_events windows_events windows_utils"
)
SUBMODULES = frozenset(_MODULES.split())


def load(name: str) -> Any:
    """Return the object of this name, a key of HOMES, COMPANIONS or MODULES. Imports what defines it."""
    if name in MODULES:
        return import_module(MODULES[name])
    return getattr(import_module(HOMES.get(name) or COMPANIONS[name]), name)


def submodule(package: ModuleType, name: str) -> ModuleType:
    """Return asyncio's module of this name, with hasten's objects for its public names.

    Arguments:
        package: hasten, whose names they are.
        name: one of SUBMODULES. What hasten has no counterpart for is the interpreter's.

    Raises:
        AttributeError: there is no such submodule.
    """
    if name not in SUBMODULES:
        raise AttributeError(f"module {package.__name__!r} has no attribute {name!r}")
    try:
        stock = __import__(f"asyncio.{name}", fromlist=["*"])
    except ImportError:
        raise AttributeError(f"module {package.__name__!r} has no attribute {name!r}") from None
    module = ModuleType(f"{package.__name__}.{name}", stock.__doc__)
    contents: dict[str, Any] = vars(module)
    for key, value in vars(stock).items():
        if not (key.startswith("__") and key.endswith("__")) or key == "__all__":
            contents[key] = value
    for key in getattr(stock, "__all__", ()):
        if key in HOMES:
            contents[key] = getattr(package, key)
    return module


class _Finder:
    """Finds asyncio's modules below hasten's name, as in `from hasten.subprocess import PIPE`.

    Who writes hasten for asyncio throughout a program writes this too. It comes last, when nobody else has found a
    module, and gives what the package's attribute is.
    """

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        package, _, module = name.rpartition(".")
        if package != "hasten" or not (module in SUBMODULES or module in MODULES):
            return None
        if not hasattr(sys.modules[package], module):  # not in this Python's asyncio
            return None
        loader: Any = self
        return ModuleSpec(name, loader, origin="hasten.aio.names")

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        package, _, name = module.__name__.rpartition(".")
        found = getattr(sys.modules[package], name)
        if found.__spec__ is None:  # of those that submodule() makes
            found.__spec__ = module.__spec__
        sys.modules[module.__name__] = found  # the import statement takes what stands here afterwards


_finder: Any = _Finder()
sys.meta_path.append(_finder)
