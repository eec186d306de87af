"""Where the time of a run went."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ..protocols import Kind, Way
from ..text import WORKERS, counted, size
from .verdict import verdict


class Interval(NamedTuple):
    """A part of a run, between two of its batches.

    Attributes:
        batches: Batches yielded in it.
        elapsed: Seconds that it took.
        waited: Seconds of these that the caller waited for data.
        ready: How many batches were ready when one was asked for, on average.

    Example:
        >>> from loadax_core import DataLoader
        >>> batches = iter(DataLoader().build([1, 2, 3]))
        >>> for batch in batches:
        ...     pass
        >>> sum(interval.batches for interval in batches.stats().course)
        3
    """

    batches: int
    elapsed: float
    waited: float
    ready: float


class SlowRead(NamedTuple):
    """One of the slowest reads of a run.

    Attributes:
        seconds: How long it took.
        row: The row that was read, or the first of several.
        rows: How many rows were read together; they are of the batches that begin there.

    Example:
        >>> print(SlowRead(seconds=1.5, row=70, rows=1))
        row 70 in 1.50 s
    """

    seconds: float
    row: int
    rows: int

    def __str__(self) -> str:
        what = f"row {self.row}" if self.rows == 1 else f"{self.rows} rows from {self.row}"
        return f"{what} in {self.seconds:.2f} s"


@dataclass(frozen=True, slots=True)
class Stats:
    """What an iterator has done so far. All times are in seconds.

    Attributes:
        batches: Batches yielded.
        rows: Rows of the global batches yielded.
        elapsed: From the first call of `next` to the return of the last one. For a loop that takes less than 20 us a
            batch, the clock is looked at for every 64th of them, and for the first after a call of `stats`; what came
            since then is not in it yet.
        waited: Time the caller spent inside `next`, waiting for data. The few microseconds that handing a batch
            over takes, and `ready`, are estimated, after a run's first batches, from a few calls in each second.
        reading: Time spent inside the dataset, reading rows and transforming them, summed over workers.
        transforming: The part of `reading` that went into transforms, estimated from a sample of the reads: what
            `map` and `random_map` call, and what other datasets call by way of `transformed`.
        batching: Time spent making items into batches, summed over workers; none where whole batches are gathered. Of
            batches that are read and made in less than 50 us, only the sum of both is timed each time, and divided by
            a sample.
        placing: Time spent moving batches to devices, summed over workers.
        local_rows: Those of `rows` that this process loaded.
        first_wait: The part of `waited` that was for the first batch, when nothing could be ready.
        bytes: Size of the arrays in the batches yielded, of global ones what this process holds, estimated from a
            sample of them.
        kind: Who loads: `"caller"`, which is the thread that calls `next`, or workers, `"thread"`, `"process"` or
            `"executor"`.
        workers: How many workers load; 0 if the caller does.
        prefetch: How many batches are kept ready, at most.
        way: How rows are read: `"gather"` for whole batches, `"many"` by `__getitems__`, or `"items"`, one by one.
        busy: Time that workers spent reading, batching and placing, summed over workers; with what the caller did in
            their place while it waited.
        first_busy: How much of that was before the first batch was there.
        cpu: CPU time of workers that are threads, up to the last hundredth of a second of each.
        process_cpu: CPU time of this process since its first batch, training included.
        ready: How often 0, 1, 2, ... batches were ready when one was asked for, the first one left out. It is 0 if the
            next one was not ready, whatever is behind it; more than 64 count as 64.
        course: The run in up to 64 pieces.
        slowest: The slowest reads, slowest first, up to five.
        cores: CPU cores that this process may use.
        alone: Whether one thread loads and the others rest, since all together were no faster; they are tried again
            now and then.

    Example:
        >>> print(Stats(batches=40, rows=10_000, elapsed=2.0, waited=0.02, reading=1.5, batching=0.2, placing=0.1))
        40 batches, 10,000 rows in 2.00 s (5,000 rows/s); waited 0.02 s for data (1.0%)
        reading 1.50 s, batching 0.20 s, placing 0.10 s, by the caller
        Compute-bound: training waited for data 1.0% of the time; a faster loader would not help.
    """

    batches: int
    rows: int
    elapsed: float
    waited: float
    reading: float
    batching: float
    placing: float
    transforming: float = 0.0
    local_rows: int = 0
    first_wait: float = 0.0
    bytes: int = 0
    kind: Kind = "caller"
    workers: int = 0
    prefetch: int = 0
    way: Way = "items"
    busy: float = 0.0
    first_busy: float = 0.0
    cpu: float = 0.0
    process_cpu: float = 0.0
    ready: tuple[int, ...] = ()
    course: tuple[Interval, ...] = ()
    slowest: tuple[SlowRead, ...] = ()
    cores: int = 1
    alone: bool = False

    @property
    def wait_share(self) -> float:
        """The share of the elapsed time that the caller waited for data, between 0 and 1."""
        return self.waited / self.elapsed if self.elapsed else 0.0

    @property
    def rows_per_second(self) -> float:
        """Rows yielded per second elapsed."""
        return self.rows / self.elapsed if self.elapsed else 0.0

    @property
    def busy_share(self) -> float:
        """The share of the time that a worker worked, on average, between 0 and 1; 0 without workers.

        The time begins with the first batch, for which workers may have had to be started.
        """
        available = (self.elapsed - self.first_wait) * self.workers
        return min(1.0, max(0.0, self.busy - self.first_busy) / available) if available > 0 else 0.0

    @property
    def ready_on_average(self) -> float:
        """How many batches were ready when one was asked for, on average."""
        return sum(n * times for n, times in enumerate(self.ready)) / max(1, sum(self.ready))

    @property
    def verdict(self) -> str:
        """Whether the loader or the training step holds the run up, and the setting that would help."""
        return verdict(self)

    def __str__(self) -> str:
        speed = f"{self.rows_per_second:,.0f} rows/s"
        if self.bytes and self.elapsed:
            speed += f", {size(round(self.bytes / self.elapsed))}/s"
        done = f"{self.batches:,} batches, {self.rows:,} rows in {self.elapsed:.2f} s ({speed})"
        reading = f"reading {self.reading:.2f} s"
        if self.transforming:
            reading += f" ({self.transforming:.2f} s of it in transforms)"
        stages = f"{reading}, batching {self.batching:.2f} s, placing {self.placing:.2f} s"
        start = f", {self.first_wait:.2f} s of it for the first batch" if self.first_wait >= 0.01 else ""
        lines = [
            f"{done}; waited {self.waited:.2f} s for data ({self.wait_share:.1%}){start}",
            f"{stages}, by {self._who}",
        ]
        usual = self.reading / max(1, self.local_rows)
        slow = [read for read in self.slowest[:3] if read.seconds > max(0.01, 5 * usual * read.rows)]
        if slow:
            lines.append("slowest reads: " + ", ".join(map(str, slow)))
        return "\n".join([*lines, self.verdict])

    @property
    def _who(self) -> str:
        if not self.workers:
            return "the caller"
        alone = ", one of which loads" if self.alone else ""
        return (
            f"{counted(self.workers, *WORKERS[self.kind])}{alone}, busy {self.busy_share:.0%} of the time; "
            f"{self.ready_on_average:.1f} of {self.prefetch} batches ready on average"
        )
