"""Where the time of a run went."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

Kind: TypeAlias = Literal["caller", "thread", "process", "executor"]
"""Who loads: the thread that calls `next`, or workers of some kind."""

Way: TypeAlias = Literal["gather", "many", "items"]
"""How rows are read: whole batches by `gather`, many at once by `__getitems__`, or one by one by `[i]`."""


class Interval(NamedTuple):
    """A part of a run, between two of its batches.

    Attributes:
        batches: Batches yielded in it.
        elapsed: Seconds that it took.
        waited: Seconds of these that the caller waited for data.
        ready: How many batches were ready when one was asked for, on average.
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
        rows: How many rows were read together; from the batch that begins there, if there are several.
    """

    seconds: float
    row: int
    rows: int


@dataclass(frozen=True, slots=True)
class Stats:
    """What an iterator has done so far. All times are in seconds.

    Attributes:
        batches: Batches yielded.
        rows: Rows of the global batches yielded.
        elapsed: From the first call of `next` to the return of the last one.
        waited: Time the caller spent inside `next`, waiting for data.
        reading: Time spent reading rows, summed over workers. It includes the dataset's transforms: they run inside
            `dataset[i]` or `dataset.gather`, where a loader cannot see them.
        batching: Time spent making items into batches, summed over workers; none where whole batches are gathered.
        placing: Time spent moving batches to devices, summed over workers.
        first_wait: The part of `waited` that was for the first batch, when nothing could be ready.
        bytes: Size of the arrays in the batches yielded, estimated from a sample of them.
        kind: Who loads: `"caller"`, which is the thread that calls `next`, or workers, `"thread"`, `"process"` or
            `"executor"`.
        workers: How many workers load; 0 if the caller does.
        prefetch: How many batches are kept ready, at most.
        way: How rows are read: `"gather"` for whole batches, `"many"` by `__getitems__`, or `"items"`, one by one.
        busy: Time that workers spent reading, batching and placing, summed over workers.
        cpu: CPU time of threads that are workers, up to the last hundredth of a second of each.
        ready: How often 0, 1, 2, ... batches were ready when one was asked for, the first one left out; more than 64
            count as 64.
        course: The run in up to 64 pieces.
        slowest: The slowest reads, slowest first, up to five.
        cores: CPU cores that this process may use.

    Example:
        >>> print(Stats(batches=40, rows=10_000, elapsed=2.0, waited=0.1, reading=1.5, batching=0.2, placing=0.1))
        40 batches, 10,000 rows in 2.00 s (5,000 rows/s); waited 0.10 s for data (5.0%)
    """

    batches: int
    rows: int
    elapsed: float
    waited: float
    reading: float
    batching: float
    placing: float
    first_wait: float = 0.0
    bytes: int = 0
    kind: Kind = "caller"
    workers: int = 0
    prefetch: int = 0
    way: Way = "items"
    busy: float = 0.0
    cpu: float = 0.0
    ready: tuple[int, ...] = ()
    course: tuple[Interval, ...] = ()
    slowest: tuple[SlowRead, ...] = ()
    cores: int = 1

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
        """The share of the elapsed time that a worker worked, on average, between 0 and 1; 0 without workers."""
        available = self.elapsed * self.workers
        return min(1.0, self.busy / available) if available else 0.0

    def __str__(self) -> str:
        done = f"{self.batches:,} batches, {self.rows:,} rows in {self.elapsed:.2f} s"
        return (
            f"{done} ({self.rows_per_second:,.0f} rows/s); waited {self.waited:.2f} s for data ({self.wait_share:.1%})"
        )
