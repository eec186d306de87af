"""The record of one thread: a few additions for each batch, written by that thread alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from heapq import heappush, heapreplace
from typing import NamedTuple, TypeAlias

from ..plan.steps import Step
from ..protocols import Rows
from ..text import duration
from .cores import Clocks

Note: TypeAlias = tuple[str, float, float, Step]
"""A stage, when it began and ended, and the first step that it was for."""

SLOWEST = 5
"""How many of the slowest reads are kept."""

LOOK_SECONDS = 0.005
"""How often each thread looks closer: times rows one by one and their transforms, and reads its CPU clocks.

A closer look takes 5 to 20 us, which is below 0.5% of this time.
"""


class SlowRead(NamedTuple):
    """One of the slowest reads of a run.

    Attributes:
        seconds: How long it took.
        row: The row that was read, or the first of several.
        rows: How many rows were read together; they are of the batches that begin there.

    Example:
        >>> print(SlowRead(seconds=1.5, row=70, rows=1))
        row 70 in 1.50 s
    """

    seconds: float
    row: int
    rows: int

    def __str__(self) -> str:
        what = f"row {self.row}" if self.rows == 1 else f"{self.rows} rows from {self.row}"
        return f"{what} in {duration(self.seconds)}"


class Lane:
    """What one worker, or the caller of `next`, has done.

    Attributes:
        seconds: Seconds spent in each stage.
        clocked: Seconds of the stages whose CPU time was measured.
        cpu: CPU seconds in `clocked`; of a worker that is a thread of this process, all of its CPU seconds.
        core_wait: Seconds in `clocked` in which the thread was ready to run and waited for a core.
        floor: Seconds that a read must take to be among the slowest.
        slowest: A heap of the slowest reads.
        due: The value of `perf_counter` from which on the next read is looked at closely.
        measured: Seconds of the reads whose transforms were measured.
        transforming: Seconds of these transforms.
        spans: When each stage began and ended, if a timeline is recorded.
    """

    __slots__ = (
        "clocked",
        "core_wait",
        "cpu",
        "due",
        "floor",
        "measured",
        "seconds",
        "slowest",
        "spans",
        "transforming",
    )

    def __init__(self) -> None:
        self.spans: deque[Note] | None = None
        self.seconds = {"reading": 0.0, "batching": 0.0, "placing": 0.0}
        self.clocked = self.cpu = self.core_wait = self.floor = self.measured = self.transforming = self.due = 0.0
        self.slowest: list[SlowRead] = []

    def take_spans(self) -> list[Note]:
        """Ends the recording of a timeline."""
        spans, self.spans = self.spans, None
        return list(spans or ())

    def looks(self, now: float) -> bool:
        """Whether a read that begins now is looked at closely; if so, the next one is in `LOOK_SECONDS`."""
        if now < self.due:
            return False
        self.due = now + LOOK_SECONDS
        return True

    @property
    def busy(self) -> float:
        """Time spent in all stages."""
        return sum(self.seconds.values())

    def clock(self, clocks: Clocks) -> None:
        """Adds a stage whose CPU time was measured."""
        self.clocked += clocks.seconds
        self.cpu += clocks.cpu
        # The kernel counts the wait before a thread runs for the first time, which may have begun before the work.
        self.core_wait += min(clocks.core_wait, clocks.seconds)

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
