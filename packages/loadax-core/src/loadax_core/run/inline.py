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
    """

    def __init__(self, epochs: Epochs, steps: Iterator[Step], recorder: Recorder) -> None:
        self._epochs = epochs
        self._steps = steps
        self._recorder = recorder
        # The epoch that was entered last, and its fetch.
        self._epoch: int | None = None
        self._fetch = epochs.base
        self._activity = Activity(recorder.caller, recorder.tracing, loads_only=False)
        self._pool = Pool(epochs.base.pin)
        self.failure: BaseException | None = None

    @property
    def ready(self) -> None:
        """Nothing is made ready before it is asked for."""

    def start(self) -> None:
        """Nothing runs in the background."""

    def take(self) -> tuple[Step, Any] | None:
        """The next batch and its step, or None at the end; see `Source`."""
        step = next(self._steps, None)
        if step is None:
            return None
        self._activity.step = step
        done = self._perform(step)
        counted = self._count(done) if self._fetch.counts and done.error is None else None
        if self._fetch.places and done.error is None:
            self._place(done)
        if done.error is None:
            if done.replaced is not None:
                self.failure = self._recorder.replace(done.replaced[0], step)
                if self.failure is not None:
                    raise self.failure
            if counted:
                self._recorder.count(counted)
            return step, done.values[0]
        if is_interrupt(done.error):
            raise done.error
        self.failure = relayed(done.error, done.stage, step)
        raise self.failure

    def _perform(self, step: Step) -> Done:
        """Reads a step and makes its batch."""
        try:
            if step.epoch != self._epoch:
                self._fetch = self._epochs.enter(step.epoch)
                self._epoch = step.epoch
            rows = self._fetch.rows((step,))
        except BaseException as error:
            return Done([], error, "preparing")
        done = attempt(self._fetch, rows, 1, self._pool, self._activity)
        if done.transforming is not None:
            self._activity.transformed(done.reading, done.transforming)
        return done

    def _count(self, done: Done) -> Mapping[str, float] | None:
        """What is counted in the batch; None if that fails, and then the outcome is the error."""
        self._activity.begin("batching")
        try:
            return self._fetch.count(done.values[0])
        except BaseException as error:
            done.error, done.stage = error, "counting"
            return None
        finally:
            self._activity.end()

    def _place(self, done: Done) -> None:
        self._activity.begin("placing")
        try:
            done.values = [self._fetch.place(done.values[0])]
        except BaseException as error:
            done.error, done.stage = error, "placing"
        self._activity.end()

    def stop(self) -> None:
        """Nothing runs in the background."""

    def close(self) -> None:
        """Nothing runs in the background."""
