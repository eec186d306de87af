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

    Fields that most slots leave at their defaults are attributes of the class, and need not be set for each.

    Attributes:
        steps: The steps of its batches, of one epoch and with the same number of rows each.
        rows: The row numbers of all its batches, one batch after the other.
        memory: The memory of a batch that threads gather in parts; None for other batches.
        missing: How many parts have yet to be read.
        whole: Whether it was to be read in parts, and a worker reads it as a whole instead.
        batches: Once `done`, its batches up to the first that failed.
        counts: What was counted in each of these batches; empty if nothing is counted.
        error: The error of the batch that failed; None if none did.
        replaced: The rows that the dataset replaced in each of the batches, by its place; None if there are none.
        nbytes: Bytes of its batches, if the prefetch depth is sized by memory.
        claimed: Whether a thread publishes it, or has published it.
        done: Whether it is published: the consumer may take the batches.
        published: When it was published; a value of `perf_counter`.
        ready: A lock that is held until it is published: the consumer waits for it.
    """

    memory: Parts | None = None
    missing = 1
    counts: Sequence[Mapping[str, float]] = ()
    error: BaseException | None = None
    replaced: dict[int, list[Report]] | None = None
    nbytes = 0
    whole = claimed = done = False
    published = 0.0
    # The parts, and the errors of those that failed, by the place of their first row; None if there are no parts.
    _parts: dict[int, Any] | None = None
    _failures: dict[int, BaseException] | None = None

    def __init__(self, steps: Sequence[Step], rows: Numbers) -> None:
        self.steps = steps
        self.rows = rows
        self.batches: list[Any] = []
        self.ready = threading.Lock()
        self.ready.acquire()

    def add(self, start: int, part: Any, failure: BaseException | None) -> bool:
        """Adds a part, or the error of one that failed; the caller holds the bench's lock.

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
        """The error of the part with the lowest rows that failed; None if none did."""
        return self._failures[min(self._failures)] if self._failures else None

    @property
    def in_order(self) -> list[Any]:
        """The parts in the order of their rows, once none is missing."""
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
