"""hasten: asyncio implemented anew. `import hasten as asyncio`, or `hasten.run(main())`.

Every public name of Python 3.15's asyncio is here, on every Python from 3.11. Each has one home, in one of the
modules below; this file only hands the names on.
"""

import sys as _sys
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

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
from asyncio import get_event_loop as get_event_loop
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
from hasten.aio.running import Runner as Runner
from hasten.aio.running import run as run
from hasten.core.future import Future as Future
from hasten.core.handle import Handle as Handle
from hasten.core.handle import TimerHandle as TimerHandle
from hasten.core.registry import all_tasks as all_tasks
from hasten.core.registry import current_task as current_task
from hasten.core.task import Task as Task
from hasten.loop import EventLoop as EventLoop
from hasten.loop import Loop as Loop
from hasten.loop import new_event_loop as new_event_loop

if _TYPE_CHECKING:  # imported when they are first asked for
    from hasten import testing as testing
    from hasten.aio import subprocess as subprocess
    from hasten.aio.graph import FrameCallGraphEntry as FrameCallGraphEntry
    from hasten.aio.graph import FutureCallGraph as FutureCallGraph
    from hasten.aio.graph import capture_call_graph as capture_call_graph
    from hasten.aio.graph import format_call_graph as format_call_graph
    from hasten.aio.graph import print_call_graph as print_call_graph
    from hasten.aio.streams import StreamReader as StreamReader
    from hasten.aio.streams import StreamReaderProtocol as StreamReaderProtocol
    from hasten.aio.streams import StreamWriter as StreamWriter
    from hasten.aio.streams import open_connection as open_connection
    from hasten.aio.streams import start_server as start_server
    from hasten.aio.subprocess import create_subprocess_exec as create_subprocess_exec
    from hasten.aio.subprocess import create_subprocess_shell as create_subprocess_shell
    from hasten.core.bridging import wrap_future as wrap_future
    from hasten.diagnosis.deadlock import DeadlockError as DeadlockError
    from hasten.diagnosis.deadlock import tell_deadlocks as tell_deadlocks
    from hasten.diagnosis.forgotten import tell_forgotten as tell_forgotten
    from hasten.diagnosis.inspecting import inspect as inspect
    from hasten.diagnosis.metrics import all_metrics as all_metrics
    from hasten.diagnosis.metrics import metrics as metrics
    from hasten.diagnosis.trace import trace as trace
    from hasten.diagnosis.wait_graph import wait_graph as wait_graph
    from hasten.diagnosis.waits import WaitGraph as WaitGraph
    from hasten.diagnosis.watch import watch as watch
    from hasten.ipython import load_ipython_extension as load_ipython_extension
    from hasten.ipython import unload_ipython_extension as unload_ipython_extension
    from hasten.primitives.awaited_by import future_add_to_awaited_by as future_add_to_awaited_by
    from hasten.primitives.awaited_by import future_discard_from_awaited_by as future_discard_from_awaited_by
    from hasten.primitives.completing import as_completed as as_completed
    from hasten.primitives.conditions import Barrier as Barrier
    from hasten.primitives.conditions import Condition as Condition
    from hasten.primitives.eager import create_eager_task_factory as create_eager_task_factory
    from hasten.primitives.eager import eager_task_factory as eager_task_factory
    from hasten.primitives.gathering import gather as gather
    from hasten.primitives.locks import BoundedSemaphore as BoundedSemaphore
    from hasten.primitives.locks import Event as Event
    from hasten.primitives.locks import Lock as Lock
    from hasten.primitives.locks import Semaphore as Semaphore
    from hasten.primitives.queues import LifoQueue as LifoQueue
    from hasten.primitives.queues import PriorityQueue as PriorityQueue
    from hasten.primitives.queues import Queue as Queue
    from hasten.primitives.queues import QueueShutDown as QueueShutDown
    from hasten.primitives.shielding import shield as shield
    from hasten.primitives.sleeping import sleep as sleep
    from hasten.primitives.spawning import create_task as create_task
    from hasten.primitives.spawning import ensure_future as ensure_future
    from hasten.primitives.spawning import iscoroutine as iscoroutine
    from hasten.primitives.spawning import isfuture as isfuture
    from hasten.primitives.taskgroups import TaskGroup as TaskGroup
    from hasten.primitives.threads import run_coroutine_threadsafe as run_coroutine_threadsafe
    from hasten.primitives.threads import to_thread as to_thread
    from hasten.primitives.timeouts import Timeout as Timeout
    from hasten.primitives.timeouts import timeout as timeout
    from hasten.primitives.timeouts import timeout_at as timeout_at
    from hasten.primitives.waiting import wait as wait
    from hasten.primitives.waiting import wait_for as wait_for

    if _sys.platform != "win32":
        from hasten.aio.streams import open_unix_connection as open_unix_connection
        from hasten.aio.streams import start_unix_server as start_unix_server
if _sys.platform == "win32":
    from asyncio import IocpProactor as IocpProactor  # type: ignore[attr-defined]
    from asyncio import ProactorEventLoop as ProactorEventLoop  # type: ignore[attr-defined]

__version__ = "0.1.0"
__all__ = [*_names.PUBLIC, "Loop", "install", "uninstall"]


def __getattr__(name: str) -> _Any:
    """Return a name that is loaded on demand, a submodule of asyncio's, or a name that newer Pythons dropped."""
    if name in _names.HOMES or name in _names.COMPANIONS or name in _names.MODULES:
        value = globals()[name] = _names.load(name)
        return value
    if name in _names.SUBMODULES:
        module = globals()[name] = _names.submodule(_sys.modules[__name__], name)
        return module
    return _policies.legacy(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_names.MODULES})
