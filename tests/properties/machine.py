"""Runs a program (see `grammar.py`) on an implementation of asyncio, and writes down what happened, in order.

A program is a tree of tuples, and says nothing about the implementation. Each operation is a method `op_<name>` here.
What an operation gives or raises goes into the log; exceptions end there, except for CancelledError and Boom, which
leave through all blocks around them. No time passes: timeouts are over at once, or never, or when another task says.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

Block = list[tuple[Any, ...]]
Note = tuple[Any, ...]

SOON = 1e-9  # seconds: over at the next tick, but not before
NEVER = 1e6
ROUNDS = 12  # in so many ticks everything that can go on has done so, nearly always
# May an eager task be made where an exception is handled? asyncio's sees that exception then, hasten's does not.
EAGER_WHILE_HANDLING = True
place: contextvars.ContextVar[str] = contextvars.ContextVar("place", default="nowhere")


class Boom(Exception):
    """What fails on purpose."""


class InOrder:
    """A set that iterates in the order of insertion."""

    def __init__(self) -> None:
        self.items: dict[Any, None] = {}

    def add(self, item: Any) -> None:
        self.items[item] = None

    def discard(self, item: Any) -> None:
        self.items.pop(item, None)

    def __iter__(self) -> Iterator[Any]:
        return iter(list(self.items))

    def __len__(self) -> int:
        return len(self.items)


class Later:
    """An awaitable that is no coroutine. Its hash does not depend on its address, so sets of such have an order."""

    def __init__(self, number: int, coro: Any) -> None:
        self.number = number
        self.coro = coro

    def __hash__(self) -> int:
        return self.number

    def __await__(self) -> Any:
        return self.coro.__await__()


class Machine:
    """One run of one program: `ns` is the implementation, `loop` its loop."""

    def __init__(self, ns: Any, loop: asyncio.AbstractEventLoop) -> None:
        self.ns = ns
        self.loop = loop
        self.log: list[Note] = []
        self.errors: list[str] = []
        self.tasks: list[Any] = []  # in the order of their first steps, or of their making
        self.names: dict[int, str] = {}
        self.timeouts: list[Any] = []
        self.groups: list[Any] = []
        self.handles: list[Any] = []
        self.kept: list[Any] = []
        self.locks = [ns.Lock(), ns.Lock()]
        self.events = [ns.Event(), ns.Event()]
        self.conditions = [ns.Condition(), ns.Condition(self.locks[0])]
        self.semaphores = [ns.Semaphore(0), ns.Semaphore(2), ns.BoundedSemaphore(1)]
        self.barriers = [ns.Barrier(2), ns.Barrier(3)]
        self.queues = [ns.Queue(), ns.Queue(1), ns.PriorityQueue(2), ns.LifoQueue()]
        self.futures = [loop.create_future() for _ in range(3)]
        for i, fut in enumerate(self.futures):
            self.names[id(fut)] = f"future {i}"
        loop.set_exception_handler(self.on_error)

    def on_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        message = context["message"]
        if "never retrieved" not in message:  # told when the garbage collector comes
            self.note("handler", message.split(" ", 1)[0], type(context.get("exception")).__name__)

    def note(self, *what: Any) -> None:
        self.log.append(what)

    def shape(self, value: Any) -> Any:
        """What can be compared of a value."""
        if isinstance(value, BaseException):
            return self.shape_of_error(value)
        if isinstance(value, (list, tuple)):
            return [self.shape(each) for each in value]
        if isinstance(value, set):
            return sorted(str(self.shape(each)) for each in value)
        if value is None or isinstance(value, (bool, int, str)):
            return value
        return self.names.get(id(value), type(value).__name__)

    def shape_of_error(self, exc: BaseException) -> Any:
        parts: list[Any] = [type(exc).__name__]
        if isinstance(exc, (Boom, asyncio.CancelledError)):
            parts += exc.args
        if isinstance(exc, BaseExceptionGroup):
            parts.append([self.shape_of_error(each) for each in exc.exceptions])
        if exc.__cause__ is not None:
            parts += ["from", self.shape_of_error(exc.__cause__)]
        elif exc.__context__ is not None and not exc.__suppress_context__:
            parts += ["after", type(exc.__context__).__name__]
        return parts

    # ---- running ---------------------------------------------------------------------------------------------------

    async def main(self, roots: list[Block], stir: Block) -> None:
        self.tasks.append(self.current())
        self.names[id(self.tasks[0])] = "main"
        for i, root in enumerate(roots):
            self.spawn(self.body(root, f"root{i}"), f"root{i}")
        for i, op in enumerate(stir):
            self.do(f"main.{i}", op)
            await self.ns.sleep(0)
        self.note("settling")
        await self.settle()
        for turn in range(100):
            left = [task for task in self.tasks[1:] if not task.done()]
            if not left:
                break
            self.note("cancelling", *[self.shape(task) for task in left])
            for lock in self.locks if turn > 2 else ():
                if lock.locked():
                    lock.release()  # whoever holds it has ended; a Condition waits for it, come what may
            for task in left:
                task.cancel(f"end {turn}")
            await self.settle()
        self.note("over", *[(self.shape(task), self.ending(task)) for task in self.tasks[1:]])
        self.note("state", *self.state())
        for task in self.ns.all_tasks():
            if task is not self.tasks[0]:
                self.note("left over")
                task.cancel()
        await self.settle()

    async def settle(self) -> None:
        for _ in range(ROUNDS):
            await self.ns.sleep(0)

    def ending(self, task: Any) -> Any:
        if not task.done():
            return "pending"
        if task.cancelled():
            return "cancelled"
        exc = task.exception()
        return self.shape(task.result() if exc is None else exc)

    def state(self) -> list[str]:
        parts: list[Any] = [*self.locks, *self.conditions, *self.events, *self.semaphores, *self.barriers]
        said = [repr(each).partition(" [")[2] for each in parts]
        return said + [str(queue) for queue in self.queues] + [fut._state for fut in self.futures]

    def current(self) -> Any:
        return self.ns.current_task()

    def spawn(self, coro: Any, name: str, **kwargs: Any) -> Any:
        task = self.ns.create_task(coro, **kwargs)
        self.enter(task, name)
        return task

    def enter(self, task: Any, name: str) -> None:
        if id(task) not in self.names:
            self.tasks.append(task)
            self.names[id(task)] = name

    async def body(self, ops: Block, who: str) -> Any:
        """What a task of the program runs."""
        self.enter(self.current(), who)
        place.set(who)
        self.note(who, "starts")
        try:
            value = await self.block(ops, who)
        except BaseException as exc:
            self.note(who, "fails", self.shape(exc))
            raise
        self.note(who, "returns", value)
        return value

    async def block(self, ops: Block, who: str) -> str:
        for i, op in enumerate(ops):
            await self.run(f"{who}.{i}", op)
        return who

    async def run(self, where: str, op: tuple[Any, ...]) -> None:
        self.note(where, op[0])
        try:
            value = await getattr(self, "op_" + op[0])(where, *op[1:])
        except Boom:
            raise
        except Exception as exc:
            self.note(where, "raised", self.shape(exc))
        else:
            self.note(where, "gave", self.shape(value), place.get())

    def do(self, where: str, op: tuple[Any, ...]) -> None:
        """An operation that does not wait, in a callback."""
        self.note(where, "called", op[0], place.get(), self.shape(self.current()) if self.current() else "no task")
        try:
            value = getattr(self, "do_" + op[0])(*op[1:])
        except Exception as exc:
            self.note(where, "raised", self.shape(exc))
        else:
            self.note(where, "gave", self.shape(value))

    def task(self, k: int) -> Any:
        """The k-th task from the latest; never main."""
        return self.tasks[-1 - k % (len(self.tasks) - 1)] if len(self.tasks) > 1 else None

    def younger_task(self, k: int) -> Any:
        """One that began after the current one: so nobody waits for himself, however long the way round."""
        me = self.current()
        younger = self.tasks[self.tasks.index(me) + 1 :]
        return younger[k % len(younger)] if younger else None

    # ---- what does not wait ----------------------------------------------------------------------------------------

    async def op_do(self, where: str, op: tuple[Any, ...]) -> Any:
        return getattr(self, "do_" + op[0])(*op[1:])

    def do_count(self) -> Any:
        return len([task for task in self.tasks if not task.done()])

    def do_look(self) -> Any:
        me = self.current()
        return [*self.state(), *[self.ending(task) for task in self.tasks if task is not me]]

    def do_cancel(self, k: int, message: str | None) -> Any:
        task = self.task(k)
        if task is None:
            return "nobody"
        return [self.shape(task), task.cancel(message), task.cancelling()]

    def do_cancel_self(self) -> Any:
        me = self.current()
        return [me.cancel("self"), me.cancelling()] if me is not None and me is not self.tasks[0] else "no task"

    def do_uncancel(self) -> Any:
        me = self.current()
        return me.uncancel() if me is not None else "no task"

    def do_release(self, i: int) -> Any:
        return self.locks[i].release()

    def do_set(self, i: int) -> Any:
        return self.events[i].set()

    def do_clear(self, i: int) -> Any:
        return self.events[i].clear()

    def do_notify(self, i: int, n: int) -> Any:
        return self.conditions[i].notify(n)

    def do_notify_all(self, i: int) -> Any:
        return self.conditions[i].notify_all()

    def do_free(self, i: int) -> Any:
        return self.semaphores[i].release()

    def do_put_nowait(self, i: int, item: int) -> Any:
        return self.queues[i].put_nowait(item)

    def do_get_nowait(self, i: int) -> Any:
        return self.queues[i].get_nowait()

    def do_task_done(self, i: int) -> Any:
        return self.queues[i].task_done()

    def do_shutdown(self, i: int, immediate: bool) -> Any:
        return self.queues[i].shutdown(immediate)

    def do_set_result(self, i: int) -> Any:
        return self.futures[i].set_result(i)

    def do_set_exception(self, i: int) -> Any:
        return self.futures[i].set_exception(Boom("future"))

    def do_cancel_future(self, i: int, message: str | None) -> Any:
        return self.futures[i].cancel(message)

    def do_ask(self, i: int) -> Any:
        return self.ending(self.futures[i])

    def do_renew(self, i: int) -> Any:
        if not self.futures[i].done():
            return "not done"
        self.kept.append(self.futures[i])
        self.futures[i] = self.loop.create_future()
        self.names[id(self.futures[i])] = f"future {i}"
        return None

    def do_add_callback(self, i: int, op: tuple[Any, ...]) -> Any:
        return self.futures[i].add_done_callback(lambda fut: self.do(f"callback of future {i}", op))

    def do_add_callback_of_task(self, k: int, op: tuple[Any, ...]) -> Any:
        task = self.task(k)
        return task and task.add_done_callback(lambda fut: self.do("callback of task", op))

    def do_spawn(self, ops: Block) -> Any:
        who = f"spawned{len(self.tasks)}"
        return self.spawn(self.body(ops, who), who)

    def do_spawn_eagerly(self, ops: Block) -> Any:
        who = f"eager{len(self.tasks)}"
        eager = EAGER_WHILE_HANDLING or sys.exception() is None
        return self.spawn(self.body(ops, who), who, eager_start=eager)

    def do_call(self, how: str, op: tuple[Any, ...]) -> Any:
        where = f"{how} {len(self.handles)}"
        schedule: dict[str, Callable[..., Any]] = {
            "soon": self.loop.call_soon,
            "threadsafe": self.loop.call_soon_threadsafe,
            "later": lambda *args: self.loop.call_later(SOON, *args),
            "at once": lambda *args: self.loop.call_later(0, *args),
            "late": lambda *args: self.loop.call_at(self.loop.time() - 1, *args),
            "later still": lambda *args: self.loop.call_at(self.loop.time() - 2, *args),
        }
        self.handles.append(schedule[how](self.do, where, op))

    def do_cancel_call(self, k: int) -> Any:
        return self.handles[-1 - k % len(self.handles)].cancel() if self.handles else "nothing"

    def do_expire(self, k: int, over: bool) -> Any:
        if not self.timeouts:
            return "nothing"
        timeout = self.timeouts[-1 - k % len(self.timeouts)]
        timeout.reschedule(self.loop.time() - 1 if over else None)
        return timeout.expired()

    def do_group_spawn(self, k: int, ops: Block) -> Any:
        if not self.groups:
            return "nothing"
        group = self.groups[-1 - k % len(self.groups)]
        who = f"child{len(self.tasks)}"
        task = group.create_task(self.body(ops, who))
        self.enter(task, who)
        return task

    def do_group_cancel(self, k: int) -> Any:
        return self.groups[-1 - k % len(self.groups)].cancel() if self.groups else "nothing"

    # ---- control ---------------------------------------------------------------------------------------------------

    async def op_raise(self, where: str) -> Any:
        raise Boom(where)

    async def op_raise_cancelled(self, where: str) -> Any:
        raise asyncio.CancelledError(where)

    async def op_try(self, where: str, ops: Block, handler: Block, swallow: bool) -> Any:
        try:
            return await self.block(ops, where + "t")
        except (Boom, asyncio.CancelledError) as exc:
            self.note(where, "caught", self.shape(exc))
            await self.block(handler, where + "h")
            if not swallow:
                raise
            return "swallowed"

    async def op_finally(self, where: str, ops: Block, handler: Block) -> Any:
        try:
            return await self.block(ops, where + "t")
        finally:
            await self.block(handler, where + "f")

    async def op_generate(self, where: str, ops: Block, inside: Block, group: bool) -> Any:
        async def generate() -> Any:
            if not group:
                await self.block(ops, where + "g")
                yield 1
                await self.block(ops, where + "G")
                return
            async with self.group() as made:
                self.enter(made.create_task(self.body(ops, where + "c")), where + "c")
                yield 1
                await self.ns.sleep(0)

        iterator = generate()
        try:
            await iterator.__anext__()
            await self.block(inside, where + "i")
        finally:
            await iterator.aclose()

    # ---- tasks and waiting -----------------------------------------------------------------------------------------

    async def op_sleep(self, where: str, kind: str) -> Any:
        delay = {"zero": 0, "negative": -1, "soon": SOON, "never": NEVER}[kind]
        return await self.ns.sleep(delay, kind)

    async def op_await_task(self, where: str, k: int) -> Any:
        task = self.younger_task(k)
        return await task if task is not None else "nobody"

    async def op_await_future(self, where: str, i: int) -> Any:
        return await self.futures[i]

    async def op_await_later(self, where: str, ops: Block) -> Any:
        return await Later(1, self.body_inside(ops, where))

    async def body_inside(self, ops: Block, who: str) -> str:
        return await self.block(ops, who)

    def made(self, kind: str, where: str, argument: Any) -> Any:
        """An awaitable, to be given to one of the functions below."""
        if kind == "body":
            return self.body(argument, where)
        if kind == "later":
            return Later(int(where[-1]), self.body(argument, where))
        if kind == "spawned":
            return self.spawn(self.body(argument, where), where)
        if kind == "task":
            return self.younger_task(argument) or self.futures[0]
        if kind == "future":
            return self.futures[argument]
        return getattr(self, "make_" + kind)(argument)

    def make_sleep(self, i: int) -> Any:
        return self.ns.sleep([0, SOON, NEVER][i], "slept")

    def make_acquire(self, i: int) -> Any:
        return self.locks[i % 2].acquire()

    def make_event(self, i: int) -> Any:
        return self.events[i % 2].wait()

    def make_semaphore(self, i: int) -> Any:
        return self.semaphores[i].acquire()

    def make_get(self, i: int) -> Any:
        return self.queues[i].get()

    def make_put(self, i: int) -> Any:
        return self.queues[i].put(i)

    def make_all(self, where: str, specs: list[tuple[str, Any]]) -> list[Any]:
        return [self.made(kind, f"{where}:{i}", argument) for i, (kind, argument) in enumerate(specs)]

    async def op_gather(self, where: str, specs: list[Any], return_exceptions: bool) -> Any:
        return await self.ns.gather(*self.make_all(where, specs), return_exceptions=return_exceptions)

    async def op_gather_and_cancel(self, where: str, specs: list[Any], return_exceptions: bool, ticks: int) -> Any:
        gathering = self.ns.gather(*self.make_all(where, specs), return_exceptions=return_exceptions)
        for _ in range(ticks):
            await self.ns.sleep(0)
        self.note(where, gathering.cancel("gather"))
        return await gathering

    async def op_wait(self, where: str, specs: list[Any], return_when: str, timeout: str) -> Any:
        made = self.futures_of(where, specs)
        return await self.ns.wait(made, return_when=return_when, timeout=DELAYS[timeout])

    def futures_of(self, where: str, specs: list[Any]) -> list[Any]:
        return [self.ns.ensure_future(each) for each in self.make_all(where, specs)]

    async def op_wait_for(self, where: str, spec: tuple[str, Any], timeout: str) -> Any:
        return await self.ns.wait_for(self.made(spec[0], where + ":0", spec[1]), DELAYS[timeout])

    async def op_shield(self, where: str, spec: tuple[str, Any]) -> Any:
        return await self.ns.shield(self.made(spec[0], where + ":0", spec[1]))

    async def op_as_completed(self, where: str, specs: list[Any], timeout: str) -> Any:
        got: list[Any] = []
        for each in self.ns.as_completed(self.make_all(where, specs), timeout=DELAYS[timeout]):
            try:
                got.append(self.shape(await each))
            except (Boom, TimeoutError) as exc:
                got.append(self.shape(exc))
            self.note(where, got[-1])
        return got

    async def op_as_completed_async(self, where: str, specs: list[Any], timeout: str) -> Any:
        got: list[Any] = []
        async for each in self.ns.as_completed(self.make_all(where, specs), timeout=DELAYS[timeout]):
            got.append(self.ending(each))
            self.note(where, got[-1])
        return got

    async def op_timeout(self, where: str, timeout: str, ops: Block) -> Any:
        async with self.ns.timeout(DELAYS[timeout]) as made:
            self.timeouts.append(made)
            await self.block(ops, where)
        return made.expired()

    def group(self) -> Any:
        made = self.ns.TaskGroup()
        stock = type(made) is asyncio.TaskGroup  # the class of the stdlib itself: ours passes isinstance
        if stock:
            made._tasks = InOrder()  # else its children would be cancelled in the order of their addresses
        self.groups.append(made)
        return made

    async def op_group(self, where: str, children: list[Block], ops: Block) -> Any:
        async with self.group() as made:
            for i, child in enumerate(children):
                who = f"{where}:{i}"
                self.enter(made.create_task(self.body(child, who)), who)
            await self.block(ops, where)
        return self.current().cancelling()

    # ---- primitives ------------------------------------------------------------------------------------------------

    async def op_acquire(self, where: str, i: int) -> Any:
        return await self.locks[i].acquire()

    async def op_hold(self, where: str, i: int, ops: Block) -> Any:
        async with self.locks[i]:
            await self.block(ops, where)

    async def op_wait_event(self, where: str, i: int) -> Any:
        return await self.events[i].wait()

    async def op_wait_condition(self, where: str, i: int) -> Any:
        async with self.conditions[i] as got:
            self.note(where, "in", got)
            return await self.conditions[i].wait()

    async def op_wait_for_condition(self, where: str, i: int, n: int) -> Any:
        asked = 0

        def predicate() -> int:
            nonlocal asked
            asked += 1
            self.note(where, "asked", asked)
            return asked if asked > n else 0

        async with self.conditions[i]:
            return await self.conditions[i].wait_for(predicate)

    async def op_notify(self, where: str, i: int, n: int) -> Any:
        async with self.conditions[i]:
            self.conditions[i].notify(n)

    async def op_take(self, where: str, i: int) -> Any:
        return await self.semaphores[i].acquire()

    async def op_inside(self, where: str, i: int, ops: Block) -> Any:
        async with self.semaphores[i]:
            await self.block(ops, where)

    async def op_barrier(self, where: str, i: int) -> Any:
        return await self.barriers[i].wait()

    async def op_barrier_block(self, where: str, i: int, ops: Block) -> Any:
        async with self.barriers[i] as number:
            await self.block(ops, where)
        return number

    async def op_reset(self, where: str, i: int) -> Any:
        return await self.barriers[i].reset()

    async def op_abort(self, where: str, i: int) -> Any:
        return await self.barriers[i].abort()

    async def op_put(self, where: str, i: int, item: int) -> Any:
        return await self.queues[i].put(item)

    async def op_get(self, where: str, i: int) -> Any:
        return await self.queues[i].get()

    async def op_join(self, where: str, i: int) -> Any:
        return await self.queues[i].join()


DELAYS = {"none": None, "zero": 0, "negative": -1, "soon": SOON, "never": NEVER}


def run(ns: Any, make_loop: Callable[[], Any], program: tuple[list[Block], Block]) -> list[Note]:
    """What happened when `program` was run."""
    loop = make_loop()
    try:
        machine = Machine(ns, loop)
        main: Awaitable[None] = machine.main(*program)
        loop.run_until_complete(main)
        return machine.log
    finally:
        asyncio.set_event_loop(None)
        loop.close()
