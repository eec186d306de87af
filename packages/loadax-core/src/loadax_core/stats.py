"""Where the time of a run went."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stats:
    """What an iterator has done so far. All times are in seconds.

    Attributes:
        batches: Batches yielded.
        rows: Rows of the global batches yielded.
        elapsed: From the first call of `next` to the return of the last one.
        waited: Time the caller spent inside `next`, waiting for data.
        reading: Time spent reading rows, summed over workers.
        batching: Time spent making items into batches, summed over workers.
        placing: Time spent moving batches to devices, summed over workers.

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

    @property
    def wait_share(self) -> float:
        """The share of the elapsed time that the caller waited for data, between 0 and 1."""
        return self.waited / self.elapsed if self.elapsed else 0.0

    @property
    def rows_per_second(self) -> float:
        """Rows yielded per second elapsed."""
        return self.rows / self.elapsed if self.elapsed else 0.0

    def __str__(self) -> str:
        done = f"{self.batches:,} batches, {self.rows:,} rows in {self.elapsed:.2f} s"
        return (
            f"{done} ({self.rows_per_second:,.0f} rows/s); waited {self.waited:.2f} s for data ({self.wait_share:.1%})"
        )


@dataclass(slots=True)
class Clock:
    """Seconds spent per stage, as they add up; workers that share one hold a lock."""

    reading: float = 0.0
    batching: float = 0.0
    placing: float = 0.0
