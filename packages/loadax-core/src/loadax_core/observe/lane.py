"""What one thread has done: a few additions for each batch, written by that thread alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from heapq import heappush, heapreplace
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from ..plan.steps import Step
from ..protocols import Rows
from .stats import SlowRead
from .transforms import MEASURE_SECONDS

if TYPE_CHECKING:
    from .recorder import Recorder

Note: TypeAlias = tuple[str, float, float, Step]
"""A stage, when it began and ended, and the first step that it was for."""


SLOWEST = 5
"""How many of the slowest reads are kept."""


class Lane:
    """What one worker, or the caller of `next`, has done.

    Attributes:
        seconds: Time spent in each stage.
        cpu: CPU time of the worker's thread.
        rows: Rows that were read in units that were watched.
        floor: What a read must take to be among the slowest.
        slowest: A heap of the slowest reads.
        measure_from: The value of `perf_counter` from which on transforms are to be measured again.
        measured: Time of reads whose transforms were measured.
        transforming: Time of these transforms.
        brief: Time spent reading and batching in units that were not watched.
        recorder: What the lane belongs to.
        spans: When each stage was, if a timeline is recorded.
    """

    __slots__ = (
        "brief",
        "cpu",
        "floor",
        "measure_from",
        "measured",
        "recorder",
        "rows",
        "seconds",
        "slowest",
        "spans",
        "transforming",
    )

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.spans: deque[Note] | None = None
        self.seconds = {"reading": 0.0, "batching": 0.0, "placing": 0.0}
        self.brief = self.cpu = self.floor = self.measured = self.transforming = self.measure_from = 0.0
        self.rows = 0
        self.slowest: list[SlowRead] = []

    def take_spans(self) -> list[Note]:
        """Ends the recording of a timeline."""
        spans, self.spans = self.spans, None
        return list(spans or ())

    def measures(self, now: float) -> bool:
        """Whether a read that begins is one whose transforms are measured."""
        if now < self.measure_from:
            return False
        self.measure_from = now + MEASURE_SECONDS
        return True

    @property
    def busy(self) -> float:
        """Time spent in all stages."""
        return self.brief + sum(self.seconds.values())

    def add(self, stage: str, began: float, ended: float, step: Step) -> None:
        """Notes a stage, from one value of `perf_counter` to another."""
        self.seconds[stage] += ended - began
        if self.spans is not None:
            self.spans.append((stage, began, ended, step))

    def slow(self, seconds: float, rows: Sequence[int] | Rows) -> None:
        """Notes a read of rows that took longer than `floor`."""
        if not len(rows):
            return
        read = SlowRead(seconds, int(rows[0]), len(rows))
        if len(self.slowest) < SLOWEST:
            heappush(self.slowest, read)
        else:
            heapreplace(self.slowest, read)
        if len(self.slowest) == SLOWEST:
            self.floor = self.slowest[0].seconds


class Sums(NamedTuple):
    """What all threads have done since the start: rows, the time that took, and the part of it on a CPU, in seconds."""

    rows: int
    busy: float
    cpu: float
