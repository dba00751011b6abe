"""hasten: asyncio implemented anew. `import hasten as asyncio`, or `hasten.run(main())`.

Every public name of Python 3.15's asyncio is here, on every Python from 3.11. Each has one home, in one of the
modules below; this file only hands the names on.

(PYTEST_DONT_REWRITE: under `hasten run -m pytest` this is there before pytest is, which would warn of it.)
"""

import sys
import typing as _typing

from hasten import compat as _compat

with _compat.cython_stand_in():  # all that is compiled
    import hasten.loop

    if not _compat.compiled():
        import hasten.diagnosis.meter
        import hasten.diagnosis.recorder
        import hasten.diagnosis.watcher
        import hasten.net.connecting
        import hasten.net.datagrams
        import hasten.net.pipe_ends
        import hasten.net.servers
        import hasten.poll.virtual
        import hasten.primitives.completing
        import hasten.primitives.gathering
        import hasten.primitives.queues
        import hasten.primitives.shielding
        import hasten.primitives.sleeping
        import hasten.primitives.taskgroups
        import hasten.primitives.waiting  # noqa: F401

from asyncio import ALL_COMPLETED as ALL_COMPLETED
from asyncio import FIRST_COMPLETED as FIRST_COMPLETED
from asyncio import FIRST_EXCEPTION as FIRST_EXCEPTION
from asyncio import AbstractEventLoop as AbstractEventLoop
from asyncio import AbstractServer as AbstractServer
from asyncio import BaseEventLoop as BaseEventLoop
from asyncio import BaseProtocol as BaseProtocol
from asyncio import BaseTransport as BaseTransport
from asyncio import BrokenBarrierError as BrokenBarrierError
from asyncio import BufferedProtocol as BufferedProtocol
from asyncio import CancelledError as CancelledError
from asyncio import DatagramProtocol as DatagramProtocol
from asyncio import DatagramTransport as DatagramTransport
from asyncio import IncompleteReadError as IncompleteReadError
from asyncio import InvalidStateError as InvalidStateError
from asyncio import LimitOverrunError as LimitOverrunError
from asyncio import Protocol as Protocol
from asyncio import QueueEmpty as QueueEmpty
from asyncio import QueueFull as QueueFull
from asyncio import ReadTransport as ReadTransport
from asyncio import SelectorEventLoop as SelectorEventLoop
from asyncio import SendfileNotAvailableError as SendfileNotAvailableError
from asyncio import Server as Server
from asyncio import SubprocessProtocol as SubprocessProtocol
from asyncio import SubprocessTransport as SubprocessTransport
from asyncio import TimeoutError as TimeoutError
from asyncio import Transport as Transport
from asyncio import WriteTransport as WriteTransport
from asyncio import _enter_task as _enter_task
from asyncio import _get_running_loop as _get_running_loop
from asyncio import _leave_task as _leave_task
from asyncio import _register_task as _register_task
from asyncio import _set_running_loop as _set_running_loop
from asyncio import _unregister_task as _unregister_task
from asyncio import get_event_loop_policy as get_event_loop_policy
from asyncio import get_running_loop as get_running_loop
from asyncio import iscoroutinefunction as iscoroutinefunction
from asyncio import set_event_loop as set_event_loop
from asyncio import set_event_loop_policy as set_event_loop_policy

from hasten.aio import companions as _companions  # noqa: F401 # those that the environment asks for
from hasten.aio import names as _names
from hasten.aio import policies as _policies
from hasten.aio.install import install as install
from hasten.aio.install import uninstall as uninstall
from hasten.core.registry import all_tasks as all_tasks
from hasten.core.registry import current_task as current_task
from hasten.loop import EventLoop as EventLoop
from hasten.loop import Loop as Loop
from hasten.loop import new_event_loop as new_event_loop

if _typing.TYPE_CHECKING:
    # A checker is told that a class is asyncio's own: isinstance() holds both ways, so each stands where the other is
    # wanted (docs/types.md). Modules of asyncio's are here too, as in `asyncio.events.AbstractServer`.
    from asyncio import AbstractEventLoopPolicy as AbstractEventLoopPolicy
    from asyncio import Barrier as Barrier
    from asyncio import BoundedSemaphore as BoundedSemaphore
    from asyncio import Condition as Condition
    from asyncio import DefaultEventLoopPolicy as DefaultEventLoopPolicy
    from asyncio import Event as Event
    from asyncio import Future as Future
    from asyncio import Handle as Handle
    from asyncio import Lock as Lock
    from asyncio import Semaphore as Semaphore
    from asyncio import StreamReader as StreamReader
    from asyncio import StreamReaderProtocol as StreamReaderProtocol
    from asyncio import StreamWriter as StreamWriter
    from asyncio import Task as Task
    from asyncio import Timeout as Timeout
    from asyncio import TimerHandle as TimerHandle
    from asyncio import base_events as base_events
    from asyncio import base_futures as base_futures
    from asyncio import base_subprocess as base_subprocess
    from asyncio import base_tasks as base_tasks
    from asyncio import constants as constants
    from asyncio import coroutines as coroutines
    from asyncio import create_subprocess_exec as create_subprocess_exec
    from asyncio import create_subprocess_shell as create_subprocess_shell
    from asyncio import ensure_future as ensure_future
    from asyncio import events as events
    from asyncio import exceptions as exceptions
    from asyncio import format_helpers as format_helpers
    from asyncio import futures as futures
    from asyncio import get_event_loop as get_event_loop
    from asyncio import iscoroutine as iscoroutine
    from asyncio import isfuture as isfuture
    from asyncio import locks as locks
    from asyncio import log as log
    from asyncio import mixins as mixins
    from asyncio import open_connection as open_connection
    from asyncio import protocols as protocols
    from asyncio import queues as queues
    from asyncio import run_coroutine_threadsafe as run_coroutine_threadsafe
    from asyncio import runners as runners
    from asyncio import selector_events as selector_events
    from asyncio import shield as shield
    from asyncio import sleep as sleep
    from asyncio import sslproto as sslproto
    from asyncio import staggered as staggered
    from asyncio import start_server as start_server
    from asyncio import streams as streams
    from asyncio import subprocess as subprocess
    from asyncio import taskgroups as taskgroups
    from asyncio import tasks as tasks
    from asyncio import threads as threads
    from asyncio import timeout as timeout
    from asyncio import timeout_at as timeout_at
    from asyncio import timeouts as timeouts
    from asyncio import to_thread as to_thread
    from asyncio import transports as transports
    from asyncio import trsock as trsock
    from asyncio import wait as wait
    from asyncio import wait_for as wait_for
    from asyncio import wrap_future as wrap_future

    # these can do more than asyncio's, or are hasten's alone
    from hasten import testing as testing
    from hasten.diagnosis.deadlock import DeadlockError as DeadlockError
    from hasten.diagnosis.deadlock import tell_deadlocks as tell_deadlocks
    from hasten.diagnosis.forgotten import tell_forgotten as tell_forgotten
    from hasten.diagnosis.inspecting import inspect as inspect
    from hasten.diagnosis.metrics import all_metrics as all_metrics
    from hasten.diagnosis.metrics import metrics as metrics
    from hasten.diagnosis.standing import created_at as created_at
    from hasten.diagnosis.trace import trace as trace
    from hasten.diagnosis.wait_graph import wait_graph as wait_graph
    from hasten.diagnosis.waits import WaitGraph as WaitGraph
    from hasten.diagnosis.watch import watch as watch
    from hasten.ipython import load_ipython_extension as load_ipython_extension
    from hasten.ipython import unload_ipython_extension as unload_ipython_extension
    from hasten.primitives.awaited_by import future_add_to_awaited_by as future_add_to_awaited_by
    from hasten.primitives.awaited_by import future_discard_from_awaited_by as future_discard_from_awaited_by
    from hasten.primitives.completing import as_completed as as_completed
    from hasten.primitives.gathering import gather as gather
    from hasten.primitives.spawning import create_task as create_task

    if sys.version_info >= (3, 12):
        from asyncio import create_eager_task_factory as create_eager_task_factory
        from asyncio import eager_task_factory as eager_task_factory
    else:
        from hasten.primitives.eager import create_eager_task_factory as create_eager_task_factory
        from hasten.primitives.eager import eager_task_factory as eager_task_factory
    if sys.version_info >= (3, 13):
        from asyncio import LifoQueue as LifoQueue
        from asyncio import PriorityQueue as PriorityQueue
        from asyncio import Queue as Queue
        from asyncio import QueueShutDown as QueueShutDown
    else:
        from hasten.aio.shown import LifoQueue as LifoQueue
        from hasten.aio.shown import PriorityQueue as PriorityQueue
        from hasten.aio.shown import Queue as Queue
        from hasten.primitives.queues import QueueShutDown as QueueShutDown
    if sys.version_info >= (3, 14):
        from asyncio import FrameCallGraphEntry as FrameCallGraphEntry
        from asyncio import FutureCallGraph as FutureCallGraph
        from asyncio import Runner as Runner
        from asyncio import capture_call_graph as capture_call_graph
        from asyncio import format_call_graph as format_call_graph
        from asyncio import graph as graph
        from asyncio import print_call_graph as print_call_graph
        from asyncio import run as run
    else:
        from hasten.aio.graph import FrameCallGraphEntry as FrameCallGraphEntry
        from hasten.aio.graph import FutureCallGraph as FutureCallGraph
        from hasten.aio.graph import capture_call_graph as capture_call_graph
        from hasten.aio.graph import format_call_graph as format_call_graph
        from hasten.aio.graph import print_call_graph as print_call_graph
        from hasten.aio.running import Runner as Runner
        from hasten.aio.running import run as run
    if sys.version_info >= (3, 15):
        from asyncio import TaskGroup as TaskGroup
    else:
        from hasten.aio.shown import TaskGroup as TaskGroup
    if sys.platform != "win32":
        from asyncio import open_unix_connection as open_unix_connection
        from asyncio import start_unix_server as start_unix_server
        from asyncio import unix_events as unix_events

        if sys.version_info < (3, 14):
            from asyncio import AbstractChildWatcher as AbstractChildWatcher
            from asyncio import FastChildWatcher as FastChildWatcher
            from asyncio import MultiLoopChildWatcher as MultiLoopChildWatcher
            from asyncio import PidfdChildWatcher as PidfdChildWatcher
            from asyncio import SafeChildWatcher as SafeChildWatcher
            from asyncio import ThreadedChildWatcher as ThreadedChildWatcher
            from asyncio import get_child_watcher as get_child_watcher
            from asyncio import set_child_watcher as set_child_watcher
    else:
        from asyncio import proactor_events as proactor_events
        from asyncio import windows_events as windows_events
        from asyncio import windows_utils as windows_utils
else:
    from hasten.aio.policies import get_event_loop as get_event_loop
    from hasten.aio.running import Runner as Runner
    from hasten.aio.running import run as run
    from hasten.core.future import Future as Future
    from hasten.core.handle import Handle as Handle
    from hasten.core.handle import TimerHandle as TimerHandle
    from hasten.core.task import Task as Task

if sys.platform == "win32":
    from asyncio import IocpProactor as IocpProactor  # type: ignore[attr-defined]
    from asyncio import ProactorEventLoop as ProactorEventLoop  # type: ignore[attr-defined]

__version__ = "0.1.0"
# Each name, for type checkers, which take no other form: what names.PUBLIC says.
# fmt: off
__all__ = [
    "ALL_COMPLETED", "AbstractEventLoop", "AbstractServer", "Barrier", "BaseEventLoop", "BaseProtocol",
    "BaseTransport", "BoundedSemaphore", "BrokenBarrierError", "BufferedProtocol", "CancelledError", "Condition",
    "DatagramProtocol", "DatagramTransport", "Event", "EventLoop", "FIRST_COMPLETED", "FIRST_EXCEPTION",
    "FrameCallGraphEntry", "Future", "FutureCallGraph", "Handle", "IncompleteReadError", "InvalidStateError",
    "LifoQueue", "LimitOverrunError", "Lock", "PriorityQueue", "Protocol", "Queue", "QueueEmpty", "QueueFull",
    "QueueShutDown", "ReadTransport", "Runner", "SelectorEventLoop", "Semaphore", "SendfileNotAvailableError",
    "Server", "StreamReader", "StreamReaderProtocol", "StreamWriter", "SubprocessProtocol", "SubprocessTransport",
    "Task", "TaskGroup", "Timeout", "TimeoutError", "TimerHandle", "Transport", "WriteTransport", "_enter_task",
    "_get_running_loop", "_leave_task", "_register_task", "_set_running_loop", "_unregister_task", "all_tasks",
    "as_completed", "capture_call_graph", "create_eager_task_factory", "create_subprocess_exec",
    "create_subprocess_shell", "create_task", "current_task", "eager_task_factory", "ensure_future",
    "format_call_graph", "future_add_to_awaited_by", "future_discard_from_awaited_by", "gather", "get_event_loop",
    "get_event_loop_policy", "get_running_loop", "iscoroutine", "iscoroutinefunction", "isfuture", "new_event_loop",
    "open_connection", "print_call_graph", "run", "run_coroutine_threadsafe", "set_event_loop",
    "set_event_loop_policy", "shield", "sleep", "start_server", "timeout", "timeout_at", "to_thread", "wait",
    "wait_for", "wrap_future", "Loop", "install", "uninstall",
]
# fmt: on
if sys.platform != "win32":
    __all__ += ["open_unix_connection", "start_unix_server"]
else:
    __all__ += ["IocpProactor", "ProactorEventLoop"]


if not _typing.TYPE_CHECKING:  # for a checker, a misspelt name is a mistake

    def __getattr__(name):
        """Return a name that is loaded on demand, a submodule of asyncio's, or a name that newer Pythons dropped."""
        if name in _names.HOMES or name in _names.COMPANIONS or name in _names.MODULES:
            value = globals()[name] = _names.load(name)
            return value
        if name in _names.SUBMODULES:
            module = globals()[name] = _names.submodule(sys.modules[__name__], name)
            return module
        return _policies.legacy(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_names.MODULES})
