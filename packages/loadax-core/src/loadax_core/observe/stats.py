"""What an iterator says of its run."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..text import WORKERS, counted, duration, rate, size, table, titled
from .figures import Figures
from .verdict import verdict

BATCHES = ("batch", "batches")


@dataclass(frozen=True, slots=True)
class Stats(Figures):
    """What an iterator has done so far. All times are in seconds.

    Attributes:
        batches: Batches yielded.
        rows: Rows of the global batches yielded.
        elapsed: From the first call of `next` to the return of the last one.
        waited: Time the consumer spent inside `next`, waiting for data.
        reading: Time spent inside the dataset, reading rows and transforming them, summed over workers.
        transforming: The part of `reading` that went into transforms, estimated from one read in 5 ms of each worker:
            what `map` and `random_map` call, and what other datasets call by way of `timed_transform`.
        batching: Time spent making items into batches, and on what `DataLoader.count` calls, summed over workers; 0
            where whole batches are gathered and nothing is counted.
        placing: Time spent moving batches to devices, summed over workers.
        local_rows: The part of `rows` that this process loaded.
        first_wait: The part of `waited` that was for the first batch, when nothing could be ready without `start()`.
        bytes: Size of the arrays in the batches yielded, estimated from a sample of the batches. Of a global array,
            what this process holds.
        kind: Who loads: `"caller"`, which is the thread that calls `next`, or workers, `"thread"`, `"process"` or
            `"executor"`.
        workers: How many workers load; 0 if the caller does.
        prefetch: How many batches are kept ready, at most.
        read_method: How rows are read: `"gather"` for whole batches, `"many"` by `__getitems__`, or `"items"`, one by
            one.
        busy: Time that workers spent reading, batching and placing, summed over workers.
        first_busy: How much of that was before the first batch was handed out, since `start()` or the first `next`.
        cpu: CPU time of loading, summed over workers; estimated from one read in 5 ms of each, but for threads, whose
            CPU time is known to within 5 ms.
        core_wait: Time of loading in which a thread was ready to run and waited for a CPU core, on Linux, summed over
            workers; estimated from one read in 5 ms of each. What `cpu` and `core_wait` leave of the loading was spent
            waiting for storage, a network, the GIL or another lock.
        wake_wait: The part of `waited` in which the batch was ready, and the consumer waited for the GIL or for a core.
        wake_core_wait: The part of `wake_wait` in which it waited for a core, on Linux; estimated from a sample.
        process_cpu: CPU time of this process since its first batch, training included.
        ready: How often 0, 1, 2, ... batches were ready when one was asked for. The first one is left out, unless
            `start()` had it loaded ahead. It is 0 if the next one was not ready, whatever is behind it; more than 64
            count as 64.
        history: The run in up to 64 pieces.
        slowest: The slowest reads, slowest first, up to 5. In one read in 5 ms of each worker, rows that are read one
            by one are timed one by one; of the others, the whole read is.
        cores: CPU cores that this process may use.
        replaced: The rows that the dataset could not read and has replaced, in the batches yielded; each row once. See
            `Tolerance`.
        counts: Sums of what `DataLoader.count` counts in the batches yielded, by name.
        iterator: Tells iterators apart.
        total: Of an interval, the statistics of the whole run at its end; else None.

    Example:
        >>> print(Stats(batches=40, rows=10_000, elapsed=2.0, waited=0.02, reading=1.5, batching=0.2, placing=0.1))
        40 batches, 10,000 rows in 2.00 s (5,000 rows/s); waited 0.02 s for data (1.0%)
        reading 1.50 s, batching 0.20 s, placing 0.10 s, by the caller
        Compute-bound: training waited for data 1.0% of the time; a faster loader would not help.
    """

    total: Stats | None = field(default=None, repr=False, compare=False)

    @property
    def verdict(self) -> str:
        """Whether the loader or the training step limits the run, and the setting that would help."""
        return verdict(self)

    def __str__(self) -> str:
        speed = f"{self.rows_per_second:,.0f} rows/s"
        speed += "".join(f", {rate(number, name)}" for name, number in self.counts_per_second.items())
        if self.bytes and self.elapsed:
            speed += f", {size(round(self.bytes / self.elapsed))}/s"
        done = f"{counted(self.batches, *BATCHES)}, {counted(self.rows, 'row')} in {duration(self.elapsed)} ({speed})"
        reading = f"reading {duration(self.reading)}"
        if self.transforming:
            reading += f" ({duration(self.transforming)} of it in transforms)"
        stages = f"{reading}, batching {duration(self.batching)}, placing {duration(self.placing)}"
        start = f", {duration(self.first_wait)} of it for the first batch" if self.first_wait >= 0.01 else ""
        lines = [
            f"{done}; waited {duration(self.waited)} for data ({self.wait_share:.1%}){start}",
            f"{stages}, by {self._who}",
        ]
        # One read may have taken longer than all others together.
        others = self.reading - sum(read.seconds for read in self.slowest)
        usual = max(0.0, others) / max(1, self.local_rows)
        slow = [read for read in self.slowest[:3] if read.seconds > max(0.01, 5 * usual * read.rows)]
        if slow:
            lines.append("slowest reads: " + ", ".join(map(str, slow)))
        if self.replaced:
            shown = [*map(str, self.replaced[:3]), *(["..."] if len(self.replaced) > 3 else [])]
            lines.append(f"replaced {counted(len(self.replaced), 'row')} that could not be read: {', '.join(shown)}")
        return "\n".join([*lines, self.verdict])

    def _repr_html_(self) -> str:
        facts = [(line,) for line in str(self).removesuffix(self.verdict).splitlines()]
        cells = [
            (name, duration(seconds), f"{seconds / self.elapsed:.1%}" if self.elapsed else "")
            for name, seconds in (
                ("waiting for data", self.waited),
                ("reading", self.reading),
                ("of it in transforms", self.transforming),
                ("batching", self.batching),
                ("placing", self.placing),
            )
        ]
        return titled(self.verdict, table(cells) + table(facts))

    @property
    def _who(self) -> str:
        if not self.workers:
            return "the caller"
        return (
            f"{counted(self.workers, *WORKERS[self.kind])}, busy {self.busy_share:.0%} of the time; "
            f"{self.ready_on_average:.1f} of {self.prefetch} batches ready on average"
        )
