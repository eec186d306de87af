"""How long reading takes, as far as it has been measured, and how much a worker is therefore given to do in one go."""

from __future__ import annotations

from math import inf

from ..backends.base import Crew
from ..backends.task import Done
from ..read.fetch import Fetch
from .groups import most_alike, power_of_two

SLOW_UNITS, SLOW_REMOTE_UNITS = 2, 4
"""A batch that takes as long as this many units is worth reading in parts, and where these are copied to join them."""

LARGE_SECONDS = 0.1
"""The most that a unit of items may hold, where so much is on its way that each worker could have several.

Whole batches need not be joined, and are handed over once.
"""

BRIEF_SECONDS = 5e-5
"""Of units that take less, only a sample is watched stage by stage."""

SLOWER = 1.25
"""By what factor one reading may raise the expected time of the next ones.

Now and then one takes many times as long, for reasons of the system's own: new memory is being handed out, or the
thread has lost its core. Units that follow it must not be cut smaller for that.
"""


class Pace:
    """What a window knows of the time that its work takes.

    It matters little if two workers write to it at the same time, and what one has learnt is lost.

    Attributes:
        row: Expected seconds to read a row, None as long as none has been read.
        batching: Seconds that the batcher took last; infinite as long as it has not been called.
        most: Batches that may share a slot, 0 if they cannot be cut, None as long as that is not known.
        brief: Whether units take so little time that it matters to look at the clock for each of their stages.
    """

    def __init__(self, crew: Crew, workers: int, *, gathers: bool, watched: bool) -> None:
        """Begins with nothing known.

        Args:
            crew: Does the work.
            workers: How many there are.
            gathers: Whether whole batches are gathered, without a batcher.
            watched: Whether every unit has to be watched.
        """
        self._crew = crew
        self._workers = workers
        self._watched = watched or crew.remote
        self.row: float | None = None
        self.batching = 0.0 if gathers else inf
        self.most: int | None = None
        self.brief = False

    def learn(self, fetch: Fetch, done: Done, rows: int) -> None:
        """Takes the measure of a task of so many rows."""
        seconds = done.reading / max(1, rows)
        known = self.row
        self.row = seconds if known is None else 0.8 * known + 0.2 * min(seconds, SLOWER * known)
        if done.batching:
            self.batching = done.batching
        if fetch.gathers:
            self.batching = 0.0
            if self.most is None:
                self.most = most_alike(done.values[0])
        self.brief = not self._watched and self.expected(rows) < BRIEF_SECONDS

    def expected(self, rows: int) -> float:
        """Seconds that reading so many rows, and making a batch of them, will take; infinite if nothing is known."""
        return inf if self.row is None else self.row * rows + self.batching

    def group_size(self, rows: int, limit: int) -> int:
        """How many batches are to share a slot, a power of two: those that are gathered in one unit, if they are quick.

        They take a quarter of the window at most, so that it is refilled well before it is empty.

        Args:
            rows: Rows of one batch.
            limit: The most batches that may be on their way.
        """
        if not self.most or self.most == 1 or self.row is None:
            return 1
        return power_of_two(min(self._crew.unit_seconds / max(1e-9, self.row * rows), limit // 4, self.most))

    def unit_rows(self, rows: int, *, gathers: bool, ahead: int, depth: int) -> int:
        """How many rows of a batch a worker reads in one go.

        Args:
            rows: All rows of the batch.
            gathers: Whether they are gathered.
            ahead: Batches on their way.
            depth: Batches that are kept ready.
        """
        if gathers and not self.most:
            return rows
        if self.row is None:
            # Nothing is known yet. All workers share the first batches, unless they are gathered, which is quick.
            return rows if gathers else -(-rows // self._workers)
        if gathers or self._crew.remote:
            # There are no more parts than keep every worker busy.
            units = SLOW_REMOTE_UNITS if self._crew.remote else SLOW_UNITS
            slow = self.row * rows > units * self._crew.unit_seconds
            return -(-rows // -(-self._workers // max(1, depth))) if slow else rows
        seconds = max(1e-9, self.row)
        plenty = min(ahead * rows // (4 * self._workers), LARGE_SECONDS / seconds)
        parts = -(-rows // max(1, round(self._crew.unit_seconds / seconds), round(plenty)))
        return -(-rows // max(1, parts))
