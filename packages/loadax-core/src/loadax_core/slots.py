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
    def items(self) -> list[Any]:
        """All items, once every unit has read its part."""
        return [item for start in sorted(self.parts) for item in self.parts[start]]

    def publish(self, batch: Any = None, error: BaseException | None = None) -> None:
        """Hands the outcome to the consumer; only the first call counts, and the caller holds the window's lock."""
        if not self.done:
            self.batch, self.error = batch, error
            self.parts.clear()
            self.done = True
            self.ready.release()


@dataclass(frozen=True, slots=True)
class Unit:
    """What a worker does in one go: gather the batches of some slots, or read some items of one."""

    slots: list[Slot]
    start: int = 0
    stop: int = 0


class Activity:
    """What one worker is doing, for a consumer that wonders why it waits."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self._doing = ""
        self._row: int | None = None
        self.slots: list[Slot] = []
        self.since = 0.0

    def begin(self, doing: str, slots: list[Slot]) -> float:
        """Notes that a stage begins; returns the time."""
        self._doing, self._row, self.slots = doing, None, slots
        self.since = perf_counter()
        return self.since

    def watch(self, row: int) -> None:
        """Notes that the read of `row` begins."""
        self._row = row
        self.since = perf_counter()

    def describe(self, timeout: float) -> str:
        """What an error says about a worker that has been at it for longer than `timeout` seconds."""
        what = self._doing if self._row is None else f"{self._doing} row {self._row}"
        steps = " and ".join(str(slot.step) for slot in (self.slots[:1] + self.slots[1:][-1:]))
        frame = sys._current_frames().get(self._thread)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        stack = "".join(traceback.format_stack(frame)) if frame else "  (it has just gone on)"
        return f"{what} ({steps}) has taken longer than the timeout of {timeout} s; the worker stands at:\n{stack}"
