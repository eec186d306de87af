"""Batches on their way, the units of work that they consist of, and what a worker is doing at the moment."""

from __future__ import annotations

import sys
import threading
import traceback
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from .fetch import Fetch
from .plan import Step
from .protocols import Rows
from .tasks import Engine


class Slot:
    """One batch on its way."""

    __slots__ = ("batch", "done", "error", "failures", "fetch", "missing", "parts", "ready", "rows", "step")

    def __init__(self, step: Step, fetch: Fetch, rows: Rows) -> None:
        self.step = step
        self.fetch = fetch
        self.rows = rows
        self.parts: dict[int, Any] = {}
        self.failures: dict[int, BaseException] = {}
        self.missing = 0
        self.batch: Any = None
        self.error: BaseException | None = None
        self.done = False
        self.ready = threading.Lock()
        self.ready.acquire()

    @property
    def in_order(self) -> list[Any]:
        """The parts, once every unit has read its own."""
        return [self.parts[start] for start in sorted(self.parts)]

    def publish(self, batch: Any = None, error: BaseException | None = None) -> None:
        """Hands the outcome to the consumer; only the first call counts, and the caller holds the window's lock."""
        if not self.done:
            self.batch, self.error = batch, error
            self.parts.clear()
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
    """What one worker is doing, for a consumer that wonders why it waits."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.slots: list[Slot] = []
        self.since = 0.0
        self._thread = threading.get_ident()
        self._doing = ""
        self._row: int | None = None

    def begin(self, doing: str, slots: list[Slot]) -> float:
        """Notes that a stage begins; returns the time."""
        self.slots = slots
        self.stage(doing)
        return self.since

    def stage(self, doing: str) -> None:
        """Notes that a stage of the same slots begins."""
        self._doing, self._row = doing, None
        self.since = perf_counter()

    def row(self, row: int) -> None:
        """Notes that the read of `row` begins."""
        self._row = row
        self.since = perf_counter()

    def overdue(self, timeout: float) -> tuple[float, str]:
        """How much longer than now the worker may take, in seconds, and what to say if it is nothing."""
        row, seconds, stack = self._row, perf_counter() - self.since, ""
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
