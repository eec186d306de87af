"""`Activity`: what one thread is doing at the moment, for statistics and for the message of a timeout."""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager
from time import perf_counter
from typing import Any

from ..plan.steps import Step
from ..protocols import Numbers
from .cores import Clocks, thread_clocks
from .lane import Lane
from .traces import Tracing, block


class Activity:
    """What one thread is doing: a stage begins with `begin`, and ends with `end` or the next `begin`.

    Attributes:
        lane: Where its time is added up.
        step: The step of the batch that is being loaded, or the first of several.
        stage: What is being done; empty between two stages.
        rows: The row numbers of a read.
        row: The row that is being read, if rows are timed one by one.
        since: When the stage began, or the read of that row; a value of `perf_counter`.
        seconds: How long the last stage took.
        close: Whether this read is looked at closely: its CPU time and its transforms are measured.
        on_row: What is to be called with each row before it is read; None if rows need not be told apart.
    """

    __slots__ = (
        "_began",
        "_core_wait",
        "_cpu",
        "_loads_only",
        "_mark",
        "_thread",
        "_timed",
        "_tracing",
        "close",
        "lane",
        "on_row",
        "row",
        "rows",
        "seconds",
        "since",
        "stage",
        "step",
    )

    def __init__(self, lane: Lane, tracing: Tracing, *, timed: bool = False, loads_only: bool = True) -> None:
        """Begins with no stage. The thread that calls this is the one whose activity is noted.

        Args:
            lane: Where its time is added up.
            tracing: Whether a trace is being taken.
            timed: Whether a timeout needs to know which row is being read.
            loads_only: Whether the thread does nothing else, so that all of its CPU time is for loading.
        """
        self.lane = lane
        self.step = Step(0, 0, 0, 0)
        self.stage = ""
        self.rows: Numbers | None = None
        self.row: int | None = None
        self.since = self.seconds = self._began = 0.0
        self.close = False
        self.on_row: Callable[[int], None] | None = None
        self._timed = timed
        self._tracing = tracing
        self._mark: AbstractContextManager[Any] | None = None
        self._thread = threading.get_ident()
        self._loads_only = loads_only
        self._cpu = self._core_wait = 0.0

    def begin(self, stage: str, rows: Numbers | None = None) -> None:
        """Notes that a stage begins.

        Args:
            stage: `reading`, `batching` or `placing`.
            rows: The rows, if they are being read.
        """
        now = perf_counter()
        if self.stage:
            self._end(now)
        if rows is not None:
            self.close = now >= self.lane.due and self.lane.looks(now)
            self.on_row = self._note_row if self.close or self._timed else None
        if self.close:
            cpu, self._core_wait = thread_clocks()
            if not self._loads_only:
                self._cpu = cpu
            # To read them gives up the GIL, and the wait to have it back is none of the stage.
            now = perf_counter()
        self.stage, self.row, self.rows = stage, None, rows
        self.since = self._began = now
        annotate = self._tracing.annotate
        if annotate is not None:
            self._mark = block(annotate, stage, self.step)
            self._mark.__enter__()

    def end(self) -> None:
        """Notes that the stage ends, if there is one."""
        if self.stage:
            self._end(perf_counter())
            self.stage = ""

    def transformed(self, reading: float, seconds: float) -> None:
        """Notes how long the transforms took in a read that was looked at closely."""
        self.lane.measured += reading
        self.lane.transforming += seconds

    def end_elsewhere(self, reading: float, batching: float, clocks: Clocks | None) -> None:
        """Notes that the outcome of a task arrives that another process has done: it was read, and perhaps batched.

        Args:
            reading: Seconds of reading, measured there: it may have begun before this thread waited for it.
            batching: Seconds of batching, measured there.
            clocks: CPU time and core wait of the thread that did it, if they were measured.
        """
        now, lane = perf_counter(), self.lane
        lane.seconds["reading"] += reading
        lane.seconds["batching"] += batching
        if lane.spans is not None:
            read = max(self._began, now - batching)
            lane.spans.append(("reading", self._began, read, self.step))
            if batching:
                lane.spans.append(("batching", read, now, self.step))
        if clocks is not None:
            lane.clock(clocks)
        self.close = False
        self._finish(reading, now)
        self.stage = ""

    def _end(self, now: float) -> None:
        seconds = self.seconds = now - self._began
        lane = self.lane
        lane.seconds[self.stage] += seconds
        if lane.spans is not None:
            lane.spans.append((self.stage, self._began, now, self.step))
        if self.close or self._mark is not None or seconds > lane.floor:
            self._finish(seconds, now)

    def _finish(self, seconds: float, now: float) -> None:
        lane = self.lane
        if self._mark is not None:
            self._mark.__exit__(None, None, None)
            self._mark = None
        if seconds > lane.floor and self.rows is not None:
            if self.row is None:
                lane.slow(seconds, self.rows)
            else:
                self._note_slow(now)
        if self.close:
            cpu, core_wait = thread_clocks()
            lane.clock(Clocks(seconds, cpu - self._cpu, core_wait - self._core_wait))
            self._cpu, self._core_wait = cpu, core_wait

    def _note_row(self, row: int) -> None:
        """Notes that the read of `row` begins."""
        now = perf_counter()
        self._note_slow(now)
        self.row, self.since = row, now

    def _note_slow(self, now: float) -> None:
        if self.row is not None and now - self.since > self.lane.floor:
            self.lane.slow(now - self.since, (self.row,))

    def stack(self) -> str:
        """Where the thread stands, as in a traceback."""
        frame = sys._current_frames().get(self._thread)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        return "".join(traceback.format_stack(frame)) if frame else "  (it has just gone on)"
