"""The numbers of a run, and the shares that follow from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..protocols import Kind, ReadMethod
from .history import Interval
from .lane import SlowRead
from .replaced import Replaced


# `Stats` has the methods that a dataclass generates, which takes a tenth of the import of this package.
@dataclass(frozen=True, slots=True, init=False, repr=False, eq=False)
class Figures:
    """What `Stats` documents: sums over a run, in seconds, rows and bytes."""

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
    read_method: ReadMethod = "items"
    busy: float = 0.0
    first_busy: float = 0.0
    cpu: float = 0.0
    core_wait: float = 0.0
    wake_wait: float = 0.0
    wake_core_wait: float = 0.0
    process_cpu: float = 0.0
    ready: tuple[int, ...] = ()
    history: tuple[Interval, ...] = ()
    slowest: tuple[SlowRead, ...] = ()
    cores: int = 1
    replaced: tuple[Replaced, ...] = ()
    counts: Mapping[str, float] = field(default_factory=dict[str, float], hash=False)
    iterator: str = field(default="", repr=False, compare=False)
    total: Figures | None = field(default=None, repr=False, compare=False)

    @property
    def wait_share(self) -> float:
        """The share of the elapsed time that the consumer waited for data, between 0 and 1."""
        return self.waited / self.elapsed if self.elapsed else 0.0

    @property
    def steady_wait_share(self) -> float:
        """The share of the time after the first batch that the consumer waited for data, between 0 and 1.

        The first batch is left out, since no batch could be ready for it.
        """
        elapsed = self.elapsed - self.first_wait
        return max(0.0, self.waited - self.first_wait) / elapsed if elapsed > 0 else 0.0

    @property
    def rows_per_second(self) -> float:
        """Rows yielded per second elapsed."""
        return self.rows / self.elapsed if self.elapsed else 0.0

    @property
    def counts_per_second(self) -> dict[str, float]:
        """What `count` has summed, per second elapsed, by name."""
        return {name: total / self.elapsed if self.elapsed else 0.0 for name, total in self.counts.items()}

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
