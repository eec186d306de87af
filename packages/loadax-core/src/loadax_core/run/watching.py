"""What the caller of `next` loads itself, with all that is done noted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any, TypeVar

from ..observe.recorder import Recorder
from ..observe.traces import block
from ..observe.transforms import begin_measuring, end_measuring
from ..plan.steps import Step
from ..protocols import Alloc, Numbers, Rows
from ..read.fetch import Fetch

T = TypeVar("T")


class WatchedFetch:
    """A fetch, each stage of which is noted, and is a block in a trace while one is taken."""

    def __init__(self, fetch: Fetch, recorder: Recorder, step: Step) -> None:
        """Wraps a fetch.

        Args:
            fetch: Does the work.
            recorder: Is told of it. A stage begins where it has last seen the clock.
            step: The first step that it is done for.
        """
        self._fetch, self._recorder, self._step = fetch, recorder, step
        self.gathers = fetch.gathers

    def rows(self, steps: Sequence[Step]) -> Numbers:
        """As of `Fetch`."""
        return self._fetch.rows(steps)

    def gather(self, rows: Rows | range, count: int, alloc: Alloc) -> list[Any]:
        """As of `Fetch`."""
        return self._read(rows, self._fetch.gather, rows, count, alloc)

    def read(self, rows: list[int] | range) -> list[Any]:
        """As of `Fetch`."""
        return self._read(rows, self._fetch.read, rows)

    def batches(self, items: list[Any], rows: Numbers, count: int, alloc: Alloc) -> list[Any]:
        """As of `Fetch`."""
        return self._noted("batching", self._fetch.batches, items, rows, count, alloc)

    def batch(self, items: list[Any], rows: Numbers, alloc: Alloc) -> Any:
        """As of `Fetch`."""
        return self._noted("batching", self._fetch.batch, items, rows, alloc)

    def place(self, batch: Any) -> Any:
        """As of `Fetch`."""
        return self._noted("placing", self._fetch.place, batch)

    def _read(self, rows: Numbers, read: Callable[..., T], *args: Any) -> T:
        lane, began = self._recorder.caller, self._recorder.seen
        measured = lane.measures(began)
        if measured:
            begin_measuring()
        try:
            value = self._noted("reading", read, *args)
        finally:
            transforming = end_measuring() if measured else 0.0
        seconds = self._recorder.seen - began
        if measured:
            lane.measured += seconds
            lane.transforming += transforming
        if seconds > lane.floor:
            lane.slow(seconds, rows)
        return value

    def _noted(self, stage: str, work: Callable[..., T], *args: Any) -> T:
        recorder = self._recorder
        began = recorder.seen
        if recorder.annotate is None:
            value = work(*args)
        else:
            with block(recorder.annotate, stage, self._step):
                value = work(*args)
        recorder.seen = perf_counter()
        recorder.caller.add(stage, began, recorder.seen, self._step)
        return value
