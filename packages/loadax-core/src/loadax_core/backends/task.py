"""A task, its outcome, and how a task is done: the same in a thread, in a process, and in an executor."""

from __future__ import annotations

import operator
import pickle
import sys
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, SupportsIndex, TypeAlias

from ..errors import copied, is_interrupt
from ..memory.pickled import dumps, dumps_by_value
from ..observe.cores import Clocks
from ..observe.replaced import HERE, NO_REPORTS, Replaced, Report, Tolerance
from ..observe.transforms import begin_measuring, end_measuring
from ..protocols import Alloc, Numbers
from ..read.fetch import Fetch
from .pickling import pack, unpack


class Task(NamedTuple):
    """Rows to be read.

    Attributes:
        epoch: The epoch that they belong to.
        rows: Their numbers.
        batches: The number of batches that they make, one after the other; several are gathered in one call.
        whole: Whether they make whole batches. If not, they are a part of one, to be joined with its other parts.
        following: The epoch after this one, to be opened ahead of time; None if the run ends before it.
    """

    epoch: int
    rows: Numbers
    batches: int
    whole: bool
    following: int | None = None


class Done:
    """A task's outcome.

    Fields that most outcomes leave at their defaults are attributes of the class, and need not be set for each.

    Attributes:
        values: The batches of a whole task, up to the first that failed; of a part, one entry with the part: its items,
            or what was gathered.
        error: What was raised in place of the next batch; None if nothing was.
        stage: What was being done when it was raised: `preparing`, `reading`, `batching`, or a stage of an engine.
        reading: Seconds spent reading.
        batching: Seconds spent making items into a batch.
        trace: The traceback of the error, if it was raised in another process.
        transforming: Seconds of `reading` that were transforms, if that was measured.
        clocks: CPU time and core wait of the read, if another process or thread has measured them.
        replaced: The rows that the dataset replaced in each of the values, by its place; None if there are none.
    """

    reading: float = 0.0
    batching: float = 0.0
    trace: str = ""
    transforming: float | None = None
    clocks: Clocks | None = None
    replaced: dict[int, list[Report]] | None = None

    def __init__(self, values: list[Any], error: BaseException | None = None, stage: str = "reading") -> None:
        self.values, self.error, self.stage = values, error, stage

    def once_more(self) -> Done:
        """The same failure for another step, with a copy of the error, since each step adds its own notes."""
        assert self.error is not None, "only what failed is kept"
        done = Done([], copied(self.error), self.stage)
        done.trace = self.trace
        return done

    def __reduce_ex__(self, protocol: SupportsIndex, /) -> tuple[Any, ...]:
        error = None if self.error is None else pack(self.error)
        # By protocols before 5, NumPy gives the machine's byte order to all arrays that arrive.
        buffers: list[pickle.PickleBuffer] = []
        keep = buffers.append if operator.index(protocol) >= 5 else None
        try:
            body = dumps(self.values, keep)
        except Exception:
            # A class of the program's `__main__`, which a cluster's worker has under no name.
            if "cloudpickle" not in sys.modules:
                raise
            buffers.clear()
            body = dumps_by_value(self.values, keep)
        replaced = self.replaced and {place: [*map(_pack_report, found)] for place, found in self.replaced.items()}
        others = {name: value for name, value in vars(self).items() if name not in ("values", "error", "replaced")}
        return _arrived, (error, body, buffers, replaced, others)


PackedReport: TypeAlias = tuple[Tolerance, Replaced, bytes, str]
"""A report for another process, with its error packed."""


def _pack_report(report: Report) -> PackedReport:
    return report.tolerance, report.replaced, pack(report.error), report.trace


def _arrived(
    error: bytes | None,
    body: bytes,
    buffers: list[pickle.PickleBuffer],
    replaced: dict[int, list[PackedReport]] | None,
    others: dict[str, Any],
) -> Done:
    """An outcome that comes from another process."""
    done = Done(pickle.loads(body, buffers=buffers), None if error is None else unpack(error))
    vars(done).update(others)
    if replaced is not None:
        done.replaced = {
            place: [Report(tolerance, what, unpack(failure), trace) for tolerance, what, failure, trace in found]
            for place, found in replaced.items()
        }
    return done


class Watch(Protocol):
    """Is told what a worker is about to do, to time it, and so that a read that never ends can be named."""

    @property
    def seconds(self) -> float:
        """How long the last stage took."""
        ...

    @property
    def close(self) -> bool:
        """Whether the read that has just begun is looked at closely: its transforms are measured."""
        ...

    @property
    def on_row(self) -> Callable[[int], None] | None:
        """What is to be called with each row before it is read; None if rows need not be told apart."""
        ...

    def begin(self, stage: str, rows: Numbers | None = None, /) -> None:
        """A stage begins, and the one before it ends: `reading` the rows, or `batching`."""
        ...

    def end(self) -> None:
        """The last stage ends, if it has not yet."""
        ...


def perform(fetch: Fetch, task: Task, alloc: Alloc, watch: Watch) -> Done:
    """Does a task here and now.

    Args:
        fetch: Reads the rows of the task's epoch.
        task: What to read.
        alloc: Provides the memory of batches.
        watch: Is told what is being done.

    Returns:
        The outcome. It holds whatever was raised: a worker must survive it, and so must a consumer that waits for it.
    """
    if task.batches > 1 and not fetch.groups:
        # Units are made for the dataset that was built. In this epoch it is another one, which is read otherwise.
        return _one_by_one(fetch, task, alloc, watch)
    done = attempt(fetch, task.rows, task.batches, alloc, watch, whole=task.whole)
    if task.batches == 1 or (done.error is None and done.replaced is None):
        return done
    if done.error is not None and is_interrupt(done.error):
        return done
    # The error belongs to one of the batches, and those before it are to be handed out. So do replaced rows.
    return _one_by_one(fetch, task, alloc, watch)


def _one_by_one(fetch: Fetch, task: Task, alloc: Alloc, watch: Watch) -> Done:
    """Does a task of several batches one by one, up to one that fails."""
    whole = Done([])
    each = len(task.rows) // task.batches
    for i in range(task.batches):
        rows = task.rows[i * each : (i + 1) * each]
        done = attempt(fetch, rows, 1, alloc, watch)
        whole.reading += done.reading
        whole.batching += done.batching
        if done.error is not None:
            whole.error, whole.stage = done.error, done.stage
            break
        if done.replaced is not None:
            whole.replaced = (whole.replaced or {}) | {i: done.replaced[0]}
        whole.values += done.values
    return whole


def attempt(fetch: Fetch, rows: Numbers, batches: int, alloc: Alloc, watch: Watch, *, whole: bool = True) -> Done:
    """Reads rows and makes them into batches, all at once; the arguments are those of a `Task`.

    Returns:
        The outcome. If there is an error, there are no batches.
    """
    done = Done([])
    collector = HERE.collector
    outer = collector.reports
    try:
        collector.reports = NO_REPORTS
        watch.begin("reading", rows)
        close, gathers = watch.close, fetch.gathers
        if close:
            begin_measuring()
        if gathers:
            done.values = fetch.gather(rows, batches, alloc)
        else:
            done.values = [fetch.read(rows, watch.on_row)]
        if close:
            done.transforming = end_measuring()
        if whole and not gathers:
            done.stage = "batching"
            watch.begin("batching")
            done.reading = watch.seconds
            done.values = [fetch.batch(done.values[0], rows, alloc)]
            watch.end()
            done.batching = watch.seconds
        else:
            watch.end()
            done.reading = watch.seconds
    except BaseException as error:
        done.values, done.error = [], error
        end_measuring()
        watch.end()
    finally:
        reports, collector.reports = collector.reports, outer
    if reports:
        done.replaced = {0: list(reports.values())}
    return done
