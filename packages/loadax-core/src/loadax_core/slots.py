"""Batches on their way, the units of work that they consist of, and what a worker is doing at the moment."""

from __future__ import annotations

import sys
import threading
import traceback
from contextlib import AbstractContextManager
from dataclasses import dataclass
from time import perf_counter, thread_time
from types import TracebackType
from typing import Any

from .fetch import Fetch, Numbers
from .plan import Step
from .recorder import Lane
from .tasks import Engine
from .traces import block

CPU_SECONDS = 0.01
"""How often a worker reads its CPU clock, which takes ten times as long as reading the other."""


class Slot:
    """One batch on its way."""

    __slots__ = ("batch", "done", "error", "failures", "fetch", "missing", "parts", "ready", "rows", "step")

    def __init__(self, step: Step, fetch: Fetch, rows: Numbers) -> None:
        self.step = step
        self.fetch = fetch
        self.rows = rows
        # What was read in parts, by the first row of each; most batches are not.
        self.parts: dict[int, Any] | None = None
        self.failures: dict[int, BaseException] | None = None
        self.missing = 0
        self.batch: Any = None
        self.error: BaseException | None = None
        self.done = False
        self.ready = threading.Lock()
        self.ready.acquire()

    def add(self, start: int, part: Any, failure: BaseException | None) -> bool:
        """Adds a part, or why it is not there; the caller holds the window's lock.

        Returns:
            Whether it was the last missing one.
        """
        if self.parts is None or self.failures is None:
            self.parts, self.failures = {}, {}
        self.parts[start] = part
        if failure is not None:
            self.failures[start] = failure
        self.missing -= 1
        return self.missing <= 0

    @property
    def failure(self) -> BaseException | None:
        """Why the first part that failed is not there."""
        return self.failures[min(self.failures)] if self.failures else None

    @property
    def in_order(self) -> list[Any]:
        """The parts, once every unit has read its own."""
        parts = self.parts or {}
        return [parts[start] for start in sorted(parts)]

    def publish(self, batch: Any = None, error: BaseException | None = None) -> None:
        """Hands the outcome to the consumer; only the first call counts, and the caller holds the window's lock."""
        if not self.done:
            self.batch, self.error = batch, error
            self.parts = None
            self.done = True
            self.ready.release()


@dataclass(frozen=True, slots=True)
class Unit:
    """What a worker does in one go: gather the batches of some slots alike in size, or read some rows of one."""

    slots: list[Slot]
    start: int
    stop: int

    @property
    def whole(self) -> bool:
        """Whether these are all rows of the slots."""
        return self.stop - self.start >= len(self.slots[0].rows)


class Activity:
    """What one worker is doing, for a consumer that wonders why it waits, and for statistics.

    Each stage is a block: `with activity.stage("reading", rows): ...`. They do not nest.

    Attributes:
        engine: Has the worker's tasks done.
        slots: The slots that are being worked on.
        seconds: How long the last stage took.
    """

    __slots__ = (
        "_began",
        "_cpu",
        "_cpu_due",
        "_doing",
        "_lane",
        "_mark",
        "_row",
        "_rows",
        "_since",
        "_thread",
        "engine",
        "seconds",
        "slots",
    )

    def __init__(self, engine: Engine, lane: Lane) -> None:
        self.engine = engine
        self.slots: list[Slot] = []
        self.seconds = 0.0
        self._lane = lane
        self._mark: AbstractContextManager[Any] | None = None
        self._thread = threading.get_ident()
        self._doing = ""
        self._row: int | None = None
        self._rows: Numbers | None = None
        self._began = self._since = 0.0
        self._cpu = self._cpu_due = 0.0

    def stage(self, doing: str, rows: Numbers | None = None) -> Activity:
        """Notes that a stage begins, which ends with the `with` block.

        Args:
            doing: The stage.
            rows: The rows of each slot, if they are being read.
        """
        self._doing, self._row, self._rows = doing, None, rows
        annotate = self._lane.recorder.annotate
        if annotate is not None:
            self._mark = block(annotate, doing, self.slots[0].step)
        self._since = self._began = perf_counter()
        return self

    def __enter__(self) -> None:
        if self._mark is not None:
            self._mark.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        now, lane = perf_counter(), self._lane
        self.seconds = seconds = now - self._began
        lane.seconds[self._doing] += seconds
        if self._mark is not None:
            self._mark.__exit__(kind, error, traceback)
            self._mark = None
        if lane.spans is not None:
            lane.spans.append((self._doing, self._began, now, self.slots[0].step))
        if self._rows is not None:
            if self._row is not None:
                if now - self._since > lane.floor:
                    lane.slow(now - self._since, self._row, 1)
            elif seconds > lane.floor:
                lane.slow(seconds, int(self._rows[0]), max(1, len(self.slots)) * len(self._rows))
        if now > self._cpu_due:
            cpu = thread_time()
            lane.cpu += cpu - self._cpu
            self._cpu, self._cpu_due = cpu, now + CPU_SECONDS

    def split(self, batching: float) -> None:
        """Notes that so many seconds of the last stage, which was done elsewhere, were batching."""
        lane = self._lane
        self.seconds -= batching
        lane.seconds["reading"] -= batching
        lane.seconds["batching"] += batching
        if lane.spans and batching:
            _, began, ended, step = lane.spans.pop()
            lane.spans.append(("reading", began, ended - batching, step))
            lane.spans.append(("batching", ended - batching, ended, step))

    def row(self, row: int) -> None:
        """Notes that the read of `row` begins."""
        now = perf_counter()
        if self._row is not None and now - self._since > self._lane.floor:
            self._lane.slow(now - self._since, self._row, 1)
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
        what = self._doing if row is None else f"{self._doing} row {row}"
        steps = " and ".join(str(slot.step) for slot in (self.slots[:1] + self.slots[1:][-1:]))
        return 0.0, f"{what} ({steps}) has taken longer than the timeout of {timeout} s; the worker stands at:\n{stack}"
