"""Steps to units of work: how many batches are on their way, and how their rows are divided among workers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from ..backends.task import Task
from ..errors import is_interrupt, relayed
from ..plan.steps import Step
from ..read.fetch import Fetch
from .budget import Budget
from .groups import alike
from .policy import Policy
from .slot import Slot, Unit
from .worker import Bench


class Refill:
    """Adds slots for the next steps, and puts their units into the workers' queue.

    Args:
        fetch: Knows the rows of a step.
        steps: The steps of the run, in order.
        end: The epoch at which the run is over; None if it is endless.
        policy: Says how many batches share a slot, and how many rows a unit has.
        bench: Where slots are worked on.
        put: Puts a unit into the queue.
        budget: Holds units back as long as memory is full; None where it does not matter.

    Attributes:
        ahead: Batches on their way, or ready.
        group: Batches that shared the last slot.
        exhausted: Whether there are no further steps.
    """

    def __init__(
        self,
        fetch: Fetch,
        steps: Iterator[Step],
        end: int | None,
        policy: Policy,
        bench: Bench,
        put: Callable[[Unit], None],
        budget: Budget | None,
    ) -> None:
        self._fetch = fetch
        self._steps = steps
        self._end = end
        self._policy = policy
        self._bench = bench
        self._put = put
        self._budget = budget
        self._rows_each = 0
        self.ahead = 0
        self.group = 1
        self.exhausted = False

    def fill(self, slots: deque[Slot], limit: int) -> None:
        """Adds slots until `limit` batches are on their way, or the steps are at their end."""
        # Mostly there is no room for another group: it is taken to be as large as the last one.
        if limit - self.ahead < self.group:
            return
        self.group = self._policy.group(self._rows_each, limit)
        while limit - self.ahead >= self.group:
            steps = tuple(islice(self._steps, self.group))
            if not steps:
                self.exhausted = True
                return
            if len(steps) == 1:
                self._add(slots, steps)
            else:
                for same in alike(steps):
                    self._add(slots, same)

    def _add(self, slots: deque[Slot], steps: Sequence[Step]) -> None:
        """Adds a slot for some steps, and its units."""
        self.ahead += len(steps)
        try:
            rows = self._fetch.rows(steps)
        except BaseException as error:
            if is_interrupt(error):
                raise
            # It belongs to these steps, and earlier batches are still to be handed out.
            slot = Slot(steps, [])
            slot.publish([], relayed(error, "preparing", steps[0]))
            slots.append(slot)
            return
        slot = Slot(steps, rows)
        self._rows_each = max(self._rows_each, len(rows) // len(steps))
        slots.append(slot)
        units = self._units(slot)
        if self._budget is not None:
            self._budget.add(units)
        else:
            for unit in units:
                self._put(unit)

    def _units(self, slot: Slot) -> Sequence[Unit]:
        """The units of a slot: one, or several for the parts of a slow batch."""
        rows, batches, epoch = len(slot.rows), len(slot.steps), slot.steps[0].epoch
        following = epoch + 1 if self._end is None or epoch + 1 < self._end else None
        size = self._policy.unit_rows(rows, self.ahead) if batches == 1 else rows
        if size >= rows:
            return (Unit(slot, 0, Task(epoch, slot.rows, batches, True, following)),)
        starts = range(0, rows, size)
        self._bench.divide(slot, len(starts))
        return [
            Unit(slot, start, Task(epoch, slot.rows[start : start + size], 1, False, following)) for start in starts
        ]
