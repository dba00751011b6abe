"""Deadlocks: every task waits, and nothing can wake one any more.

The check runs when a loop has had nothing to do for 0.1 s: nothing is ready, and no timer is set. It then asks for all
that might wake the loop from outside: another thread of the process (also one of C's, seen in /proc), a watched file
descriptor, a signal handler, another poller than the two real ones. If there is any, nothing is said, whether or not it
will ever wake a task. If there is none, no code will run in this process again: that is no guess.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import signal
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any

from hasten.aio.running import Runner
from hasten.core import advice, attending, observing, report
from hasten.core.future import Future
from hasten.core.registry import all_tasks
from hasten.core.task import Task

if TYPE_CHECKING:
    from hasten.diagnosis.waits import WaitGraph

_POLLERS = ("epoll", "selectors")
_THREADS = "/proc/self/task"
# Threads of hasten's own, by the names that they have: they schedule nothing
_OWN_THREADS = frozenset(("hasten-guard", "hasten-watch"))
_FATAL = frozenset(
    getattr(signal, name) for name in ("SIGSEGV", "SIGFPE", "SIGABRT", "SIGBUS", "SIGILL") if hasattr(signal, name)
)
_told: weakref.WeakSet[Any] = weakref.WeakSet()  # main tasks, or loops without one


class DeadlockError(RuntimeError):
    """Every task waits, and nothing can wake one: raised where the main task waits, in the place of a hang."""

    __module__ = "hasten"


def tell_deadlocks(enabled: bool = True) -> None:
    """Look for deadlocks from now on, on all loops of the process, or no longer.

    When one is found, DeadlockError is raised where the task waits that run() or run_until_complete() runs; the verdict
    is also logged on the "asyncio" logger, where there is no such task or it has been told once.
    """
    attending.on_idle = _look if enabled else None
    for loop in list(observing.running):
        loop._attend()


def is_dead(loop: Any) -> bool:
    """True if nothing can wake a loop of this thread that has nothing to do; False also where that cannot be known."""
    return (
        getattr(loop._poller, "name", "") in _POLLERS
        and type(loop._poller).__module__.startswith("hasten.poll.")
        and not loop._poller.all_watches()
        and not _others_live()
        and not _signals_are_handled()
    )


def verdict(graph: WaitGraph) -> str:
    """Say what a deadlock is made of: the circles, and what else waits for what."""
    from hasten.diagnosis import showing, standing, waits  # only now: most programs never come here

    circles = graph.circles()
    lines = ["Deadlock: every task waits, and nothing can wake one."]
    for circle in circles:
        lines.append(f"In a circle: {waits.circle(circle)}")
    if not circles:
        lines.append("Nobody is left who could do what they wait for:")
    told = {node.key for circle in circles for node in circle} if circles else set()
    tasks = sorted(graph.tasks, key=lambda node: node.key not in told)
    for node in tasks[:20]:
        lines.append(f"  {waits.label(node)} stands at {standing.show(node.at)}")
        for edge in graph.from_node(node.key)[:5]:
            lines.append(f"    {showing.plain(showing.short(edge.how))} {waits.label(graph.by_key[edge.target])}")
    if len(tasks) > 20:
        lines.append(f"  … and {len(tasks) - 20} more")
    return "\n".join(lines)


def _look(loop: Any) -> None:
    """Look, when a loop has had nothing to do for a while, and tell."""
    if not is_dead(loop) or not loop.is_running() or not all_tasks(loop):
        return
    main = loop._until
    key = main if type(main) is Task else loop
    if key in _told:  # one that has caught the error, and waits again
        return
    from hasten.diagnosis.wait_graph import wait_graph

    words = verdict(wait_graph(loop))
    if len(loop._ready) or loop._scheduled or not is_dead(loop):
        return  # the collector ran meanwhile, or a signal's handler
    _told.add(key)
    if type(main) is Task and _interrupt(main, advice.add(DeadlockError(words), advice.DEADLOCK)):
        return
    report.note(logging.ERROR, f"{words}\n{advice.text(advice.DEADLOCK)}")


def _interrupt(task: Task[Any], error: BaseException) -> bool:
    """Throw an exception in where a task waits; return False if it does not wait. What it waited for goes on."""
    waiter = task._fut_waiter
    if waiter is None or task.done() or not waiter.remove_done_callback(task._wakeup):
        return False
    if task._fut_waiter is not waiter:  # its methods may be anybody's
        return False
    if isinstance(waiter, Future):
        waiter.add_done_callback(_its_cancellation_is_no_news)
    task._interrupt(error)
    return True


def _its_cancellation_is_no_news(left: Future[Any]) -> None:
    """Keep a gather() that nobody waits for any more from being reported when run() cancels its children."""
    if not left.cancelled() and isinstance(left._exception, asyncio.CancelledError):
        left._log_traceback = False


def _others_live() -> bool:
    """True if another thread lives, whatever it does: an idle one of an executor may be about to begin a job."""
    watching = [thread for thread in threading.enumerate() if thread.name in _OWN_THREADS]  # where nothing is compiled
    here = threading.get_ident()
    if here != threading.main_thread().ident or sys._current_frames().keys() - {here, *(t.ident for t in watching)}:
        return True
    try:
        own = {str(os.getpid()), *(str(thread.native_id) for thread in watching)}
        for number in os.listdir(_THREADS):
            if number in own:
                continue
            with open(f"{_THREADS}/{number}/comm", encoding="utf-8", errors="replace") as file:
                if file.read().strip() not in _OWN_THREADS:
                    return True
    except OSError:
        return True  # not Linux, or a thread that has just ended: nobody knows
    return False


def _signals_are_handled() -> bool:
    """True if a signal would run Python code. Ctrl-C does not count: it ends the program."""
    for number in signal.valid_signals():
        handler = signal.getsignal(number)
        if handler is None:
            if number not in _FATAL:
                return True
        elif callable(handler) and not isinstance(handler, signal.Handlers) and not _is_default(handler):
            return True
    return False


def _is_default(handler: Any) -> bool:
    if handler is signal.default_int_handler:
        return True
    owner = getattr(handler.func, "__self__", None) if type(handler) is functools.partial else None
    return type(owner) in (Runner, asyncio.Runner)
