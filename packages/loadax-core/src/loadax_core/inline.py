"""Loading without workers: each batch in the caller's thread, when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter
from typing import Any, cast

from .buffers import Pool
from .fetch import Epochs, Fetch, relayed
from .plan import Step
from .protocols import Rows
from .recorder import Recorder
from .traces import TracedFetch


class Inline:
    """The same interface as a `Window`, with nothing in flight."""

    def __init__(self, fetch: Fetch, steps: Iterator[Step], recorder: Recorder) -> None:
        self._fetches = Epochs(fetch)
        self._steps = steps
        self._recorder = recorder
        self._pool = Pool()

    def take(self) -> tuple[Step, Any] | None:
        """The next batch and its step, or None at the end.

        Raises:
            BaseException: Whatever was raised while loading this batch.
        """
        step = next(self._steps, None)
        if step is None:
            return None
        began = perf_counter()
        stage = "preparing"
        try:
            fetch = self._fetches[step.epoch]
            if self._recorder.annotate is not None:
                fetch = TracedFetch(fetch, self._recorder.annotate, step)
            rows = fetch.rows((step,))
            stage = "reading"
            if fetch.gathers:
                (batch,) = fetch.gather(cast("Rows | range", rows), 1, self._pool)
                read = batched = perf_counter()
            else:
                items = list(fetch.read(cast("list[int] | range", rows)))
                read, stage = perf_counter(), "batching"
                batch = fetch.batch(items, rows, self._pool)
                batched = perf_counter()
            stage = "placing"
            if fetch.places:
                batch = fetch.place(batch)
        except BaseException as error:
            failure = relayed(error, stage, step)
            if failure is error:
                raise
            raise failure from error
        placed = perf_counter() if fetch.places else batched
        lane = self._recorder.caller
        seconds = lane.seconds
        seconds["reading"] += read - began
        seconds["batching"] += batched - read
        seconds["placing"] += placed - batched
        if lane.spans is not None:
            lane.spans.append(("reading", began, read, step))
            if not fetch.gathers:
                lane.spans.append(("batching", read, batched, step))
            if fetch.places:
                lane.spans.append(("placing", batched, placed, step))
        if read - began > lane.floor:
            lane.slow(read - began, int(rows[0]), len(rows))
        return step, batch

    def stop(self) -> None:
        """Nothing runs in the background."""

    def close(self) -> None:
        """Nothing runs in the background."""
