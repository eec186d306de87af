"""Loading without workers, several quick batches in one call."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from ..backends.task import attempt
from ..errors import is_interrupt
from ..observe.recorder import Recorder
from ..plan.steps import Step
from ..read.epochs import Epochs
from .groups import alike, most_rows
from .inline import Inline
from .policy import Policy


class Grouped(Inline):
    """An `Inline` that gathers several quick batches in one call, and keeps them until they are asked for.

    Beside a training step, most of the time of a small gather is to begin it. This is for datasets that call no
    function of the user's, and for batches that are neither counted nor placed.

    Args:
        epochs: The fetch of each epoch.
        steps: The steps of the batches, in order.
        recorder: Is told what is done.
    """

    def __init__(self, epochs: Epochs, steps: Iterator[Step], recorder: Recorder) -> None:
        self._queue = Queue(steps)
        super().__init__(epochs, self._queue, recorder)
        self._policy = Policy(gathers=True, groups=True)
        # The rows of the largest batch so far, since the first may be the short one at the end of an epoch; how many
        # steps are to be loaded alone; and the batches that were gathered with one before them, the next one last.
        self._rows = self._alone = 0
        self._gathered: list[tuple[Step, Any]] = []

    def take(self) -> tuple[Step, Any] | None:
        """The next batch and its step, or None at the end; see `Source`."""
        if self._gathered:
            return self._gathered.pop()
        if self._alone:
            self._alone -= 1
        elif self._fetch.helps and (count := self._policy.group(self._rows)) > 1:
            self._gather(count)
            if self._gathered:
                return self._gathered.pop()
        taken = super().take()
        if taken is not None and self._fetch.helps:
            step, batch = taken
            self._policy.learn(step.size, self._activity.seconds)
            if self._policy.most is None:
                self._policy.most = most_rows(batch, step.size)
            self._rows = max(self._rows, step.size)
        return taken

    def _gather(self, count: int) -> None:
        """Gathers the batches of the next steps, of one epoch and one size, in one call.

        If that fails, each of them is loaded alone. So is the first step of an epoch, which opens the epoch.
        """
        taken = [*islice(self._queue, count)]
        steps: Sequence[Step] = next(alike(taken), ())
        self._queue.put_back(taken[len(steps) :])
        if len(steps) > 1 and steps[0].epoch == self._epoch:
            self._gathered = self._load(steps)
            self._alone = 0 if self._gathered else len(steps) - 1
        if not self._gathered:
            self._queue.put_back(steps)

    def _load(self, steps: Sequence[Step]) -> list[tuple[Step, Any]]:
        """The steps with their batches, the next one last; none if one fails, or if the dataset replaces a row."""
        activity = self._activity
        activity.step = steps[0]
        done = attempt(self._fetch, self._fetch.rows(steps), len(steps), self._pool, activity)
        if done.error is not None and is_interrupt(done.error):
            raise done.error
        if done.error is not None or done.replaced is not None:
            return []
        self._policy.learn(len(steps) * steps[0].size, done.reading)
        if done.transforming is not None:
            activity.transformed(done.reading, done.transforming)
        return [*zip(steps, done.values, strict=True)][::-1]


class Queue(Iterator[Step]):
    """Steps in order, to which steps that were taken can be put back.

    Args:
        steps: The steps.
    """

    def __init__(self, steps: Iterator[Step]) -> None:
        self._steps = steps
        self._returned: deque[Step] = deque()

    def __next__(self) -> Step:
        return self._returned.popleft() if self._returned else next(self._steps)

    def put_back(self, steps: Sequence[Step]) -> None:
        """Puts steps back that were taken last."""
        self._returned.extendleft(reversed(steps))
