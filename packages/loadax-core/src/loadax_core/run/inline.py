"""Loading without workers: in the caller's thread, when a batch is asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from ..backends.task import Done, attempt
from ..errors import is_interrupt, relayed
from ..memory.pool import Pool
from ..observe.activity import Activity
from ..observe.recorder import Recorder
from ..plan.steps import Step
from ..read.epochs import Epochs
from .groups import alike, most_alike
from .policy import Policy


class Inline:
    """A `Source` with nothing in flight.

    Quick batches are gathered several at once, if that calls no function of the user's, and kept until they are asked
    for: beside a training step, most of the time of a small gather is to begin it.

    Args:
        epochs: The fetch of each epoch.
        steps: The steps of the batches, in order.
        recorder: Is told what is done.

    Attributes:
        ready: None: nothing is made ready before it is asked for.
    """

    ready = None

    def __init__(self, epochs: Epochs, steps: Iterator[Step], recorder: Recorder) -> None:
        self._epochs = epochs
        self._steps = steps
        self._recorder = recorder
        # The epoch that was entered last, and its fetch.
        self._epoch: int | None = None
        self._fetch = epochs.base
        self._finishes = self._fetch.places or bool(self._fetch.counts)
        self._activity = Activity(recorder.caller, recorder.tracing, loads_only=False)
        self._pool = Pool(epochs.base.pin)
        self._policy = Policy(gathers=True, groups=epochs.base.helps)
        # The rows of a batch, once one has been gathered; steps that are to be loaded together; and batches that were
        # gathered with one before them, the next one last.
        self._rows = 0
        self._waiting: deque[Sequence[Step]] = deque()
        self._gathered: list[tuple[Step, Any]] = []
        self.failure: BaseException | None = None

    def start(self) -> None:
        """Nothing runs in the background."""

    def take(self) -> tuple[Step, Any] | None:
        """The next batch and its step, or None at the end; see `Source`."""
        if self._gathered:
            return self._gathered.pop()
        steps = self._waiting.popleft() if self._waiting else self._next()
        if not steps:
            return None
        step, activity, counted = steps[0], self._activity, None
        activity.step = step
        try:
            if step.epoch != self._epoch:
                self._fetch = self._epochs.enter(step.epoch)
                self._epoch = step.epoch
            if len(steps) > 1 and self._gather(steps):
                return self._gathered.pop()
            rows = self._fetch.rows((step,))
        except BaseException as error:
            done = Done([], error, "preparing")
        else:
            done = attempt(self._fetch, rows, 1, self._pool, activity)
        if self._fetch.helps and done.error is None:
            self._learn(done, step.size)
        if done.transforming is not None:
            activity.transformed(done.reading, done.transforming)
        if self._finishes and done.error is None:
            counted = self._finish(done)
        if done.error is not None:
            raise self._failed(done.error, done.stage, step)
        if done.replaced is not None:
            self.failure = self._recorder.replace(done.replaced[0], step)
            if self.failure is not None:
                raise self.failure
        if counted is not None:
            self._recorder.count(counted)
        return step, done.values[0]

    def _next(self) -> Sequence[Step]:
        """The steps to be loaded next, in one call; none at the end."""
        count = self._policy.group(self._rows) if self._rows else 1
        if count == 1:
            step = next(self._steps, None)
            return () if step is None else (step,)
        self._waiting.extend(alike(islice(self._steps, count)))
        return self._waiting.popleft() if self._waiting else ()

    def _gather(self, steps: Sequence[Step]) -> bool:
        """Gathers the batches of several steps in one call.

        Returns:
            Whether that went well. If not, each step is to be loaded alone: the one that fails has the error.
        """
        if self._fetch.helps:
            done = attempt(self._fetch, self._fetch.rows(steps), len(steps), self._pool, self._activity)
            if done.error is None and done.replaced is None:
                self._learn(done, sum(step.size for step in steps))
                if done.transforming is not None:
                    self._activity.transformed(done.reading, done.transforming)
                self._gathered = [*zip(steps, done.values, strict=True)][::-1]
                return True
            if done.error is not None and is_interrupt(done.error):
                raise done.error
        self._waiting.extendleft((step,) for step in reversed(steps[1:]))
        return False

    def _learn(self, done: Done, rows: int) -> None:
        """Takes the measure of a gather."""
        self._policy.learn(rows, done.reading)
        if not self._rows:
            self._policy.most, self._rows = most_alike(done.values[0]), rows

    def _finish(self, done: Done) -> Mapping[str, float] | None:
        """Counts in a batch, and places it. An error becomes that of the outcome, with its stage."""
        fetch, activity, counted = self._fetch, self._activity, None
        stage = "counting"
        try:
            if fetch.counts:
                activity.begin("batching")
                counted = fetch.count(done.values[0])
            stage = "placing"
            if fetch.places:
                activity.begin("placing")
                done.values = [fetch.place(done.values[0])]
        except BaseException as error:
            done.error, done.stage = error, stage
        activity.end()
        return counted

    def _failed(self, error: BaseException, stage: str, step: Step) -> BaseException:
        """The error that `next` raises. Unless it is an interrupt, it is raised again by every later call."""
        if is_interrupt(error):
            return error
        self.failure = relayed(error, stage, step)
        return self.failure

    def stop(self) -> None:
        """Nothing runs in the background."""

    def close(self) -> None:
        """Nothing runs in the background."""
