"""What one worker is doing at the moment, for statistics and for a consumer that waits too long."""

from __future__ import annotations

import sys
import threading
import traceback
from contextlib import AbstractContextManager
from time import perf_counter, thread_time
from typing import TYPE_CHECKING, Any

from ..plan.steps import Step
from ..protocols import Numbers
from ..text import describe
from .lane import Lane
from .recorder import WATCHED
from .traces import block

if TYPE_CHECKING:
    from ..backends.base import Engine
    from ..backends.task import Done
    from ..run.slot import Slot

CPU_SECONDS = 0.01
"""How often a worker reads its CPU clock, which takes ten times as long as reading the other."""


class Activity:
    """What one worker is doing, for a consumer that wonders why it waits, and for statistics.

    A stage begins with `begin`, which ends the one before, or ends with `end`.

    Attributes:
        engine: Has the worker's tasks done.
        lane: What it has done, for statistics.
        slot: The slot that is being worked on.
        step: The step of it that is, or its first one.
        seconds: How long the last stage took.
    """

    __slots__ = (
        "_began",
        "_cpu",
        "_cpu_due",
        "_doing",
        "_mark",
        "_open",
        "_row",
        "_rows",
        "_since",
        "_skipped",
        "_thread",
        "engine",
        "lane",
        "seconds",
        "slot",
        "step",
    )

    def __init__(self, engine: Engine, lane: Lane) -> None:
        self.engine = engine
        self.slot: Slot | None = None
        self.step = Step(0, 0, 0, 0)
        self.seconds = 0.0
        self.lane = lane
        self._mark: AbstractContextManager[Any] | None = None
        self._thread = threading.get_ident()
        self._doing = ""
        self._open = False
        self._row: int | None = None
        self._rows: Numbers | None = None
        self._began = self._since = 0.0
        self._cpu = self._cpu_due = 0.0
        self._skipped = 0

    def skips(self) -> bool:
        """Whether a brief unit need not be watched: most of them, unless a timeline or a trace is recorded."""
        self._skipped += 1
        return bool(self._skipped % WATCHED) and self.lane.spans is None and self.lane.recorder.annotate is None

    def begin(self, doing: str, rows: Numbers | None = None) -> None:
        """Notes that a stage begins.

        Args:
            doing: The stage.
            rows: The rows, if they are being read.
        """
        now = perf_counter()
        if self._open:
            self._end(now)
        self._open, self._doing, self._row, self._rows = True, doing, None, rows
        self._since = self._began = now
        annotate = self.lane.recorder.annotate
        if annotate is not None:
            self._mark = block(annotate, doing, self.step)
            self._mark.__enter__()

    def end(self) -> None:
        """Notes that the stage ends, if there is one."""
        if self._open:
            self._open = False
            self._end(perf_counter())

    def _end(self, now: float) -> None:
        self.seconds = now - self._began
        self.lane.add(self._doing, self._began, now, self.step)
        self._note(self.seconds, now)

    def end_elsewhere(self, done: Done) -> None:
        """Notes that a read ends that was done elsewhere, with the batching that was a part of it.

        How long it took is what was measured there: it may have begun before it was waited for.

        Args:
            done: Its outcome.
        """
        self._open, now, lane = False, perf_counter(), self.lane
        lane.seconds["reading"] += done.reading
        lane.seconds["batching"] += done.batching
        if lane.spans is not None:
            read = max(self._began, now - done.batching)
            lane.spans.append(("reading", self._began, read, self.step))
            if done.batching:
                lane.spans.append(("batching", read, now, self.step))
        self._note(done.reading, now)

    def _note(self, seconds: float, now: float) -> None:
        """Notes what has been read, for statistics, after so many seconds."""
        lane = self.lane
        if self._mark is not None:
            self._mark.__exit__(None, None, None)
            self._mark = None
        if seconds > lane.floor and self._rows is not None:
            if self._row is not None:
                if now - self._since > lane.floor:
                    lane.slow(now - self._since, (self._row,))
            else:
                lane.slow(seconds, self._rows)
        if now > self._cpu_due:
            cpu = thread_time()
            lane.cpu += cpu - self._cpu
            self._cpu, self._cpu_due = cpu, now + CPU_SECONDS

    def measures(self) -> bool:
        """Whether the read that has just begun is one whose transforms are measured."""
        return self.lane.measures(self._began)

    def row(self, row: int) -> None:
        """Notes that the read of `row` begins."""
        now = perf_counter()
        if self._row is not None and now - self._since > self.lane.floor:
            self.lane.slow(now - self._since, (self._row,))
        self._row, self._since = row, now

    @property
    def since(self) -> float:
        """When the stage began, or the row that is being read."""
        return self._since

    def overdue(self, timeout: float) -> tuple[float, str]:
        """How much longer than now the worker may take, in seconds, and what to say if it is nothing."""
        row, seconds, stack = self._row, perf_counter() - self._since, ""
        elsewhere = self.engine.where()
        if elsewhere is not None:
            row, seconds, stack = elsewhere
        if seconds < timeout:
            return timeout - seconds, ""
        if not stack:
            frame = sys._current_frames().get(self._thread)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
            stack = "".join(traceback.format_stack(frame)) if frame else "  (it has just gone on)"
        what = self._doing
        if row is not None:
            what += f" row {row}"
        elif self._rows is not None:
            what += f" rows {describe(self._rows)}"
        steps = self.slot.steps if self.slot and len(self.slot.steps) > 1 else [self.step]
        of = " to ".join(str(step) for step in (steps[0], *steps[1:][-1:]))
        return 0.0, f"{what} ({of}) has taken longer than the timeout of {timeout} s; the worker stands at:\n{stack}"
