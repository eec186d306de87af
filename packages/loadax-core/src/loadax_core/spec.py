"""The checked settings that the builder makes and everything else reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from .backends.base import Crew
from .batch.pad import PadBatcher
from .batch.stack import StackBatcher
from .errors import add_note
from .observe.recorder import Recorder
from .plan.steps import Plan, Position
from .protocols import Kind, Placement, ShardingStrategy
from .read.fetch import Fetch

if TYPE_CHECKING:
    from concurrent.futures import Executor


class Settings(NamedTuple):
    """What a chain of calls has set so far; None is "not set"."""

    batcher: Callable[[list[Any]], Any]
    batch_size: int = 1
    drop_remainder: bool = False
    epochs: int | None = 1
    workers: int | None = None
    kind: Literal["thread", "process"] = "thread"
    executor: Executor | None = None
    prefetch: int | Literal["auto"] | None = None
    to_device: bool = False
    placement: Placement | None = None
    strategy: ShardingStrategy | None = None
    timeout: float | None = None


def check_lengths(settings: Settings) -> None:
    """Refuses batches that each process would pad to another length, which JAX does not notice."""
    batcher, strategy, rows = settings.batcher, settings.strategy, settings.batch_size
    if not isinstance(batcher, PadBatcher) or batcher.length is not None or strategy is None:
        return
    # Alike on every process, one of which may be given all rows, where the strategy can say so.
    if getattr(strategy, "splits", len(strategy.local_rows(rows)) < rows):
        raise ValueError(
            f"{batcher!r} pads to the longest of the rows that it is given, and not every process is given all "
            f"{rows} of a batch, so that the pieces would differ in shape; use PadBatcher(length=...)"
        )


class Run(NamedTuple):
    """The checked settings of a loader.

    Attributes:
        plan: Which rows make which batch.
        fetch: How rows become batches.
        workers: Threads that load batches; 0 loads in the caller's thread.
        crew: Makes what does their work for them in each run; None if they do it themselves.
        kind: `thread`, `process` or `executor`.
        prefetch: Batches kept ready ahead of the caller; None sizes it from the first batch.
        timeout: Seconds that one read may take, or None.
        strategy: How batches are divided among processes and devices, or None.
        fingerprint: What fixes the order of the rows.
        recorder: Makes what records a run; one that records nothing shows what recording costs.
    """

    plan: Plan
    fetch: Fetch
    workers: int
    crew: Callable[[], Crew] | None
    kind: Kind
    prefetch: int | None
    timeout: float | None
    strategy: ShardingStrategy | None
    fingerprint: dict[str, Any]
    recorder: Callable[[], Recorder] = Recorder

    def check_divisible(self, position: Position) -> None:
        """Makes sure that every batch from `position` on can be divided among the data shards, or by the placement.

        Raises:
            ValueError: If one cannot; names the remedies.
        """
        plan, check = self.plan, self._divide
        if check is None:
            return
        try:
            check(plan.batch_size)
        except ValueError as error:
            if plan.batch_size == 1:
                add_note(error, "loadax: set .batch_size(n); left out, it is 1")
            raise
        if plan.drop_remainder:
            return
        for size in {plan.remainder, (plan.rows - position.row) % plan.batch_size} - {0}:
            try:
                check(size)
            except ValueError as error:
                raise ValueError(
                    f"the last batch of an epoch has {size} rows instead of {plan.batch_size}, which cannot be "
                    f"divided; leave it out with .batch_size({plan.batch_size}, drop_remainder=True), or fill it up "
                    f"with dataset.pad_to_multiple({plan.batch_size}) ({error})"
                ) from error

    @property
    def _divide(self) -> Callable[[int], object] | None:
        """What raises a ValueError for a number of rows that cannot be divided; None where that is not known."""
        if self.strategy is not None:
            return self.strategy.local_rows
        # How many rows another batcher makes of them, only it knows.
        plain = type(self.fetch.batcher) in (StackBatcher, PadBatcher)
        return getattr(self.fetch.placement, "check_rows", None) if plain else None
