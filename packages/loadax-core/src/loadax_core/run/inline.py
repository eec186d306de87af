"""Loading without workers: in the caller's thread, when a batch is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..backends.task import Done, attempt
from ..errors import is_interrupt, relayed
from ..memory.pool import Pool
from ..observe.activity import Activity
from ..observe.recorder import Recorder
from ..plan.steps import Step
from ..read.epochs import Epochs


class Inline:
    """A `Source` with nothing in flight.

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
        self.failure: BaseException | None = None

    def start(self) -> None:
        """Nothing runs in the background."""

    def take(self) -> tuple[Step, Any] | None:
        """The next batch and its step, or None at the end; see `Source`."""
        step = next(self._steps, None)
        if step is None:
            return None
        activity, counted = self._activity, None
        activity.step = step
        try:
            if step.epoch != self._epoch:
                self._fetch = self._epochs.enter(step.epoch)
                self._epoch = step.epoch
            rows = self._fetch.rows((step,))
        except BaseException as error:
            done = Done([], error, "preparing")
        else:
            done = attempt(self._fetch, rows, 1, self._pool, activity)
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
