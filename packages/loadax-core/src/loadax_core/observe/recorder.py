"""What is noted while a run goes on: a few additions for each batch, in memory that does not grow with the run.

Each thread writes to a `Lane` of its own, without a lock. Whoever adds the lanes up may find the last batch in some
numbers and not yet in others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from time import process_time
from typing import Any, NamedTuple

from ..memory.nbytes import size
from ..plan.steps import Step
from ..protocols import Kind, Way
from .cores import cores
from .lane import SLOWEST, Lane, Note, Sums
from .stats import Interval, Stats
from .traces import Annotate

MOST_READY = 64
"""Ready batches are counted up to this many, and more as this many."""

POINTS = 64
"""The course of a run is kept at this many points, or half as many."""

SAMPLE_SECONDS = 0.005
"""How far apart these are to begin with."""

WATCHED_CALLS = 16
"""The first calls of `next`, each of which is watched."""

WATCH_SHARE, WATCH_SECONDS = 1 / 4, 0.25
"""Later one is whenever this share of the run's time, or this time, has passed since the last one.

Beside a training step, to note what a call does takes longer than the call itself.
"""

PLAIN_SECONDS = 1e-3
"""A call that follows one that is not watched within this time is not either.

To ask JAX each time whether a trace is taken would cost more than all else that is noted of such a call.
"""

WATCHED = 256
"""Of brief units of work, one in so many is watched."""


class Point(NamedTuple):
    """Sums since the start of a run: batches, seconds, times that a batch was asked for, and ready batches then."""

    batches: int
    elapsed: float
    waited: float
    asked: int
    ready: int


class Recorder:
    """What an iterator has done, over all of its restarts.

    Attributes:
        annotate: What marks a block in a trace of `jax.profiler`, while one is taken.
        waits: When `next` was called, if a timeline is recorded.
        closed: Whether the run has been closed.
        hand: Batches, with their steps, the next one last, that `next` hands out, and nothing is noted.
        caller: What was done in the thread that calls `next`.
        ready: How often 0, 1, 2, ... batches were ready when one was asked for.
        seen: The value of `perf_counter` at the last look at the clock in a call of `next`: where a stage begins as
            another ends, one look is for both.
        blocked: Seconds that the caller waited for workers.
        watch_from: The value of `perf_counter` from which on the next call of `next` is to be watched. In others, only
            what is loaded in them or waited for is timed.
        plain_until: The same until which calls do not ask whether they are to be, or whether a trace is taken.
        handed: How many calls since the last one that was watched have got their batches without a look at the clock.
        depth: How many batches are kept ready, at most.
        alone: Whether one worker loads and the others rest.
    """

    # With 30 attributes or more, those of an instance without slots take a third longer to look up.
    __slots__ = (
        "_began",
        "_calls",
        "_course",
        "_cpu",
        "_cpu_before",
        "_due",
        "_entered",
        "_first_busy",
        "_first_wait",
        "_handing",
        "_noted",
        "_ready",
        "_sampled_bytes",
        "_sampled_rows",
        "_stride",
        "_usual",
        "_waited",
        "_workers",
        "alone",
        "annotate",
        "blocked",
        "caller",
        "closed",
        "depth",
        "hand",
        "handed",
        "plain_until",
        "ready",
        "seen",
        "waits",
        "watch_from",
    )

    def __init__(self) -> None:
        self.caller = Lane(self)
        self.annotate: Annotate | None = None
        self.waits: deque[Note] | None = None
        self.closed = False
        self.hand: list[tuple[Step, Any]] = []
        self.ready = [0] * (MOST_READY + 1)
        self.seen = self.blocked = self.watch_from = self.plain_until = 0.0
        self.handed = 0
        # When the first batch was asked for, 0 before that, and how long it was waited for.
        self._began = self._first_wait = 0.0
        # How many calls the one that is watched stands for.
        self._calls = 0
        self._due = self._entered = self._waited = self._handing = self._usual = 0.0
        self._noted = 0
        self._ready: int | None = None
        self.depth = 0
        self.alone = False
        self._cpu_before = self._cpu = self._first_busy = 0.0
        self._workers: dict[int, Lane] = {}
        self._stride = SAMPLE_SECONDS
        self._course: list[Point] = []
        self._sampled_bytes = self._sampled_rows = 0

    def worker(self, number: int) -> Lane:
        """The lane of a worker; after a restart, of the worker that takes its place."""
        lane = self._workers.setdefault(number, Lane(self))
        if self.waits is not None and lane.spans is None:
            lane.spans = deque(maxlen=self.waits.maxlen)
        return lane

    def record(self, most: int) -> None:
        """Begins to keep when each stage was, the last `most` of each lane."""
        self.waits = deque(maxlen=most)
        self.watch_from = 0.0
        self.ask()
        for lane in [self.caller, *self._workers.values()]:
            lane.spans = deque(maxlen=most)

    def recorded(self) -> dict[str, list[Note]]:
        """Ends that, and returns what was kept of each lane."""
        waits, self.waits = self.waits, None
        lanes = {"training": list(waits or ()), "caller": self.caller.take_spans()}
        for number, lane in sorted(self._workers.items()):
            lanes[f"worker {number}"] = lane.take_spans()
        return {name: spans for name, spans in lanes.items() if spans}

    def ask(self) -> None:
        """Has the next call ask what is to be noted, and get nothing without a look at the clock."""
        self.handed -= len(self.hand)
        self.hand, self.plain_until = [], 0.0

    def let_pass(self, now: float) -> None:
        """Has nothing noted of a call that begins, nor of those that follow it, unless a timeline is to show them."""
        self.seen = now
        self.plain_until = now + PLAIN_SECONDS
        # It may have begun meanwhile.
        if self.waits is not None:
            self.ask()

    def offer(self, hand: list[tuple[Step, Any]]) -> None:
        """Has batches handed out and nothing noted, unless a timeline or a trace is to show it, or none is to come."""
        self.hand = hand
        self.handed += len(hand)
        # Any of it may have been decided meanwhile.
        if self.waits is not None or self.annotate is not None or self.closed:
            self.ask()

    @property
    def watched(self) -> Sums:
        """What the workers have done in units that were watched."""
        # Workers that start add theirs.
        lanes = list(self._workers.values())
        return Sums(
            sum(lane.rows for lane in lanes),
            sum(sum(lane.seconds.values()) for lane in lanes),
            sum(lane.cpu for lane in lanes),
        )

    @property
    def waited(self) -> float:
        """Seconds that the caller was inside `next`: waiting for workers, loading itself, and handing over."""
        return self.blocked + self.caller.busy + self._handing

    @property
    def _busy(self) -> float:
        """Seconds that workers worked, the caller among them where it helped."""
        return sum(lane.busy for lane in [self.caller, *self._workers.values()])

    @property
    def elapsed(self) -> float:
        """Seconds from the first call of `next` to the return of the last one."""
        return max(0.0, self.seen - self._began)

    def enter(self, now: float, batches: int, ready: int | None) -> None:
        """Notes that a call of `next` begins which is watched.

        Args:
            now: The value of `perf_counter`.
            batches: How many were yielded before.
            ready: How many may be taken at once, None where that does not matter.
        """
        self._began = self._began or now
        self._entered, self._waited = now, self.waited
        self._calls = batches + 1 - self._noted
        self._noted = batches + 1
        self._ready = ready

    def leave(self, began: float, ended: float, step: Step | None, batch: Any) -> None:
        """Notes that it ends, with a batch unless there is none left.

        Args:
            began: The value of `perf_counter` when the batch was taken.
            ended: The same when it was there.
            step: Its step.
            batch: The batch.
        """
        self.seen = ended
        handing = ended - began - (self.waited - self._waited)
        # The calls that were not watched took as long, unless this one came after a pause, and half as long if they got
        # what was at hand.
        others = max(0.0, self._calls - 1 - self.handed / 2)
        self._handing += began - self._entered + handing + others * min(handing, self._usual)
        self._usual = handing
        if self._ready is not None and step is not None:
            self.ready[min(self._ready, MOST_READY)] += self._calls
        self._calls = self.handed = 0
        if self.waits is None and self.annotate is None and self._noted > WATCHED_CALLS:
            self.watch_from = ended + min(WATCH_SHARE * (ended - self._began), WATCH_SECONDS)
        if step is not None:
            if self.waits is not None:
                self.waits.append(("waiting", self._entered, ended, step))
            if ended >= self._due:
                self._sample(ended, batch, step.size)

    def _sample(self, now: float, batch: Any, rows: int) -> None:
        """Looks closer at one batch: at the first, and then ever more rarely."""
        cpu = process_time()
        if not self._course:
            self._first_wait, self._cpu_before = self.waited, cpu
            self._first_busy = self._busy
        self._sampled_rows += rows
        self._sampled_bytes += size(batch)
        self._cpu = cpu - self._cpu_before
        self._course.append(self._point(self._noted))
        if len(self._course) == POINTS:
            # All are sums since the start, so that each second one tells as much, more coarsely.
            self._course = self._course[1::2]
            self._stride *= 2
        self._due = now + self._stride

    def stats(
        self,
        *,
        batches: int,
        rows: int,
        local_rows: int,
        kind: Kind,
        workers: int,
        way: Way,
    ) -> Stats:
        """What has been noted so far, beside what the iterator knows itself."""
        # Whoever looks again later is to find what came meanwhile.
        self.ask()
        by_workers = list(self._workers.values())
        lanes = [self.caller, *by_workers]
        reading, batching = (sum(lane.seconds[stage] for lane in lanes) for stage in ("reading", "batching"))
        # What was not watched is divided as what was.
        brief = sum(lane.brief for lane in lanes)
        share = reading / (reading + batching) if reading + batching else 1.0
        reading, batching = reading + brief * share, batching + brief * (1 - share)
        transforming, measured = sum(lane.transforming for lane in lanes), sum(lane.measured for lane in lanes)
        most = max((n for n, times in enumerate(self.ready) if times), default=-1)
        return Stats(
            batches=batches,
            rows=rows,
            local_rows=local_rows,
            elapsed=self.elapsed,
            waited=min(self.waited, self.elapsed),
            reading=reading,
            transforming=reading * transforming / measured if measured else 0.0,
            batching=batching,
            placing=sum(lane.seconds["placing"] for lane in lanes),
            first_wait=self._first_wait,
            bytes=round(rows * self._sampled_bytes / max(1, self._sampled_rows)),
            kind=kind,
            workers=workers,
            prefetch=self.depth,
            way=way,
            busy=self._busy if workers else 0.0,
            first_busy=self._first_busy if workers else 0.0,
            cpu=sum(lane.cpu for lane in by_workers),
            process_cpu=self._cpu,
            ready=tuple(self.ready[: most + 1]),
            course=tuple(self._intervals(self._point(batches))),
            slowest=tuple(sorted((read for lane in lanes for read in list(lane.slowest)), reverse=True)[:SLOWEST]),
            cores=cores(),
            alone=self.alone,
        )

    def _point(self, batches: int) -> Point:
        ready = sum(n * times for n, times in enumerate(self.ready))
        return Point(batches, self.elapsed, self.waited, sum(self.ready), ready)

    def _intervals(self, end: Point) -> Iterator[Interval]:
        """The run in pieces: the differences between the points at which its sums were noted."""
        last = Point(0, 0.0, 0.0, 0, 0)
        # The last batch may have been looked at, and time has passed since.
        for point in [*(point for point in self._course if point.batches < end.batches), end]:
            if point.batches <= last.batches:
                continue
            asked = point.asked - last.asked
            yield Interval(
                point.batches - last.batches,
                point.elapsed - last.elapsed,
                # Partly estimated, from calls before.
                min(point.waited - last.waited, point.elapsed - last.elapsed),
                (point.ready - last.ready) / asked if asked else 0.0,
            )
            last = point
