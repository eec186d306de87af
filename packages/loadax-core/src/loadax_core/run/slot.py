"""Batches on their way, and the units of work that they consist of."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any, NamedTuple

from ..backends.task import Task
from ..memory.parts import Parts
from ..observe.replaced import Report
from ..plan.steps import Step
from ..protocols import Numbers


class Slot:
    """One batch on its way, or several quick ones that are gathered in one call.

    What most slots do not have stays an attribute of the class: to set all takes 0.4 us.

    Attributes:
        steps: The steps of its batches, of one epoch and alike in size.
        rows: The row numbers of all its batches, one after the other.
        memory: Of a batch that is gathered in parts here; None for others.
        missing: How many parts have yet to be read.
        batches: Once it is done, its batches up to the first that failed.
        counts: What was counted in each of them; empty if nothing is.
        error: Why that one failed.
        replaced: The rows that the dataset replaced in each of the batches, by its place; None if there are none.
        nbytes: Bytes of its batches, if the prefetch depth is sized by memory.
        claimed: Whether it is being published.
        done: Whether it is.
        published: When that was; a value of `perf_counter`.
        ready: A lock that is released then.
    """

    memory: Parts | None = None
    missing = 1
    counts: Sequence[Mapping[str, float]] = ()
    error: BaseException | None = None
    replaced: dict[int, list[Report]] | None = None
    nbytes = 0
    claimed = done = False
    published = 0.0
    # What was read in parts, by the first row of each; most batches are not.
    _parts: dict[int, Any] | None = None
    _failures: dict[int, BaseException] | None = None

    def __init__(self, steps: Sequence[Step], rows: Numbers) -> None:
        self.steps = steps
        self.rows = rows
        self.batches: list[Any] = []
        self.ready = threading.Lock()
        self.ready.acquire()

    def add(self, start: int, part: Any, failure: BaseException | None) -> bool:
        """Adds a part, or why it is not there; the caller holds the bench's lock.

        Returns:
            Whether it was the last missing one.
        """
        if self._parts is None or self._failures is None:
            self._parts, self._failures = {}, {}
        self._parts[start] = part
        if failure is not None:
            self._failures[start] = failure
        self.missing -= 1
        return self.missing <= 0

    def replace(self, replaced: dict[int, list[Report]]) -> None:
        """Adds rows that the dataset replaced, by the place of the batch; the caller holds the bench's lock."""
        known = self.replaced or {}
        self.replaced = known | {place: known.get(place, []) + reports for place, reports in replaced.items()}

    @property
    def failure(self) -> BaseException | None:
        """Why the first part that failed is not there."""
        return self._failures[min(self._failures)] if self._failures else None

    @property
    def in_order(self) -> list[Any]:
        """The parts, once every unit has read its own."""
        parts = self._parts or {}
        return [parts[start] for start in sorted(parts)]

    def publish(
        self, batches: list[Any], error: BaseException | None = None, counts: Sequence[Mapping[str, float]] = ()
    ) -> None:
        """Hands the outcome to the consumer; only the first call counts, and the caller holds the bench's lock."""
        if not self.claimed:
            # A signal handler may call this again, in the middle of it.
            self.claimed = True
            self.batches, self.error, self.counts = batches, error, counts
            self._parts = self.memory = None
            self.published = perf_counter()
            self.done = True
            self.ready.release()


class Unit(NamedTuple):
    """What a worker does in one go: gather the batches of a slot, or read some of its rows.

    Attributes:
        slot: What the work is for.
        start: Where the rows begin among all those of the slot.
        task: The work.
    """

    slot: Slot
    start: int
    task: Task
