"""Loading without workers: in the caller's thread, when a batch is asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from time import perf_counter
from typing import Any, cast

from .buffers import Pool
from .fetch import Epochs, Fetch, relayed
from .grouping import most_alike, power_of_two, runs
from .plan import Step
from .protocols import Rows
from .recorder import Recorder
from .tasks import is_interrupt
from .traces import TracedFetch
from .transforming import begin_measuring, end_measuring

GROUP_SECONDS = 5e-4
"""A gather of several batches may take this long, since the caller waits for the first of them.

One that takes less is tried with twice as many: if it costs as much to begin as to read, it takes hardly longer then.
"""


class Inline:
    """The same interface as a `Window`, with nothing in flight.

    Quick batches that are gathered are loaded several at once, and kept until they are asked for.
    """

    def __init__(self, fetch: Fetch, steps: Iterator[Step], recorder: Recorder) -> None:
        self._fetches = Epochs(fetch)
        self._places = fetch.places
        self._steps = steps
        self._recorder = recorder
        self._pool = Pool(fetch.pin)
        self._waiting: deque[Sequence[Step]] = deque()
        self._loaded: deque[tuple[Step, Any]] = deque()
        # Of the batch after those that are loaded.
        self._failure: BaseException | None = None
        self._group = 1
        self._most: int | None = None

    def take(self) -> tuple[Step, Any] | None:
        """The next batch and its step, or None at the end.

        Raises:
            BaseException: Whatever was raised while loading this batch.
        """
        if self._loaded:
            step, batch = self._loaded.popleft()
        elif self._failure is not None:
            raise self._failure
        else:
            steps = self._waiting.popleft() if self._waiting else self._more()
            if not steps:
                return None
            batches = self._load(steps) if len(steps) == 1 else self._load_group(steps)
            step, batch = steps[0], batches[0]
            if len(batches) > 1:
                self._loaded.extend(zip(steps[1:], batches[1:], strict=False))
        return step, self._place(step, batch) if self._places else batch

    def _more(self) -> Sequence[Step]:
        """The steps to load next, none at the end."""
        if self._group == 1:
            step = next(self._steps, None)
            return () if step is None else (step,)
        self._waiting.extend(runs(list(islice(self._steps, self._group))))
        return self._waiting.popleft() if self._waiting else ()

    def _load_group(self, steps: Sequence[Step]) -> list[Any]:
        """The batches of the first of some steps: of all, unless they cannot be gathered together, or one fails.

        The error of that one is kept for the call after them.
        """
        try:
            if self._fetches[steps[0].epoch].gathers:
                return self._load(steps)
        except BaseException as error:
            if is_interrupt(error):
                raise
            together = error
        else:
            self._group = 1
            self._waiting.extendleft((step,) for step in reversed(steps[1:]))
            return self._load(steps[:1])
        batches: list[Any] = []
        for step in steps:
            try:
                batches += self._load((step,))
            except BaseException as error:
                if not batches or is_interrupt(error):
                    raise
                self._failure = error
                return batches
        # An error that does not come again was one all the same.
        raise relayed(together, "reading", steps[0])

    def _load(self, steps: Sequence[Step]) -> list[Any]:
        """The batches of some steps, which are gathered if they are several."""
        step, recorder = steps[0], self._recorder
        lane, began = recorder.caller, recorder.seen
        # Single batches that are asked for so often that it matters are mostly timed as a whole.
        watched = recorder.calls or len(steps) > 1
        measured = watched and lane.measures(began)
        if measured:
            begin_measuring()
        stage, read = "preparing", None
        try:
            fetch = self._traced(self._fetches[step.epoch], step)
            rows = fetch.rows(steps)
            stage = "reading"
            if fetch.gathers:
                batches = fetch.gather(cast("Rows | range", rows), len(steps), self._pool)
            else:
                items = list(fetch.read(cast("list[int] | range", rows)))
                if watched:
                    read = perf_counter()
                stage = "batching"
                batches = [fetch.batch(items, rows, self._pool)]
        except BaseException as error:
            end_measuring()
            if len(steps) > 1:
                raise
            failure = relayed(error, stage, step)
            if failure is error:
                raise
            raise failure from error
        ended = recorder.seen = perf_counter()
        if watched:
            lane.add("reading", began, read or ended, step)
            if read:
                lane.add("batching", read, ended, step)
        else:
            lane.brief += ended - began
        reading = (read or ended) - began
        if measured:
            lane.measured += reading
            lane.transforming += end_measuring()
        if reading > lane.floor:
            lane.slow(reading, rows)
        if fetch.gathers:
            if self._most is None:
                self._most = most_alike(batches[0])
            share = reading / GROUP_SECONDS
            more = max(self._group, 2 * len(steps)) if share < 1 else len(steps) / max(1, share / 2)
            self._group = power_of_two(min(self._most, more))
        return batches

    def _place(self, step: Step, batch: Any) -> Any:
        recorder = self._recorder
        began = recorder.seen
        try:
            placed = self._traced(self._fetches.base, step).place(batch)
        except BaseException as error:
            failure = relayed(error, "placing", step)
            if failure is error:
                raise
            raise failure from error
        recorder.seen = perf_counter()
        recorder.caller.add("placing", began, recorder.seen, step)
        return placed

    def _traced(self, fetch: Fetch, step: Step) -> Fetch | TracedFetch:
        annotate = self._recorder.annotate
        return fetch if annotate is None else TracedFetch(fetch, annotate, step)

    def stop(self) -> None:
        """Nothing runs in the background."""

    def close(self) -> None:
        """Nothing runs in the background."""
