"""What the worker threads of a window do with a unit of work: from its rows to a batch that the consumer may take."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from ..backends.base import Crew, Engine
from ..backends.task import Done, Task
from ..errors import is_interrupt, relayed
from ..memory.nbytes import size
from ..memory.parts import Parts
from ..memory.pool import Pool
from ..observe.activity import Activity
from ..observe.recorder import Recorder
from ..observe.replaced import HERE, NO_REPORTS
from ..read.epochs import Epochs
from .budget import Budget
from .groups import most_rows
from .policy import Policy
from .slot import Slot, Unit


class Worker:
    """What one worker thread works with.

    Attributes:
        engine: Does the worker's tasks.
        activity: What the worker is doing.
        slot: The slot of its unit; None while it waits for work.
    """

    __slots__ = ("activity", "engine", "slot")

    def __init__(self, engine: Engine, activity: Activity) -> None:
        self.engine = engine
        self.activity = activity
        self.slot: Slot | None = None


class Bench:
    """What the workers of a window share.

    Attributes:
        lock: Held while parts are added to a slot, and while one is published. Reentrant, for a signal handler that
            closes the iterator while the main thread closes it.
        published: How many batches have been published.
        given: Placed batches that have been handed out. The consumer adds them, since freeing one takes longer than
            all of `next`. A worker frees them before it loads the batches that take their place.
    """

    def __init__(
        self, epochs: Epochs, crew: Crew, policy: Policy, recorder: Recorder, budget: Budget | None, *, timed: bool
    ) -> None:
        """Begins without a published batch.

        Args:
            epochs: The fetch of each epoch.
            crew: Makes the engines of the workers.
            policy: Is told how long reads take.
            recorder: Is told what is done.
            budget: Is told how large batches are; None if the prefetch depth does not depend on it.
            timed: Whether a timeout needs to know which row is being read.
        """
        self._epochs = epochs
        self._base = epochs.base
        self._crew = crew
        self._policy = policy
        self._recorder = recorder
        self._budget = budget
        self._remote = crew.remote
        self._timed = timed
        self._pool = Pool(self._base.pin)
        self.lock = threading.RLock()
        self.published = 0
        self.given: list[Any] = []

    def worker(self, number: int) -> Worker:
        """Makes the `Worker` of a number; called in its thread."""
        lane, tracing = self._recorder.worker(number), self._recorder.tracing
        return Worker(self._crew.engine(), Activity(lane, tracing, timed=self._timed))

    def divide(self, slot: Slot, parts: int) -> None:
        """Notes that a slot is worked on in parts."""
        slot.missing = parts
        if self._base.gathers and not self._remote:
            slot.memory = Parts(len(slot.rows), self._pool)

    def undivided(self, unit: Unit) -> Unit | None:
        """What is to be done of a unit that was just taken from the queue.

        Parts are made for the dataset that was built. In its epoch, it may be another one, whose rows belong together.

        Returns:
            The unit; in place of the first of such parts, a unit of the whole batch; None in place of the others, and
            if the epoch cannot be opened, which is the outcome of the slot then.
        """
        slot, task = unit.slot, unit.task
        if task.whole or not self._base.changes_with_epoch:
            return unit
        try:
            divisible = self._epochs.enter(task.epoch, task.following).divisible
        except BaseException as error:
            if is_interrupt(error):
                raise
            self._publish(slot, [], relayed(error, "preparing", slot.steps[0]))
            return None
        if divisible:
            return unit
        with self.lock:
            if slot.whole:
                return None
            slot.whole, slot.memory = True, None
        return Unit(slot, 0, Task(task.epoch, slot.rows, 1, True, task.following))

    def run(self, unit: Unit, worker: Worker) -> None:
        """Does one unit of work."""
        # But for the last one, which the consumer still uses.
        del self.given[:-1]
        slot, task, activity = unit.slot, unit.task, worker.activity
        worker.slot, activity.step = slot, slot.steps[0]
        alloc = self._pool if slot.memory is None else slot.memory.part(unit.start, len(task.rows))
        if self._remote:
            activity.begin("reading", task.rows)
            done = worker.engine.perform(task, alloc, activity)
            activity.end_elsewhere(done.reading, done.batching, done.clocks)
        else:
            done = worker.engine.perform(task, alloc, activity)
        failure = None
        if done.error is not None:
            if is_interrupt(done.error):
                # A signal handler has raised it in the consumer's thread: it is no error of a row.
                raise done.error
            failure = relayed(done.error, done.stage, slot.steps[len(done.values) if task.whole else 0], done.trace)
        else:
            self._learn(task, done)
        if done.transforming is not None:
            activity.transformed(done.reading, done.transforming)
        if done.replaced is not None:
            with self.lock:
                slot.replace(done.replaced)
        if task.whole:
            self._settle(slot, done.values, failure, activity)
        else:
            self._finish(unit, done.values[0] if done.values else None, failure, activity)
        worker.slot = None

    def fail(self, slot: Slot, error: BaseException) -> None:
        """Publishes an unexpected error as the outcome of a slot, for which the consumer may be waiting."""
        self._publish(slot, [], relayed(error, "loading", slot.steps[0]))

    def _learn(self, task: Task, done: Done) -> None:
        policy = self._policy
        policy.learn(len(task.rows), done.reading)
        if policy.most is None and self._base.divisible and self._base.gathers:
            policy.most = most_rows(done.values[0], len(task.rows))

    def _finish(self, unit: Unit, part: Any, failure: BaseException | None, activity: Activity) -> None:
        """Adds a part to its slot and, if it was the last missing one, joins them."""
        slot = unit.slot
        with self.lock:
            if not slot.add(unit.start, part, failure):
                return
        batches: list[Any] = []
        failure = slot.failure
        if failure is None:
            # If joining reads rows again, those that the dataset replaces have been reported with the parts.
            collector = HERE.collector
            outer = collector.reports
            try:
                collector.reports = NO_REPORTS
                fetch = self._epochs.enter(unit.task.epoch)
                activity.begin("batching")
                batches = [fetch.join(slot.in_order, slot.rows, self._pool)]
                activity.end()
            except BaseException as error:
                activity.end()
                failure = relayed(error, "batching", slot.steps[0])
            finally:
                collector.reports = outer
        self._settle(slot, batches, failure, activity)

    def _settle(self, slot: Slot, batches: list[Any], failure: BaseException | None, activity: Activity) -> None:
        """Counts and places batches, up to one that fails, and publishes them."""
        counts: list[Mapping[str, float]] = []
        if self._base.counts:
            for i, batch in enumerate(batches):
                activity.step = slot.steps[i]
                activity.begin("batching")
                try:
                    counts.append(self._base.count(batch))
                except BaseException as error:
                    batches, failure = batches[:i], relayed(error, "counting", slot.steps[i])
                    break
                finally:
                    activity.end()
        if self._base.places:
            for i, batch in enumerate(batches):
                activity.step = slot.steps[i]
                activity.begin("placing")
                try:
                    batches[i] = self._base.place(batch)
                except BaseException as error:
                    batches, failure = batches[:i], relayed(error, "placing", slot.steps[i])
                    break
                finally:
                    activity.end()
        self._publish(slot, batches, failure, counts)

    def _publish(
        self,
        slot: Slot,
        batches: list[Any],
        failure: BaseException | None,
        counts: Sequence[Mapping[str, float]] = (),
    ) -> None:
        if self._policy.sizes_depth and batches:
            slot.nbytes = size(batches[0])
            self._policy.learn_bytes(slot.nbytes)
        with self.lock:
            # Counted first, since a consumer that waits goes on at once.
            if not slot.claimed:
                self.published += len(slot.steps)
                if self._budget is not None:
                    self._budget.loaded(slot.nbytes)
            slot.publish(batches, failure, counts)
