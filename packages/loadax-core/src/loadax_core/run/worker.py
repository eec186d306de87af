"""Where units of work are done, by workers and by a consumer that helps them, and where their outcome is published."""

from __future__ import annotations

import threading
from time import perf_counter
from typing import Any

from ..backends.base import Crew
from ..backends.task import Done, Task, is_interrupt, perform
from ..errors import relayed
from ..memory.parts import Parts
from ..memory.pool import Pin, Pool
from ..observe.activity import Activity
from ..observe.recorder import Recorder
from ..plan.steps import Step
from ..protocols import Alloc
from .policy import BRIEF_SECONDS, Pace
from .slot import Slot, Unit


class Workbench:
    """What the workers of a window share.

    Attributes:
        lock: Held while parts are added to a slot, and while one is published.
        published: How many batches have been published.
        given: Placed batches that have been handed out. The consumer adds them, and a worker lets go of them.
        helper: What a consumer that helps works with.
    """

    def __init__(self, crew: Crew, pace: Pace, recorder: Recorder, pin: Pin | None) -> None:
        self._crew = crew
        self._pace = pace
        self._recorder = recorder
        self._pool = Pool(pin)
        # Reentrant, for a signal handler that closes the iterator while the caller does a worker's work.
        self.lock = threading.RLock()
        self.published = 0
        self.given: list[Any] = []
        self.helper = Activity(crew.engine(), recorder.caller)

    def activity(self, number: int) -> Activity:
        """What the worker of that number works with."""
        return Activity(self._crew.engine(), self._recorder.worker(number))

    def divide(self, slot: Slot) -> None:
        """Notes that a slot is worked on in parts."""
        if slot.fetch.gathers and not self._crew.remote:
            slot.memory = Parts(len(slot.rows), self._pool)

    def run(self, unit: Unit, activity: Activity) -> None:
        """Does one unit of work."""
        # The consumer still holds the last one.
        del self.given[:-1]
        slot = activity.slot = unit.slot
        activity.step = slot.steps[0]
        task = unit.task
        brief = self._pace.brief and activity.skips()
        memory = slot.memory
        alloc = self._pool if memory is None else memory.part(unit.start, len(task.rows))
        method = self._perform_briefly if brief else self._perform
        done = method(slot, task, alloc, activity)
        failure = None
        if done.error is not None:
            failure = self._relayed(done.error, done.stage, slot.steps[len(done.values)], activity, done.trace)
        elif not brief:
            self._pace.learn(slot.fetch, done, len(task.rows))
            activity.lane.rows += len(task.rows)
        if done.transforming is not None:
            activity.lane.measured += done.reading
            activity.lane.transforming += done.transforming
        if task.whole:
            self._settle(slot, done.values, failure, activity)
        else:
            self._finish(unit, done.values[0] if done.values else None, failure, activity)
        activity.slot = None
        if activity is self.helper and not (brief and task.whole and not slot.fetch.places):
            # What comes next begins here.
            self._recorder.seen = perf_counter()

    def fail(self, slot: Slot, error: BaseException) -> None:
        """Makes an error that nobody expected the outcome of a slot: a consumer may wait for it."""
        self._publish(slot, [], relayed(error, "loading", slot.steps[0]))

    def _perform(self, slot: Slot, task: Task, alloc: Alloc, activity: Activity) -> Done:
        if not self._crew.remote:
            return activity.engine.perform(slot.fetch, task, alloc, activity)
        activity.begin("reading", task.rows)
        done = activity.engine.perform(slot.fetch, task, alloc, activity)
        activity.end_elsewhere(done)
        return done

    def _perform_briefly(self, slot: Slot, task: Task, alloc: Alloc, activity: Activity) -> Done:
        """Does a task of which no more than the time is noted."""
        helps, lane = activity is self.helper, activity.lane
        began = self._recorder.seen if helps else perf_counter()
        done = perform(slot.fetch, task, alloc, None)
        ended = perf_counter()
        if helps:
            self._recorder.seen = ended
        seconds = ended - began
        lane.brief += seconds
        if seconds > 2 * BRIEF_SECONDS:
            # The next one is watched, in case they all take longer now.
            self._pace.brief = False
        if seconds > lane.floor:
            lane.slow(seconds, task.rows)
        return done

    def _finish(self, unit: Unit, part: Any, failure: BaseException | None, activity: Activity) -> None:
        """Adds a part to its slot and, if it was the last missing one, joins them."""
        slot = unit.slot
        with self.lock:
            if not slot.add(unit.start, part, failure):
                return
        batches: list[Any] = []
        failure = slot.failure
        if failure is None:
            try:
                activity.begin("batching")
                batches = [slot.fetch.join(slot.in_order, slot.rows, self._pool)]
            except BaseException as error:
                failure = self._relayed(error, "batching", slot.steps[0], activity)
            activity.end()
            self._pace.batching = activity.seconds
        self._settle(slot, batches, failure, activity)

    def _settle(self, slot: Slot, batches: list[Any], failure: BaseException | None, activity: Activity) -> None:
        """Places batches, up to one that fails, and publishes them."""
        if slot.fetch.places:
            for i, batch in enumerate(batches):
                activity.step = slot.steps[i]
                activity.begin("placing")
                try:
                    batches[i] = slot.fetch.place(batch)
                except BaseException as error:
                    batches, failure = batches[:i], self._relayed(error, "placing", slot.steps[i], activity)
                    break
                finally:
                    activity.end()
        self._publish(slot, batches, failure)

    def _publish(self, slot: Slot, batches: list[Any], failure: BaseException | None) -> None:
        with self.lock:
            # Counted first, since a consumer that waits goes on at once.
            if not slot.claimed:
                self.published += len(slot.steps)
            slot.publish(batches, failure)

    def _relayed(
        self, error: BaseException, stage: str, step: Step, activity: Activity, trace: str = ""
    ) -> BaseException:
        """The error as its step gets it. An interrupt of the consumer is for no step, and raised at once."""
        if activity is self.helper and is_interrupt(error):
            raise error
        return relayed(error, stage, step, trace)
