"""How a task is done for another process, or another thread of an executor."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from time import perf_counter
from typing import Any, Protocol

from ..observe.transforms import MEASURE_SECONDS
from ..protocols import Alloc, Numbers
from ..read.fetch import Fetch
from .task import Done, Task, Watch, perform


class Fetches(Protocol):
    """The fetch of each epoch."""

    def __getitem__(self, epoch: int, /) -> Fetch: ...


def perform_remotely(fetches: Fetches, task: Task, alloc: Alloc, watch: Watch) -> Done:
    """Does a task for another process.

    Args:
        fetches: The fetch of each epoch.
        task: What to read.
        alloc: Provides the memory of batches.
        watch: Is told what is being done.

    Returns:
        The outcome, which may be sent.
    """
    try:
        fetch = fetches[task.epoch]
    except BaseException as error:
        return failed(error, "preparing")
    done = perform(fetch, task, alloc, watch)
    return done if done.error is None else failed(done.error, done.stage, done.values)


def failed(error: BaseException, stage: str, values: Sequence[Any] = ()) -> Done:
    """An outcome for another process or thread: the error, and its traceback as text.

    Args:
        error: What was raised.
        stage: What was being done.
        values: The batches before the one that failed.
    """
    try:
        text = "".join(traceback.format_exception(error))
    except Exception:
        # Its message cannot be shown.
        text = ""
    # What it refers to must not be kept here.
    return Done(list(values), error.with_traceback(None), stage, trace=text)


class Stopwatch:
    """A `Watch` in another process: it times the stages, and knows the row that is being read.

    Attributes:
        seconds: How long the last stage took.
        now: The row that is being read, -1 if that is not known, and since when; 0 between two tasks.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.now: tuple[int, float] = (-1, 0.0)
        self._began = self._measure_from = 0.0

    def begin(self, _doing: str, _rows: Numbers | None = None, /) -> None:
        """A stage begins, and the one before it ends."""
        now = perf_counter()
        self.seconds, self._began, self.now = now - self._began, now, (-1, now)

    def end(self) -> None:
        """The last stage ends, if it has not yet."""
        if self.now[1]:
            self.seconds = perf_counter() - self._began
            self.now = -1, 0.0

    def measures(self) -> bool:
        """Whether the read that has just begun is one whose transforms are measured."""
        if self._began < self._measure_from:
            return False
        self._measure_from = self._began + MEASURE_SECONDS
        return True

    def row(self, row: int, /) -> None:
        """The read of one row begins."""
        self.now = row, perf_counter()
