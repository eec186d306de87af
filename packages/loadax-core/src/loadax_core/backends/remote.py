"""How a task is done for another process, or another thread of an executor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any

from ..errors import traced
from ..observe.lane import LOOK_SECONDS
from ..protocols import Alloc, Numbers
from ..read.epochs import Epochs
from .task import Done, Task, Watch, perform


def perform_remotely(epochs: Epochs, task: Task, alloc: Alloc, watch: Watch) -> Done:
    """Does a task for another process.

    Args:
        epochs: The fetch of each epoch.
        task: What to read.
        alloc: Provides the memory of batches.
        watch: Is told what is being done.

    Returns:
        The outcome, which may be sent.
    """
    try:
        fetch = epochs.enter(task.epoch, task.following)
    except BaseException as error:
        return failed(error, "preparing")
    done = perform(fetch, task, alloc, watch)
    return done if done.error is None else replace(failed(done.error, done.stage, done.values), replaced=done.replaced)


def failed(error: BaseException, stage: str, values: Sequence[Any] = ()) -> Done:
    """An outcome for another process or thread: the error, and its traceback as text.

    Args:
        error: What was raised.
        stage: What was being done.
        values: The batches before the one that failed.
    """
    text = traced(error)
    # What it refers to must not be kept here.
    return Done(list(values), error.with_traceback(None), stage, trace=text)


class Stopwatch:
    """A `Watch` in another process: it times the stages, and knows the row that is being read.

    Attributes:
        seconds: How long the last stage took.
        close: Whether the transforms of this read are measured.
        now: The row that is being read, -1 if that is not known, and since when; 0 between two tasks.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.close = False
        self.now: tuple[int, float] = (-1, 0.0)
        self._began = self._due = 0.0

    def begin(self, _stage: str, rows: Numbers | None = None, /) -> None:
        """A stage begins, and the one before it ends."""
        now = perf_counter()
        self.seconds, self._began, self.now = now - self._began, now, (-1, now)
        if rows is not None:
            self.close = now >= self._due
            if self.close:
                self._due = now + LOOK_SECONDS

    def end(self) -> None:
        """The last stage ends, if it has not yet."""
        if self.now[1]:
            self.seconds = perf_counter() - self._began
            self.now = -1, 0.0

    @property
    def on_row(self) -> Callable[[int], None]:
        """Notes the row: the parent may ask for it."""
        return self._note_row

    def _note_row(self, row: int) -> None:
        self.now = row, perf_counter()
