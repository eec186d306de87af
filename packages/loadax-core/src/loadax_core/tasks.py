"""What a worker does in one go, and what comes of it, wherever it is done: in a thread, a process, or an executor."""

from __future__ import annotations

import operator
import pickle
import threading
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, NamedTuple, Protocol, SupportsIndex, cast

from .fetch import Fetch, Numbers
from .protocols import Alloc, Rows
from .sending import pack, unpack
from .transforming import MEASURE_SECONDS, begin_measuring, end_measuring


class Task(NamedTuple):
    """Rows to be read.

    Attributes:
        epoch: The epoch that they belong to.
        rows: Their numbers.
        batches: How many batches these are, one after the other; several are gathered in one go.
        whole: Whether they are whole batches, or a part of one, to be joined with the other parts later.
    """

    epoch: int
    rows: Numbers
    batches: int
    whole: bool


@dataclass(slots=True)
class Done:
    """A task's outcome.

    Attributes:
        values: The batches of a whole task, up to the first that failed; of a part, one entry with the part: its items,
            or what was gathered.
        error: What was raised instead of the next one.
        stage: What was being done then: `reading` or `batching`.
        reading: Seconds spent reading.
        batching: Seconds spent making items into a batch.
        trace: The traceback of the error, if it was raised in another process.
        transforming: Seconds of `reading` that were transforms, if that was measured.
    """

    values: list[Any]
    error: BaseException | None = None
    stage: str = "reading"
    reading: float = 0.0
    batching: float = 0.0
    trace: str = ""
    transforming: float | None = None

    def __reduce_ex__(self, protocol: SupportsIndex, /) -> tuple[Any, ...]:
        error = None if self.error is None else pack(self.error)
        # By protocols before 5, NumPy gives the machine's byte order to all arrays that arrive.
        values = self.values if operator.index(protocol) >= 5 else pickle.dumps(self.values, 5)
        return _arrived, (error, values, self.stage, self.reading, self.batching, self.trace, self.transforming)


def _arrived(error: bytes | None, values: list[Any] | bytes, *others: Any) -> Done:
    """An outcome that comes from another process."""
    loaded: list[Any] = pickle.loads(values) if isinstance(values, bytes) else values
    return Done(loaded, None if error is None else unpack(error), *others)


class Watch(Protocol):
    """Is told what a worker is about to do, to time it, and so that a read that never ends can be named."""

    @property
    def seconds(self) -> float:
        """How long the last stage took."""
        ...

    def begin(self, doing: str, rows: Numbers | None = None, /) -> None:
        """A stage begins, and the one before it ends: `reading` the rows, or `batching`."""
        ...

    def end(self) -> None:
        """The last stage ends, if it has not yet."""
        ...

    def measures(self) -> bool:
        """Whether the read that has just begun is one whose transforms are measured."""
        ...

    def row(self, row: int, /) -> None:
        """The read of one row begins."""
        ...


class Fetches(Protocol):
    """The fetch of each epoch."""

    def __getitem__(self, epoch: int, /) -> Fetch: ...


class Engine(Protocol):
    """Where one worker thread has its tasks done. Used by that thread alone, but for `where`."""

    def open(self) -> None:
        """Gets ready; what goes wrong is the outcome of every task. Called by the worker thread when it starts."""
        ...

    def send(self, task: Task, /) -> None:
        """Hands a task over, where it is done elsewhere; called for each, in the order in which they are performed.

        What goes wrong is the outcome of the task.
        """
        ...

    def perform(self, fetch: Fetch, task: Task, alloc: Alloc, watch: Watch, /) -> Done:
        """Does a task, or waits for the outcome of the first one that was sent and not waited for yet.

        Args:
            fetch: Reads the rows of the task's epoch.
            task: What to read.
            alloc: Provides the memory of what is made here.
            watch: Is told what is being done, as far as that is known here.

        Returns:
            The outcome; whatever is raised on the way is part of it.
        """
        ...

    def where(self) -> tuple[int | None, float, str] | None:
        """For a consumer that waits too long, in its thread: the row that is being read, since when, and the stack.

        None if this process's own thread knows better.
        """
        ...

    def close(self) -> None:
        """Gives up what the engine holds. Called by the worker thread when it ends."""
        ...


class Crew(Protocol):
    """Makes the engines of a window's worker threads.

    Attributes:
        unit_seconds: How much work a task should hold, for handing it over not to matter.
        remote: Whether the work is done elsewhere, so that parts of a batch have to travel.
    """

    unit_seconds: float
    remote: bool

    def engine(self) -> Engine:
        """An engine for one worker thread."""
        ...

    def stop(self) -> None:
        """Makes every engine that waits return soon. Takes no lock, as the garbage collector may call it."""
        ...


def perform(fetch: Fetch, task: Task, alloc: Alloc, watch: Watch | None) -> Done:
    """Does a task here and now.

    Args:
        fetch: Reads the rows of the task's epoch.
        task: What to read.
        alloc: Provides the memory of batches.
        watch: Is told what is being done; None to do a brief task without looking at the clock.

    Returns:
        The outcome. It holds whatever was raised: a worker must survive it, and so must a consumer that waits for it.
    """
    done = _attempt(fetch, task, alloc, watch)
    if task.batches == 1 or done.error is None or is_interrupt(done.error):
        return done
    again = _one_by_one(fetch, task, alloc, watch)
    # An error that does not come again was one all the same.
    return done if again.error is None else again


def is_interrupt(error: BaseException) -> bool:
    """Whether an error is a signal's, which only the main thread gets, rather than that of any row."""
    return isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread()


def _one_by_one(fetch: Fetch, task: Task, alloc: Alloc, watch: Watch | None) -> Done:
    """Does a task of several batches again, one of which failed, up to that one."""
    whole = Done([])
    each = len(task.rows) // task.batches
    for i in range(task.batches):
        rows = task.rows[i * each : (i + 1) * each]
        done = _attempt(fetch, task._replace(rows=rows, batches=1), alloc, watch)
        whole.reading += done.reading
        if done.error is not None:
            whole.error, whole.stage = done.error, done.stage
            break
        whole.values += done.values
    return whole


def _attempt(fetch: Fetch, task: Task, alloc: Alloc, watch: Watch | None) -> Done:
    done = Done([])
    try:
        measured = False
        if watch is not None:
            watch.begin("reading", task.rows)
            measured = watch.measures()
        if measured:
            begin_measuring()
        if fetch.gathers:
            done.values = fetch.gather(cast("Rows | range", task.rows), task.batches, alloc)
        else:
            done.values = [fetch.read(cast("list[int] | range", task.rows), None if watch is None else watch.row)]
        if measured:
            done.transforming = end_measuring()
        if task.whole and not fetch.gathers:
            done.stage = "batching"
            if watch is not None:
                watch.begin("batching")
                done.reading = watch.seconds
            done.values = [fetch.batch(done.values[0], task.rows, alloc)]
            if watch is not None:
                watch.end()
                done.batching = watch.seconds
        elif watch is not None:
            watch.end()
            done.reading = watch.seconds
    except BaseException as error:
        done.values, done.error = [], error
        end_measuring()
        if watch is not None:
            watch.end()
    return done


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


class Threads:
    """The crew of a window whose worker threads do the work themselves."""

    unit_seconds = 1e-3
    remote = False

    def engine(self) -> Engine:
        """An engine that works in the calling thread."""
        return _Here()

    def stop(self) -> None:
        """Nothing waits."""


class _Here:
    def open(self) -> None:
        pass

    def send(self, task: Task) -> None:
        pass

    def perform(self, fetch: Fetch, task: Task, alloc: Alloc, watch: Watch) -> Done:
        return perform(fetch, task, alloc, watch)

    def where(self) -> None:
        return None

    def close(self) -> None:
        pass
