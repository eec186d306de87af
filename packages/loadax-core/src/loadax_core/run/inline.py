"""Loading without workers: in the caller's thread, when a batch is asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from math import inf
from time import perf_counter
from typing import Any, cast

from ..backends.task import is_interrupt
from ..errors import relayed
from ..memory.pool import Pool
from ..observe.recorder import Recorder
from ..plan.steps import Step
from ..protocols import Rows
from ..read.fetch import Epochs, Fetch
from .groups import most_alike, most_small, power_of_two, runs
from .watching import WatchedFetch

GROUP_SECONDS = 5e-4
"""A gather of several batches may take this long, since the caller waits for the first of them.

One that takes less is tried with twice as many: if it costs as much to begin as to read, it takes hardly longer then.
"""

QUICK_SECONDS, SEVERAL_ITEMS = 2e-5, (4, 64)
"""While the caller has less than this time for each batch, up to 64 are loaded at once whose items are read together.

It gets them by one look at the clock, which takes longer than all else that is noted of one. Where there is no room for
4, they are loaded one by one, as it takes no longer.
"""


class Inline:
    """The same interface as a `Window`, with nothing in flight.

    Quick batches that are gathered are loaded several at once, and kept until they are asked for. So are small ones
    whose items are read many at once, for a caller who is quick.

    Attributes:
        total: How many batches have been loaded.
    """

    def __init__(self, fetches: Epochs, steps: Iterator[Step], recorder: Recorder, limit: float = inf) -> None:
        """Begins with nothing loaded.

        Args:
            fetches: The fetch of each epoch.
            steps: The steps of the batches, in order.
            recorder: Is told what is done.
            limit: The most batches that may be loaded at once.
        """
        fetch = fetches.base
        self._fetches = fetches
        self._way, self._places = fetch.way, fetch.places
        self._steps = steps
        self._recorder = recorder
        self._pool = Pool(fetch.pin)
        self._waiting: deque[Sequence[Step]] = deque()
        self.total = 0
        # The next one last.
        self._loaded: list[tuple[Step, Any]] = []
        # When items were read last, of how many batches, and whether the caller took little time for those before.
        self._began, self._count, self._quick = 0.0, 1, False
        # Of the batch after those that are loaded.
        self._failure: BaseException | None = None
        self._group = 1
        # The most batches to be loaded at once, None as long as that is not known.
        self._most: float | None = None if fetch.gathers or (fetch.way == "many" and not fetch.places) else 1
        self._limit = max(1, limit)

    def take(self, watched: bool = False) -> tuple[Step, Any] | None:
        """The next batch and its step, or None at the end.

        Args:
            watched: Whether all that is done for it is noted.

        Raises:
            BaseException: Whatever was raised while loading this batch.
        """
        loaded = self._loaded
        if loaded:
            step, batch = loaded.pop()
        else:
            if self._failure is not None:
                raise self._failure
            steps = self._waiting.popleft() if self._waiting else self._more()
            if not steps:
                return None
            if len(steps) == 1:
                step, batch = steps[0], self._load(steps, watched)[0]
                self.total += 1
            else:
                loaded = self._loaded = list(zip(steps, self._load_group(steps, watched), strict=False))
                loaded.reverse()
                self.total += len(loaded)
                step, batch = loaded.pop()
        if loaded and self._quick:
            self._recorder.offer(loaded)
        return step, self._place(step, batch) if self._places else batch

    @property
    def ready(self) -> None:
        """Nothing is made ready before it is asked for."""

    @property
    def has_more(self) -> bool:
        """Whether there is something to take before the steps go on."""
        return bool(self._loaded or self._waiting or self._failure)

    def _more(self) -> Sequence[Step]:
        """The steps to load next, none at the end."""
        if self._group == 1:
            step = next(self._steps, None)
            return () if step is None else (step,)
        self._waiting.extend(runs(list(islice(self._steps, self._group))))
        return self._waiting.popleft() if self._waiting else ()

    def _load_group(self, steps: Sequence[Step], watched: bool) -> list[Any]:
        """The batches of the first of some steps: of all, unless they cannot be gathered together, or one fails.

        The error of that one is kept for the call after them.
        """
        recorder = self._recorder
        try:
            if self._fetches[steps[0].epoch].way == self._way:
                # Where batches are asked for so often that it matters, what is loaded is mostly timed as a whole.
                return self._load(steps, watched or recorder.seen >= recorder.caller.measure_from)
        except BaseException as error:
            if is_interrupt(error):
                raise
            together = error
        else:
            self._group = 1
            self._waiting.extendleft((step,) for step in reversed(steps[1:]))
            return self._load(steps[:1], watched)
        batches: list[Any] = []
        for step in steps:
            try:
                batches += self._load((step,), watched)
            except BaseException as error:
                if not batches or is_interrupt(error):
                    raise
                self._failure = error
                return batches
        # An error that does not come again was one all the same.
        raise relayed(together, "reading", steps[0])

    def _load(self, steps: Sequence[Step], watched: bool) -> list[Any]:
        """The batches of some steps, which are read together if they are several."""
        step, count, recorder = steps[0], len(steps), self._recorder
        lane, began = recorder.caller, recorder.seen
        stage = "preparing"
        try:
            fetch: Fetch | WatchedFetch = self._fetches[step.epoch]
            if watched:
                fetch = WatchedFetch(fetch, recorder, step)
            rows = fetch.rows(steps)
            stage = "reading"
            if fetch.gathers:
                batches = fetch.gather(cast("Rows | range", rows), count, self._pool)
            else:
                items = fetch.read(cast("list[int] | range", rows))
                stage = "batching"
                if count == 1:
                    batches = [fetch.batch(items, rows, self._pool)]
                else:
                    batches = fetch.batches(items, rows, count, self._pool)
        except BaseException as error:
            if count > 1:
                raise
            failure = relayed(error, stage, step)
            if failure is error:
                raise
            raise failure from error
        if not watched:
            recorder.seen = perf_counter()
            seconds = recorder.seen - began
            lane.brief += seconds
            if seconds > lane.floor:
                lane.slow(seconds, rows)
        if self._most != 1:
            self._group = self._next_group(batches, began, recorder.seen - began, gathered=fetch.gathers)
        return batches

    def _next_group(self, loaded: list[Any], began: float, reading: float, *, gathered: bool) -> int:
        """How many batches to load next, a power of two, after some that were read in so many seconds."""
        count = len(loaded)
        if gathered:
            if self._most is None:
                self._most = min(self._limit, most_alike(loaded[0]))
            share = reading / GROUP_SECONDS
            more = max(self._group, 2 * count) if share < 1 else count / max(1, share / 2)
            return power_of_two(min(self._most, more))
        self._quick = began - self._began < self._count * QUICK_SECONDS
        self._began, self._count = began, count
        if not self._quick:
            return 1
        if self._most is None:
            most = min(self._limit, SEVERAL_ITEMS[1], most_small(loaded[0]))
            self._most = most if most >= SEVERAL_ITEMS[0] else 1
        return power_of_two(min(self._most, 2 * count))

    def _place(self, step: Step, batch: Any) -> Any:
        try:
            return WatchedFetch(self._fetches.base, self._recorder, step).place(batch)
        except BaseException as error:
            failure = relayed(error, "placing", step)
            if failure is error:
                raise
            raise failure from error

    def stop(self) -> None:
        """Nothing runs in the background."""

    def close(self) -> None:
        """Nothing runs in the background."""
