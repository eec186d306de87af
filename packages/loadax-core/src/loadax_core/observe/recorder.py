"""Records a run while it goes on: a few additions for each batch, in memory that does not grow with the run.

Each thread writes to a `Lane` of its own, without a lock. Whoever adds the lanes up may find the last batch in some
numbers and not yet in others.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Mapping
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any

from ..errors import relayed
from ..memory.nbytes import size
from ..plan.steps import Step
from ..protocols import Kind, ReadMethod
from .cores import cores
from .history import History, Point
from .lane import SLOWEST, Lane, Note
from .replaced import Replaced, Report, Tolerance
from .traces import Tracing

if TYPE_CHECKING:
    from .stats import Stats

MOST_READY = 64
"""Ready batches are counted up to this many, and more as this many."""


class Recorder:
    """What an iterator has done, over all of its restarts.

    Attributes:
        caller: What was done in the thread that calls `next`.
        tracing: Whether a trace of `jax.profiler` is being taken.
        waits: When each call of `next` began and ended, if a timeline is recorded.
        ready: How often 0, 1, 2, ... batches were ready when one was asked for.
        waited: Seconds inside `next`.
        wake_wait: Seconds inside `next` in which the batch was ready, and the consumer did not run yet.
        woken: The part of `wake_wait` whose core wait was measured, in seconds.
        woken_core_wait: Seconds in `woken` in which the consumer waited for a core.
        seen: The value of `perf_counter` when the last call of `next` returned.
        depth: How many batches are kept ready, at most.
        counts: Sums of what the user counts in batches, by name.
    """

    def __init__(self) -> None:
        self.caller = Lane()
        self.tracing = Tracing()
        self.waits: deque[Note] | None = None
        self.ready = [0] * (MOST_READY + 1)
        self.waited = self.wake_wait = self.woken = self.woken_core_wait = self.seen = 0.0
        self.depth = 0
        self.counts: Mapping[str, float] = {}
        # The value of `perf_counter` when the first batch was asked for, 0 before that.
        self._began = 0.0
        self._first_wait = self._first_busy = self._cpu_before = self._cpu = self._looked = 0.0
        self._batches = self._sampled_bytes = self._sampled_rows = 0
        self._history = History()
        self._workers: dict[int, Lane] = {}
        self._replaced: dict[tuple[Tolerance, int], Replaced] = {}
        # Names the iterator in its `Stats`, also after they were pickled.
        self._name = os.urandom(8).hex()

    def worker(self, number: int) -> Lane:
        """The lane of a worker; after a restart, of the worker that takes its place."""
        lane = self._workers.setdefault(number, Lane())
        if self.waits is not None and lane.spans is None:
            lane.spans = deque(maxlen=self.waits.maxlen)
        return lane

    def record(self, most: int) -> None:
        """Begins to record a timeline: when each stage began and ended, for the last `most` stages of each lane."""
        self.waits = deque(maxlen=most)
        for lane in [self.caller, *self._workers.values()]:
            lane.spans = deque(maxlen=most)

    def recorded(self) -> dict[str, list[Note]]:
        """Ends the recording of a timeline, and returns the stages of each lane, by its name."""
        waits, self.waits = self.waits, None
        lanes = {"training": list(waits or ()), "caller": self.caller.take_spans()}
        for number, lane in sorted(self._workers.items()):
            lanes[f"worker {number}"] = lane.take_spans()
        return {name: spans for name, spans in lanes.items() if spans}

    def enter(self) -> float:
        """Notes that `next` is called; returns the value of `perf_counter`."""
        now = perf_counter()
        if not self._began:
            self._began = now
        if now >= self.tracing.due:
            self.tracing.look(now)
        return now

    def leave(self, began: float, ready: int | None, step: Step, batch: Any) -> None:
        """Notes that `next` returns a batch.

        Args:
            began: What `enter` returned.
            ready: How many batches were ready then; None where that does not matter.
            step: The step of the batch.
            batch: The batch.
        """
        now = self.seen = perf_counter()
        self.waited += now - began
        self._batches += 1
        if ready is not None:
            self.ready[ready if ready < MOST_READY else MOST_READY] += 1
        if self.waits is not None:
            self.waits.append(("waiting", began, now, step))
        if now >= self._history.due:
            self._look(now, batch, step.size)

    def replace(self, reports: Iterable[Report], step: Step) -> BaseException | None:
        """Counts the rows that a dataset has replaced in a batch.

        Args:
            reports: The rows, in the order in which they happened to be read.
            step: The step of the batch.

        Returns:
            The error of the first row that is one too many, as `next` raises it; None if all may be replaced.
        """
        for report in sorted(reports, key=lambda report: report.replaced.row):
            if not report.admit():
                return relayed(report.error, "reading", step, report.trace)
            self._replaced.setdefault((report.tolerance, report.replaced.row), report.replaced)
        return None

    def count(self, counted: Mapping[str, float]) -> None:
        """Adds what was counted in a batch that is handed out."""
        # A new mapping, since another thread may be reading the last one.
        self.counts = {name: self.counts.get(name, 0) + number for name, number in counted.items()}

    def _look(self, now: float, batch: Any, rows: int) -> None:
        """Looks closer at one batch: at the first, and then ever more rarely."""
        cpu = process_time()
        if not self._history.due:
            self._first_wait, self._cpu_before, self._first_busy = self.waited, cpu, self._busy
        self._sampled_rows += rows
        self._sampled_bytes += size(batch)
        self._cpu, self._looked = cpu - self._cpu_before, now
        self._history.add(now, self._point())

    @property
    def _elapsed(self) -> float:
        """Seconds from the first call of `next` to the return of the last one."""
        return max(0.0, self.seen - self._began)

    @property
    def _busy(self) -> float:
        # A copy, since workers that start add their lanes.
        return sum(lane.busy for lane in list(self._workers.values()))

    @property
    def _process_cpu(self) -> float:
        """CPU seconds of the process from the first batch to the last one; estimated from the last look on."""
        past = perf_counter() - self._looked
        if not self._looked or past <= 0:
            return self._cpu
        return self._cpu + (process_time() - self._cpu_before - self._cpu) * min(1.0, (self.seen - self._looked) / past)

    def _point(self) -> Point:
        ready = sum(n * times for n, times in enumerate(self.ready))
        return Point(self._batches, self._elapsed, self.waited, sum(self.ready), ready)

    def stats(
        self, *, batches: int, rows: int, local_rows: int, kind: Kind, workers: int, read_method: ReadMethod
    ) -> Stats:
        """The statistics of the run so far.

        The arguments are the figures that are not recorded here; see `Stats`.
        """
        from .stats import Stats  # noqa: PLC0415 - with its verdicts, it takes a tenth of the import of the core

        by_workers = list(self._workers.values())
        lanes = [self.caller, *by_workers]
        loading = by_workers if workers else [self.caller]
        stages: dict[str, Any] = {stage: sum(lane.seconds[stage] for lane in lanes) for stage in self.caller.seconds}
        transforming, measured = sum(lane.transforming for lane in lanes), sum(lane.measured for lane in lanes)
        most = max((n for n, times in enumerate(self.ready) if times), default=-1)
        return Stats(
            batches=batches,
            rows=rows,
            local_rows=local_rows,
            elapsed=self._elapsed,
            waited=min(self.waited, self._elapsed),
            **stages,
            transforming=stages["reading"] * transforming / measured if measured else 0.0,
            first_wait=self._first_wait,
            bytes=round(rows * self._sampled_bytes / max(1, self._sampled_rows)),
            kind=kind,
            workers=workers,
            prefetch=self.depth,
            read_method=read_method,
            busy=self._busy if workers else 0.0,
            first_busy=self._first_busy if workers else 0.0,
            cpu=sum(lane.cpu if kind == "thread" else extended(lane.cpu, lane) for lane in loading),
            core_wait=sum(extended(lane.core_wait, lane) for lane in loading),
            wake_wait=self.wake_wait,
            wake_core_wait=self.wake_wait * min(1.0, self.woken_core_wait / self.woken) if self.woken else 0.0,
            process_cpu=self._process_cpu,
            ready=tuple(self.ready[: most + 1]),
            history=tuple(self._history.intervals(self._point())),
            slowest=tuple(sorted((read for lane in lanes for read in list(lane.slowest)), reverse=True)[:SLOWEST]),
            cores=cores(),
            replaced=tuple(self._replaced.values()),
            counts=dict(self.counts),
            iterator=self._name,
        )

    def since(self, earlier: Stats, now: Stats) -> Stats:
        """The statistics from an earlier `Stats` to `now`, which is the last one.

        Raises:
            TypeError: If `earlier` is no `Stats`.
            ValueError: If it is of another iterator, or later than `now`.
        """
        from .difference import check_earlier, difference  # noqa: PLC0415 - few programs need it

        check_earlier(earlier, now)
        # An interval begins where the one before it ended.
        earlier = earlier.total or earlier
        ready = sum(n * times for n, times in enumerate(earlier.ready))
        start = Point(earlier.batches, earlier.elapsed, earlier.waited, sum(earlier.ready), ready)
        return difference(now, earlier, self._history.intervals(self._point(), start))


def extended(measured: float, lane: Lane) -> float:
    """A time that was measured in a part of the work of a lane, scaled up to all of its work."""
    return measured * lane.busy / lane.clocked if lane.clocked else 0.0
