"""Loading without workers: in the caller's thread, when a batch is asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from ..backends.task import Done, Task, perform
from ..errors import is_interrupt, relayed
from ..memory.pool import Pool
from ..observe.activity import Activity
from ..observe.recorder import Recorder
from ..plan.steps import Step
from ..read.epochs import Epochs
from .groups import alike, most_alike
from .policy import MOST_GROUPED, Policy

GROUP_SECONDS = 5e-4
"""How long a gather of several batches may take: the caller waits for the first of them."""


class Inline:
    """A `Source` with nothing in flight; quick batches that are gathered are loaded several at once.

    Args:
        epochs: The fetch of each epoch.
        steps: The steps of the batches, in order.
        recorder: Is told what is done.
    """

    def __init__(self, epochs: Epochs, steps: Iterator[Step], recorder: Recorder) -> None:
        fetch = epochs.base
        self._epochs = epochs
        # The epoch that was entered last, and its fetch.
        self._epoch: int | None = None
        self._fetch = fetch
        self._steps = steps
        self._activity = Activity(recorder.caller, recorder.tracing, clocks=False)
        self._pool = Pool(fetch.pin)
        self._policy = Policy(unit_seconds=GROUP_SECONDS, gathers=fetch.gathers, groups=fetch.groups)
        self._places = fetch.places
        # Steps to be loaded together, batches that are loaded, and the error of the step after these.
        self._groups: deque[Sequence[Step]] = deque()
        self._loaded: deque[tuple[Step, Any]] = deque()
        self._failure: BaseException | None = None
        self._rows_each = 0
        self.failure: BaseException | None = None

    @property
    def ready(self) -> None:
        """Nothing is made ready before it is asked for."""

    def start(self) -> None:
        """Nothing runs in the background."""

    def take(self) -> tuple[Step, Any] | None:
        """The next batch and its step, or None at the end; see `Source`."""
        if not self._loaded:
            if self._failure is None:
                steps = self._groups.popleft() if self._groups else self._more()
                if not steps:
                    return None
                self._load(steps)
            if not self._loaded:
                self.failure = self._failure
                assert self._failure is not None, "nothing was loaded, so that something has failed"
                raise self._failure
        step, batch = self._loaded.popleft()
        return step, self._place(step, batch) if self._places else batch

    def _more(self) -> Sequence[Step]:
        """The steps to load next: one, or several quick ones; none at the end."""
        count = self._policy.group(self._rows_each, 4 * MOST_GROUPED) if self._fetch.groups else 1
        if count > 1:
            self._groups.extend(alike(islice(self._steps, count)))
            return self._groups.popleft() if self._groups else ()
        step = next(self._steps, None)
        return () if step is None else (step,)

    def _load(self, steps: Sequence[Step]) -> None:
        """Loads the batches of some steps, up to one that fails."""
        if len(steps) > 1 and steps[0].epoch != self._epoch:
            # The dataset of another epoch may be one that is not read so.
            self._groups.extendleft([step] for step in reversed(steps[1:]))
            steps = steps[:1]
        done = self._perform(steps)
        if done.error is not None:
            if is_interrupt(done.error):
                # They are loaded again when the next batch is asked for.
                self._groups.appendleft(steps)
                raise done.error
            self._failure = relayed(done.error, done.stage, steps[len(done.values)])
        self._loaded.extend(zip(steps, done.values, strict=False))

    def _perform(self, steps: Sequence[Step]) -> Done:
        """Reads some steps together, and learns from it."""
        activity, policy, first = self._activity, self._policy, steps[0]
        activity.step = first
        try:
            if first.epoch != self._epoch:
                self._fetch = self._epochs.enter(first.epoch)
                self._epoch = first.epoch
            fetch = self._fetch
            rows = fetch.rows(steps)
        except BaseException as error:
            return Done([], error, "preparing")
        done = perform(fetch, Task(first.epoch, rows, len(steps), True), self._pool, activity)
        if done.transforming is not None:
            activity.transformed(done.reading, done.transforming)
        if done.error is None:
            self._rows_each = len(rows) // len(steps)
            policy.learn(len(rows), done.reading, done.batching)
            if policy.most is None and fetch.groups:
                policy.most = most_alike(done.values[0])
        return done

    def _place(self, step: Step, batch: Any) -> Any:
        self._activity.step = step
        self._activity.begin("placing")
        try:
            return self._epochs.base.place(batch)
        except BaseException as error:
            if is_interrupt(error):
                self._loaded.appendleft((step, batch))
                raise
            self.failure = self._failure = relayed(error, "placing", step)
            self._loaded.clear()
            if self.failure is error:
                raise
            raise self.failure from error
        finally:
            self._activity.end()

    def stop(self) -> None:
        """Nothing runs in the background."""

    def close(self) -> None:
        """Nothing runs in the background."""
