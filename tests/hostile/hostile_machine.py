"""The machine of the property tests, whose every part is hostile."""

from __future__ import annotations

import asyncio
import contextvars
import time
import weakref
from typing import Any

from properties import machine

from . import objects, subclasses, wakers
from .deeds import DEEP, SOON, Mischief

value: contextvars.ContextVar[Any] = contextvars.ContextVar("value")
PATIENCE = 2.0  # seconds; a loop that sleeps half as long with work to do would sleep for ever


class EvilLater(machine.Later):
    """An awaitable that strikes when it is hashed, compared or awaited."""

    mischief: Any = None

    def __hash__(self) -> int:
        self.mischief.strike("hash of an awaitable")
        return self.number

    def __eq__(self, other: object) -> bool:
        self.mischief.strike("comparison of an awaitable")
        return self is other

    def __await__(self) -> Any:
        self.mischief.strike("await")
        return super().__await__()


class HostileMachine(machine.Machine):
    """Runs a program as Machine does, and strikes wherever somebody's code can run.

    Its log is of no use: a program is judged by whether it ends, and how (see checks.py).
    """

    def __init__(self, ns: Any, loop: asyncio.AbstractEventLoop, mischief: Mischief) -> None:
        self.mischief = mischief
        mischief.machine = self
        self.future_kinds = [ns.Future, ns.Future, subclasses.future_class(ns)]
        self.task_kinds = [None, None, ns.Task, subclasses.task_class(ns)]
        self.pokable: list[Any] = []
        self.told: list[dict[str, Any]] = []
        self.watched: list[Any] = []
        super().__init__(ns, loop)
        self.futures = [self.new_future() for _ in range(3)]

    # ---- making ----------------------------------------------------------------------------------------------------

    def new_future(self) -> Any:
        kind = self.mischief.pick(self.future_kinds)
        future = kind(loop=self.loop)
        if kind is self.future_kinds[-1]:
            future.mischief = self.mischief
        self.watch(future, "future")
        return future

    def watch(self, thing: Any, what: str) -> None:
        """A weak reference strikes when it goes."""
        self.watched = self.watched[-50:]
        self.watched.append(weakref.ref(thing, lambda ref: self.mischief.strike(f"weak reference to a {what}")))

    def evil_callback(self) -> Any:
        return self.mischief.evil("callback of a future")

    def evil_context(self) -> contextvars.Context:
        context = contextvars.copy_context()
        context.run(value.set, self.mischief.evil("value of a context"))
        return context

    def spawn(self, coro: Any, name: str, **kwargs: Any) -> Any:
        kind = self.mischief.pick(self.task_kinds)
        if self.mischief.rng.random() < 0.5:
            kwargs["context"] = self.evil_context()
        try:
            if kind is None or "eager_start" in kwargs:
                task = self.ns.create_task(coro, **kwargs)
            else:
                task = kind(coro, loop=self.loop, **kwargs)
        except BaseException:
            coro.close()
            raise
        if kind is self.task_kinds[-1] and "eager_start" not in kwargs:
            task.mischief = self.mischief
        self.enter(task, name)
        self.watch(task, "task")
        return task

    def spawn_hostile(self, eagerly: bool) -> None:
        """A task that does little, and strikes at each step."""
        who = f"hostile{len(self.tasks)}"
        task = self.spawn(self.brief(who), who, **({"eager_start": True} if eagerly else {}))
        if self.mischief.rng.random() < 0.5:
            task.add_done_callback(self.evil_callback())

    async def brief(self, who: str) -> Any:
        self.enter(self.current(), who)
        for _ in range(self.mischief.rng.randrange(3)):
            self.mischief.strike("step")
            await self.ns.sleep(0)
        if self.mischief.rng.random() < 0.3:
            self.mischief.strike("step", raising=True)
        return self.mischief.evil("result")

    def spawn_stealing(self, coro: Any) -> None:
        async def steal() -> Any:
            return await coro

        self.spawn(steal(), "thief")

    def enter(self, task: Any, name: str) -> None:
        if task is not None:
            super().enter(task, name)

    # ---- what strikes ----------------------------------------------------------------------------------------------

    def on_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.told.append(context)
        self.mischief.strike("exception handler", raising=True)

    def note(self, *what: Any) -> None:
        self.mischief.strike("step")

    def shape(self, value: Any) -> Any:
        return None  # to look at it would be the machine's own mistake

    def do(self, where: str, op: tuple[Any, ...]) -> None:
        super().do(where, op)
        if not where.startswith("main."):
            self.mischief.strike("callback", raising=True)

    async def body(self, ops: machine.Block, who: str) -> Any:
        value.set(self.mischief.evil("value of a context"))
        await super().body(ops, who)
        return self.mischief.evil("result")

    def made(self, kind: str, where: str, argument: Any) -> Any:
        """An awaitable; those that are no tasks can be entered by others."""
        if kind == "later":
            later = EvilLater(int(where[-1]), self.body(argument, where))
            later.mischief = self.mischief
            return later
        awaitable = super().made(kind, where, argument)
        if hasattr(awaitable, "send"):
            self.pokable.append(awaitable)
        return awaitable

    def awaited(self, coro: Any) -> Any:
        if hasattr(coro, "send"):
            self.pokable.append(coro)
        return coro

    # ---- operations ------------------------------------------------------------------------------------------------

    async def op_raise(self, where: str) -> Any:
        raise objects.Trouble(self.mischief, where)

    def do_set_result(self, i: int) -> Any:
        return self.futures[i].set_result(self.mischief.evil("result"))

    def do_set_exception(self, i: int) -> Any:
        kind = self.mischief.pick([objects.Trouble, objects.trouble_class(self.mischief), objects.Pretender])
        return self.futures[i].set_exception(kind(self.mischief) if kind is objects.Trouble else kind)

    def do_renew(self, i: int) -> Any:
        if self.futures[i].done():
            self.kept.append(self.futures[i])
            self.futures[i] = self.new_future()

    def do_put_nowait(self, i: int, item: int) -> Any:
        return self.queues[i].put_nowait(objects.Item(self.mischief))

    def do_call(self, how: str, op: tuple[Any, ...]) -> Any:
        super().do_call(how, op)
        self.handles.append(self.loop.call_soon(self.mischief.evil("callback"), self.mischief.evil("argument")))

    async def op_put(self, where: str, i: int, item: int) -> Any:
        return await self.awaited(self.queues[i].put(objects.Item(self.mischief)))

    async def op_get(self, where: str, i: int) -> Any:
        return await self.awaited(self.queues[i].get())

    async def op_sleep(self, where: str, kind: str) -> Any:
        delay = {"zero": 0, "negative": -1, "soon": SOON, "never": machine.NEVER}[kind]
        return await self.awaited(self.ns.sleep(delay, self.mischief.evil("result of a sleep")))

    async def op_acquire(self, where: str, i: int) -> Any:
        return await self.awaited(self.locks[i].acquire())

    async def op_wait_event(self, where: str, i: int) -> Any:
        return await self.awaited(self.events[i].wait())

    async def op_take(self, where: str, i: int) -> Any:
        return await self.awaited(self.semaphores[i].acquire())

    async def op_wait_for(self, where: str, spec: Any, timeout: str) -> Any:
        what = self.made(*spec[:1], where + ":0", *spec[1:])
        return await self.awaited(self.ns.wait_for(what, machine.DELAYS[timeout]))

    async def op_shield(self, where: str, spec: Any) -> Any:
        return await self.awaited(self.ns.shield(self.made(*spec[:1], where + ":0", *spec[1:])))

    # ---- from one stage to the next --------------------------------------------------------------------------------

    async def settle(self) -> None:
        """Lets everything go on: by ticks, or asleep until something wakes that comes between two ticks."""
        if self.mischief.rng.random() < 0.5:
            await super().settle()
        else:
            await self.doze()

    async def doze(self) -> None:
        """Sleeps until it is woken from a place where code runs between two ticks.

        Hostile code may hold what was to go there (an exception has a traceback, which has frames), so that nobody ever
        wakes it: then the guard does, and nothing is wrong.
        """
        woken = self.loop.create_future()
        place = self.mischief.pick(wakers.REPEATABLE)
        since: list[float] = []

        def wake() -> None:
            since.append(time.monotonic())
            if not woken.done():
                woken.set_result(None)

        def lapse() -> None:
            if since and time.monotonic() - since[0] > PATIENCE / 2:
                self.mischief.wrong.append(f"it slept with work to do, which came from {place.__name__}")
            if not woken.done():
                woken.set_result(None)

        guard = self.loop.call_later(PATIENCE, lapse)
        self.mischief.depth += DEEP  # nothing strikes while this is prepared
        place(self.loop, wake)
        self.mischief.depth -= DEEP
        try:
            await woken
        finally:
            guard.cancel()
