"""How a task is done for another process, or another thread of an executor."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

from ..errors import traceback_text
from ..observe.cores import Clocks, thread_clocks
from ..observe.lane import LOOK_SECONDS
from ..protocols import Alloc, Numbers
from ..read.epochs import Epochs
from .task import Done, Task, perform


def perform_remotely(epochs: Epochs, task: Task, alloc: Alloc, watch: Stopwatch) -> Done:
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
    done.clocks = watch.clocks
    return done if done.error is None else _with_trace(done)


def failed(error: BaseException, stage: str) -> Done:
    """An outcome for another process or thread: what was raised, and what was being done."""
    return _with_trace(Done([], error, stage))


def _with_trace(done: Done) -> Done:
    """An outcome with an error, for another process or thread: the traceback becomes text."""
    assert done.error is not None, "called for what failed"
    done.trace = traceback_text(done.error)
    # What it refers to must not be kept here.
    done.error = done.error.with_traceback(None)
    return done


class Stopwatch:
    """A `Watch` in another process: it times the stages, and knows the row that is being read.

    Attributes:
        seconds: How long the last stage took.
        close: Whether the transforms of this read are measured.
        clocks: What the thread had of the cores in the last task, if it was looked at closely.
        now: The row that is being read, -1 if that is not known, and since when; 0 between two tasks.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.close = False
        self.clocks: Clocks | None = None
        self.now: tuple[int, float] = (-1, 0.0)
        self._began = self._due = self._looked = 0.0
        self._clocks = (0.0, 0.0)

    def begin(self, _stage: str, rows: Numbers | None = None, /) -> None:
        """A stage begins, and the one before it ends."""
        now = perf_counter()
        self.seconds = now - self._began
        if rows is not None:
            self.close, self.clocks = now >= self._due, None
            if self.close:
                self._due = now + LOOK_SECONDS
                self._clocks = thread_clocks()
                # To read them gives up the GIL, and the wait to have it back is none of the stage.
                now = self._looked = perf_counter()
        self._began, self.now = now, (-1, now)

    def end(self) -> None:
        """The last stage ends, if it has not yet."""
        if self.now[1]:
            now = perf_counter()
            self.seconds, self.now = now - self._began, (-1, 0.0)
            if self.close:
                (cpu, core_wait), (cpu_before, before) = thread_clocks(), self._clocks
                self.clocks = Clocks(now - self._looked, cpu - cpu_before, core_wait - before)

    @property
    def on_row(self) -> Callable[[int], None]:
        """Notes the row: the parent may ask for it."""
        return self._note_row

    def _note_row(self, row: int) -> None:
        self.now = row, perf_counter()
