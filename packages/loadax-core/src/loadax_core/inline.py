"""Loading without workers: each batch in the caller's thread, when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter
from typing import Any

from .buffers import Pool
from .fetch import Epochs, Fetch, relayed
from .plan import Step
from .stats import Clock


class Inline:
    """The same interface as a `Window`, with nothing in flight."""

    def __init__(self, fetch: Fetch, steps: Iterator[Step], clock: Clock) -> None:
        self._fetches = Epochs(fetch)
        self._steps = steps
        self._clock = clock
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
            rows = fetch.rows(step)
            stage = "reading"
            loaded = fetch.gather([rows], self._pool) if fetch.gathers else list(fetch.read(rows))
            read, stage = perf_counter(), "batching"
            batch = loaded[0] if fetch.gathers else fetch.batch(loaded, rows, self._pool)
            batched, stage = perf_counter(), "placing"
            batch = fetch.place(batch)
        except BaseException as error:
            failure = relayed(error, stage, step)
            if failure is error:
                raise
            raise failure from error
        placed = perf_counter()
        self._clock.reading += read - began
        self._clock.batching += batched - read
        self._clock.placing += placed - batched
        return step, batch

    def stop(self) -> None:
        """Nothing runs in the background."""

    def close(self) -> None:
        """Nothing runs in the background."""
