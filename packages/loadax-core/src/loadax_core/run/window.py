"""Batches that a team of threads loads ahead of the consumer, handed over in order. The rules: see `run`."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from functools import partial
from queue import SimpleQueue
from time import perf_counter
from typing import Any

from ..backends.base import Crew
from ..errors import ClosedError, is_interrupt
from ..observe.activity import Activity
from ..observe.cores import cores, thread_clocks
from ..observe.recorder import Recorder
from ..plan.steps import Step
from ..read.epochs import Epochs
from .budget import Budget
from .policy import QUEUED_DEPTH, Policy
from .refill import Refill
from .slot import Slot, Unit
from .threads import CLOSE_SECONDS, Context, Team, stop_at_exit
from .wait import wait
from .worker import Bench, Worker


class Window:
    """A `Source` that loads up to `depth` batches ahead.

    Args:
        epochs: The fetch of each epoch.
        steps: The steps of the batches, in order.
        end: The epoch at which the run is over; None if it is endless.
        recorder: Is told what is done.
        workers: How many threads load.
        depth: How many batches are kept ready; None sizes it by their memory.
        timeout: Seconds that one read may take; None for any time.
        crew: Makes the engines that do the workers' tasks.
        context: What loading runs in.
    """

    def __init__(
        self,
        epochs: Epochs,
        steps: Iterator[Step],
        end: int | None,
        recorder: Recorder,
        *,
        workers: int,
        depth: int | None,
        timeout: float | None,
        crew: Crew,
        context: Context,
    ) -> None:
        fetch = epochs.base
        self._epochs = epochs
        self._recorder = recorder
        self._timeout = timeout
        self._crew = crew
        helps = fetch.helps and not crew.remote and timeout is None
        caller = Activity(recorder.caller, recorder.tracing, loads_only=False)
        self._helper = Worker(crew.engine(), caller) if helps else None
        self._context = context
        self._cores = cores()
        self._policy = Policy(
            workers=workers,
            unit_seconds=crew.unit_seconds,
            remote=crew.remote,
            gathers=fetch.gathers,
            divisible=fetch.divisible,
            groups=fetch.groups,
            depth=depth,
            queued=fetch.queued,
            helps=helps,
        )
        # Gathered batches have the same size. Others may be small for a while, and then large.
        sizes_vary = depth is None and not fetch.gathers
        units: SimpleQueue[Unit | None] = SimpleQueue()
        budget = Budget(units.put, self._policy, workers) if sizes_vary else None
        self._budget = budget
        self._bench = Bench(epochs, crew, self._policy, recorder, budget, timed=timeout is not None)
        self._team = Team(self._bench, units, workers, context, ahead=crew.remote)
        self._refill = Refill(fetch, steps, end, self._policy, self._bench, units.put, budget)
        self._slots: deque[Slot] = deque()
        # Batches that have been handed out of the oldest slot, and of all.
        self._offset = self._taken = 0
        self._places, self._queued = fetch.places, fetch.queued
        self._pid = os.getpid()
        self.failure: BaseException | None = None

    def start(self) -> None:
        """Starts the workers, and gives them the first batches."""
        stop_at_exit(self)
        self._epochs.start()
        self._recorder.depth = self._policy.depth
        self._refill.fill(self._slots, self._policy.depth)
        self._team.start(self._policy.loaders(0, self._cores))

    def take(self) -> tuple[Step, Any] | None:
        """The next batch and its step, or None at the end; see `Source`."""
        slots, refill = self._slots, self._refill
        if not slots or not self._taken:
            # The consumer holds no batch yet, so that there may be one more.
            refill.fill(slots, max(1, self._policy.depth + (not self._taken)))
            # If `stop` was called meanwhile, no worker is left for the slots that were just added.
            if not slots or self._team.stopped:
                return self._finished()
        slot, offset = slots[0], self._offset
        if not slot.done and self._helper is not None and self._policy.caller_helps(len(slot.rows)):
            self._context.run(partial(self._help, slot, self._helper))
        if not slot.done:
            self._wait(slot)
        if self._queued and self._taken and offset + 1 >= len(slot.batches) and self._policy.depth >= QUEUED_DEPTH:
            self._wait_for_next()
        batches = slot.batches
        if offset >= len(batches):
            self.failure = slot.error
            assert slot.error is not None, "a slot has as many batches as steps, or an error"
            raise slot.error
        if slot.replaced is not None:
            self._count_replaced(slot, offset)
        step, batch = slot.steps[offset], batches[offset]
        batches[offset] = None
        self._taken += 1
        refill.ahead -= 1
        if self._places:
            self._bench.given.append(batch)
        if offset + 1 < len(slot.steps):
            self._offset = offset + 1
        else:
            slots.popleft()
            self._offset = 0
            self._add_more(slot)
        if slot.counts:
            self._recorder.count(slot.counts[offset])
        return step, batch

    def _count_replaced(self, slot: Slot, offset: int) -> None:
        """Counts the rows that were replaced in a batch, which the loop is about to receive; raises if too many are."""
        assert slot.replaced is not None, "callers look at it"
        self.failure = self._recorder.replace(slot.replaced.get(offset, ()), slot.steps[offset])
        if self.failure is not None:
            raise self.failure

    def _add_more(self, slot: Slot) -> None:
        """Adds batches in place of those of a slot that has been handed out."""
        if self._budget is not None:
            self._budget.taken(slot.nbytes)
        self._recorder.depth = self._policy.depth
        self._refill.fill(self._slots, self._policy.depth)

    @property
    def ready(self) -> int:
        """How many batches may be taken at once."""
        slots = self._slots
        return self._bench.published - self._taken if slots and slots[0].done else 0

    def stop(self) -> None:
        """Ends all background work without waiting for it. Rule 6 applies."""
        self._team.stop()
        # In this order: `take` either finds that the team has stopped, or adds to the slots that `close` publishes.
        self._slots, self._bench.given = deque(), []
        self._epochs.stop()
        self._crew.stop()

    def close(self) -> None:
        """Stops, wakes a consumer that waits in another thread, and waits a moment for the workers to end."""
        slots = self._slots
        self.stop()
        with self._bench.lock:
            for slot in list(slots):
                slot.publish([], ClosedError("the iterator was closed while a batch was awaited"))
        self.join(perf_counter() + CLOSE_SECONDS)

    def join(self, deadline: float) -> bool:
        """Waits for the workers until `deadline`, a value of `perf_counter`; returns whether all have ended."""
        ended = self._team.join(deadline)
        return self._epochs.join(deadline) and ended

    def _help(self, slot: Slot, helper: Worker) -> None:
        """Runs queued units in the consumer's thread, until a slot is done or the queue is empty."""
        while not slot.done:
            unit = self._team.next_unit()
            if unit is None:
                return
            self._bench.run(unit, helper)

    def _finished(self) -> None:
        """Returns at the end of the run.

        Raises:
            ClosedError: If the window was stopped before.
        """
        if self._refill.ahead or not self._refill.exhausted:
            raise ClosedError("this iterator was closed, or the interpreter exits; iter(loader) starts a new one")

    def _wait(self, slot: Slot) -> None:
        """Waits until a slot is done, or a stage of it has taken longer than the timeout."""
        if os.getpid() != self._pid:
            raise RuntimeError(
                "this iterator's workers stayed behind when the process forked; start a new one with iter(loader), and "
                "set_state if it is to continue"
            )
        if not self._team.whole:
            fresh = self._taken <= self._policy.depth
            self._team.start(self._policy.loaders(len(slot.rows), self._cores, fresh=fresh))
        try:
            before = thread_clocks() if self._recorder.caller.looks(perf_counter()) else None
            wait(slot, self._timeout, self._team.workers)
            woken = perf_counter() - slot.published
            self._recorder.wake_wait += woken
            if before is not None:
                self._recorder.woken += woken
                self._recorder.woken_core_wait += min(woken, thread_clocks()[1] - before[1])
        except TimeoutError as error:
            if self._slots and slot is self._slots[0] and not is_interrupt(error):
                self.failure = error
            raise

    def _wait_for_next(self) -> None:
        """Waits until the slot after the first one is done, if there is one, whatever comes of it."""
        slots = self._slots
        if len(slots) > 1 and not slots[1].done:
            try:
                self._wait(slots[1])
            except TimeoutError as error:
                # A read that takes too long is for the call that asks for it.
                if is_interrupt(error):
                    raise
