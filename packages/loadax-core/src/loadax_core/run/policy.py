"""How much is loaded at once: the only place that adapts to what has been measured.

`Policy` holds one measured cost, the seconds that reading a row takes: usually, and at best. Everything else comes as
an argument. It starts nothing, reads no clock, and takes no lock: if two workers write at the same time, one
measurement is lost.
"""

from __future__ import annotations

SLOW_UNITS = 2
"""A batch that takes as long as this many units is slow: several workers share its rows."""

SLOW_REMOTE_UNITS = 4
"""The number of units from which on a batch of processes or an executor is slow: its parts have to be copied, too."""

LARGE_SECONDS = 0.1
"""Once several batches for each worker are on their way, a unit of items may hold up to this many seconds of work.

Such units are mostly whole batches: no parts are joined, and a batch is handed over once.
"""

HELP_UNITS = 2
"""The consumer runs a queued gather itself if it should take less than this many units: a wait would leave its core
without work.
"""

FRESH_UNITS = 10
"""A gather that fills new memory may be a quick one if it takes less than this many units: new pages take time, too."""

MOST_GROUPED = 64
"""Batches that are gathered in one call, at most."""

AUTO_BYTES = 64 * 2**20
AUTO_DEPTHS = (2, 64)
"""A prefetch depth that is left open fills this much memory with batches, within these depths."""

QUEUED_DEPTH = 3
"""On a GPU a transfer waits for work dispatched before it: hand out batch k once k + 1 has been placed.

That needs at least this many batches ahead.
"""


class Policy:
    """How many rows a unit has, how many batches share one, and how many are kept ready.

    Args:
        workers: How many workers load.
        unit_seconds: Seconds of work that a unit should hold: the time to hand a unit over is then small beside it.
        remote: Whether the work is done in other processes.
        gathers: Whether whole batches are gathered, without a batcher.
        divisible: Whether workers may share the rows of one batch.
        groups: Whether several batches may be gathered in one call.
        depth: Batches that are kept ready; None sizes it by their memory.
        queued: Whether batches are placed as on a GPU; see `Placement`.
        helps: Whether the consumer may run units: only gathers that call no function of the user's.

    Attributes:
        row: Seconds to read a row, as a mean of the last reads; None as long as none has been read.
        least: Seconds to read a row in the quickest of the last reads. Other programs, and memory that is new, do not
            show in it.
        most: The most rows that may share one array, 4 MiB together; 0 if a shared array cannot be cut into batches,
            None before the first batch.
        nbytes: Bytes of the largest of the last batches; 0 before the first one.
        depth: How many batches are kept ready.
        sizes_depth: Whether the depth follows from the memory that batches take.
    """

    def __init__(
        self,
        *,
        workers: int = 1,
        unit_seconds: float = 1e-3,
        remote: bool = False,
        gathers: bool = False,
        divisible: bool = True,
        groups: bool = False,
        depth: int | None = 0,
        queued: bool = False,
        helps: bool = False,
    ) -> None:
        self._helps = helps
        self._workers = workers
        self._unit_seconds = unit_seconds
        self._remote = remote
        self._gathers = gathers
        self._divisible = divisible
        self._groups = groups and gathers
        self._queued = queued
        self.sizes_depth = depth is None
        self.depth = auto_depth(0, queued) if depth is None else depth
        self.row: float | None = None
        self.least = 0.0
        self.most: int | None = None
        self.nbytes = 0

    def learn(self, rows: int, reading: float) -> None:
        """Takes the measure of a read.

        Args:
            rows: How many rows were read.
            reading: Seconds that the read took.
        """
        seconds, known = reading / max(1, rows), self.row
        if known is None:
            self.row = self.least = seconds
        else:
            self.row = 0.8 * known + 0.2 * seconds
            self.least = min(seconds, 1.05 * self.least)

    def learn_bytes(self, nbytes: int) -> None:
        """Takes the bytes of a batch: a larger one counts at once, and by 5% less with each batch that follows."""
        self.nbytes = max(nbytes, round(0.95 * self.nbytes))
        if self.sizes_depth:
            self.depth = auto_depth(self.nbytes, self._queued)

    def group(self, rows: int, limit: int = 4 * MOST_GROUPED) -> int:
        """How many batches are gathered in one call, a power of two: as many as one unit of work holds.

        A group has at most a quarter of the limit, so that the next group is loaded before the last one is used up.
        Powers of two are few, so that memory of the same sizes is used again.

        Args:
            rows: Rows of one batch, the largest one so far.
            limit: The most batches that may be on their way; the default limits no group.
        """
        if not self._groups or not self.most or self.row is None:
            return 1
        by_time = self._unit_seconds / max(1e-9, self.row * rows)
        return 1 << max(0, int(min(by_time, limit // 4, self.most // max(1, rows), MOST_GROUPED)).bit_length() - 1)

    def unit_rows(self, rows: int, ahead: int) -> int:
        """How many rows of one batch a worker reads in one go: all of them, or a part.

        Four regimes. *Whole*: the rows of a batch belong together, or it is quick. *Unknown*: nothing has been
        measured, and all workers share the first batches, unless they are gathered, which is quick. *Shared*: a slow
        gather, or a slow batch of a process, has no more parts than keep every worker busy. *Items*: a unit has as many
        items as take `unit_seconds`; more if so many batches are on their way that each worker could have four.

        Args:
            rows: All rows of the batch.
            ahead: Batches on their way.
        """
        if not self._divisible or (self._gathers and not self.most):
            return rows
        if self.row is None:
            return -(-rows // self._workers)
        if self.row * rows <= self._unit_seconds:
            return rows
        if self._gathers or self._remote:
            units = SLOW_REMOTE_UNITS if self._remote else SLOW_UNITS
            slow = self.row * rows > units * self._unit_seconds
            return -(-rows // -(-self._workers // max(1, self.depth))) if slow else rows
        seconds = max(1e-9, self.row)
        plenty = min(ahead * rows // (4 * self._workers), LARGE_SECONDS / seconds)
        parts = -(-rows // max(1, round(self._unit_seconds / seconds), round(plenty)))
        return -(-rows // max(1, parts))

    def caller_helps(self, rows: int) -> bool:
        """Whether a consumer that would wait runs queued units itself: gathers that should take at most 2 units.

        Args:
            rows: The rows of the slot that it waits for.
        """
        return self._helps and self.row is not None and self.least * rows < HELP_UNITS * self._unit_seconds

    def loaders(self, rows: int, cores: int, *, fresh: bool = False) -> int:
        """How many workers load: all, but for quick gathers one less than there are cores, since the consumer helps.

        Quick gathers wait for memory and not for the GIL, so that more threads than cores would only compete for it.

        Args:
            rows: The rows of a slot.
            cores: CPU cores that the process may use.
            fresh: Whether gathers still fill new memory, and so take longer than later ones.
        """
        units = FRESH_UNITS if fresh else HELP_UNITS
        quick = self._helps and (self.row is None or self.least * rows < units * self._unit_seconds)
        return min(self._workers, max(1, cores - 1)) if quick else self._workers


def auto_depth(nbytes: int, queued: bool) -> int:
    """The prefetch depth for batches of a size, if it is left open.

    Args:
        nbytes: Bytes of a batch; 0 if that is not known.
        queued: Whether batches are placed as on a GPU; see `Placement`.
    """
    least, most = QUEUED_DEPTH if queued else AUTO_DEPTHS[0], AUTO_DEPTHS[1]
    return min(max(least, AUTO_BYTES // nbytes), most) if nbytes else least
