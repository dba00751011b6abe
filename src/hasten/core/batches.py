"""Running a batch of the ready queue: the short way, or the long one of debug mode and of observers."""

from __future__ import annotations

import logging
from typing import Any

import cython

from hasten.core import describe, ready, state
from hasten.core import probe as probes
from hasten.core.departures import Departures
from hasten.core.future import Future
from hasten.core.handle import Handle
from hasten.core.probe import Probe
from hasten.core.ready import Ready
from hasten.core.task import Task
from hasten.kernel import step
from hasten.kernel.step import Step
from hasten.poll.contract import Watch


@cython.no_gc_clear  # type: ignore[attr-defined] # see Scheduler
@cython.cclass
class Batches:
    """The part of the scheduler that runs entries of the ready queue."""

    _ready: Ready
    _step: Step
    departures: Departures
    debug: bool
    slowly: bool
    slow_callback_duration: float
    in_batch: bool
    probe: Probe | None

    def run_batch(self) -> int:
        """Run what is ready now; what that makes ready runs in the next tick.

        The task of the last step stays published as the current one until something else runs, or the poller is asked.
        """
        queue = self._ready
        end = queue.end()
        while not queue.reached(end):  # a callback may run the queue itself, by _run_once()
            item = queue.take()
            tag = queue.tag
            if tag == ready.TASK:
                cython.cast(Task, item).run()
            else:
                self._step.leave()
                if tag == ready.HANDLE:
                    cython.cast(Handle, item).run(self._step)
                elif tag == ready.WATCH:
                    self._step.step_out()
                    cython.cast(Watch, item).dispatch()
                else:
                    self.run_item(item, tag)
            item = None  # dropped before the next is taken: that may run anything, also another tick
            if self.departures.is_late():  # a look at a word of C: a local would cost a reference for each batch
                departures = self.departures
                departures.send_off()
        return 0

    def run_batch_slowly(self) -> int:
        """Do as run_batch() and what comes after it: report what took long (debug mode), and tell observers."""
        queue, departures, probe = self._ready, self.departures, self.probe
        end = queue.end()
        if probe is not None and probe.hears & probes.BATCHES:
            probe.of_loop(probes.BATCH_BEGINS, queue.count())
        while not queue.reached(end):
            item = queue.take()
            tag = queue.tag
            if self.debug:
                self.run_timed(item, tag)
            else:
                self.run_observed(item, tag)
            item = None
            if departures.is_late():
                departures.send_off()
        departures.end_batch()
        probe = self.probe
        if probe is not None and probe.hears & probes.BATCHES:
            probe.of_loop(probes.BATCH_ENDS, 0.0)
        return 0

    def run_timed(self, item: Any, tag: int) -> int:
        start = step.monotonic()
        self.run_observed(item, tag)
        took = step.monotonic() - start
        if took >= self.slow_callback_duration:
            logging.getLogger("asyncio").warning("Executing %s took %.3f seconds", describe.item(item), took)
        return 0

    def run_observed(self, item: Any, tag: int) -> int:
        """Run an entry of the batch, and tell observers before and after, also if it raises."""
        probe = self._ready.probe
        if probe is None:
            return self.run_item(item, tag)
        if tag != ready.TASK:
            self._step.leave()
            probe.of_entry(probes.CALLBACK_BEGINS, item, None)
            try:
                return self.run_item(item, tag)
            finally:
                probe.of_entry(probes.CALLBACK_ENDS, item, None)
        task = cython.cast(Task, item)
        probe.of_entry(probes.STEP_BEGINS, task, None)
        try:
            task.run()
        finally:
            self._ready.tell_of_step(task, task._fut_waiter if task.status == state.PENDING else None)
        return 0

    def run_item(self, item: Any, tag: int) -> int:
        if tag == ready.TASK:
            return cython.cast(Task, item).run()
        self._step.leave()
        if tag == ready.HANDLE:
            return cython.cast(Handle, item).run(self._step)
        self._step.step_out()
        if tag == ready.CHILD:
            return cython.cast(Future, item).tell_collector()
        return cython.cast(Watch, item).dispatch()
