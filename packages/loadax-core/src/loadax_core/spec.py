"""Settings: what a `DataLoader` holds (`Settings`), and what a loader runs with (`Run`), defaults filled in."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from . import distributed as resolve
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

    from .observe.stats import Stats


class Settings(NamedTuple):
    """The settings of a `DataLoader`; None means "not set", but for `epochs` and `timeout`."""

    batcher: Callable[[list[Any]], Any]
    batch_size: int = 1
    drop_remainder: bool = False
    epochs: int | None = 1
    workers: int | None = None
    kind: Literal["thread", "process"] = "thread"
    executor: Executor | None = None
    initializer: Callable[[], object] | None = None
    prefetch: int | Literal["auto"] | None = None
    to_device: bool = False
    placement: Placement | None = None
    strategy: ShardingStrategy | None = None
    timeout: float | None = None
    skip: tuple[int, ...] = ()
    counts: Mapping[str, Callable[[Any], Any]] = {}


def plan_of(settings: Settings, rows: int) -> Plan:
    """The plan of a run: which rows make which batch.

    Args:
        settings: The settings.
        rows: Rows of the dataset.

    Raises:
        ValueError: If a run without an end would have no batch.
    """
    plan = Plan(rows, settings.batch_size, settings.drop_remainder, epochs=settings.epochs, skipped=settings.skip)
    if settings.epochs is None and not plan.steps_per_epoch:
        raise ValueError(
            f"epochs(None) would never yield a batch: {rows} rows make no batch of {plan.batch_size}; use more rows, "
            "a smaller batch_size, or drop_remainder=False"
        )
    if rows and not plan.steps_per_epoch:
        warnings.warn(
            f"there is no batch: {rows} rows are fewer than batch_size {plan.batch_size}, and drop_remainder leaves "
            "them out",
            stacklevel=4,
        )
    return plan


def placement_of(settings: Settings) -> Placement | None:
    """The placement that moves batches to devices; None if they stay on the host.

    Raises:
        ImportError: If loadax-distributed is needed and not installed.
    """
    if not settings.to_device or settings.placement is not None:
        return settings.placement
    return resolve.device_placement(True) if settings.strategy is None else settings.strategy.distribute_global_batch


class Loading(NamedTuple):
    """Who loads batches, and how far ahead: the fields of `Run` of these names."""

    workers: int
    crew: Callable[[], Crew] | None
    kind: Kind
    prefetch: int | None


def loading_of(settings: Settings, fetch: Fetch) -> Loading:
    """Who loads batches, with defaults for what is not set.

    `prefetch` or `timeout` alone needs 1 worker, and `workers` alone reads 2 batches ahead.

    Raises:
        TypeError: If processes are asked for, and the dataset cannot be pickled.
        RuntimeError: If the platform cannot share memory with worker processes.
    """
    workers, prefetch = settings.workers, settings.prefetch
    if workers is None:
        workers = int(bool(prefetch) or settings.timeout is not None)
    if prefetch is None:
        prefetch = 2 if settings.workers else 0
    crew: Callable[[], Crew] | None = None
    kind: Kind = "thread"
    # Executors and processes are imported where they are asked for: that takes half as long as all else together.
    if settings.executor is not None:
        from .backends.executor import Submitting, check_sendable  # noqa: PLC0415

        check_sendable(settings.executor, fetch)
        crew, kind = partial(Submitting, settings.executor, fetch), "executor"
    elif settings.kind == "process":
        from .backends.process import Processes  # noqa: PLC0415

        setting = f"workers({workers}, kind='process')"
        crew, kind = Processes(fetch, setting, settings.initializer, settings.timeout).crew, "process"
    return Loading(workers, crew, kind, None if prefetch == "auto" else prefetch)


def check_settings(settings: Settings) -> None:
    """Raises a `ValueError` if settings contradict each other."""
    if settings.workers == 0:
        if settings.prefetch:
            ahead = "" if settings.prefetch == "auto" else settings.prefetch
            raise ValueError(f"prefetch({ahead}) needs a worker, and workers is 0; set .workers(1)")
        if settings.timeout is not None:
            raise ValueError(f"timeout({settings.timeout:g}) needs a worker, and workers is 0; set .workers(1)")
    if settings.placement is not None and settings.strategy is not None:
        raise ValueError(
            "with .shard the mesh says where batches go, and to_device names another place; use "
            ".prefetch(to_device=True)"
        )


def check_lengths(settings: Settings) -> None:
    """Refuses a batcher with which processes would pad their pieces of a batch to different lengths.

    JAX does not notice such a batch.

    Raises:
        ValueError: If the batcher chooses a length by rows that not every process loads.
    """
    batcher, strategy, rows = settings.batcher, settings.strategy, settings.batch_size
    if not isinstance(batcher, PadBatcher) or batcher.length is not None or strategy is None:
        return
    # `splits` is the same on every process; without it, a process that loads all rows would not raise.
    if getattr(strategy, "splits", len(strategy.local_rows(rows)) < rows):
        raise ValueError(
            f"{batcher!r} chooses the length of a batch by the longest row that it is given, and not every process is "
            f"given all {rows} rows of a batch: processes would choose different lengths, and their pieces would make "
            "no global array; give one length for all batches, the longest that occurs, such as length=512"
        )


class Run(NamedTuple):
    """The checked settings of a loader.

    Attributes:
        plan: Says which rows make which batch.
        fetch: Makes batches of rows.
        workers: Number of threads that load batches, or that wait for a process each; 0 loads in the caller's thread.
        crew: Makes the processes or the executor's tasks of a run; None if threads load.
        kind: `thread`, `process` or `executor`.
        prefetch: Batches kept ready beside the caller's; None if their memory decides.
        timeout: Longest time of one read in seconds, or None.
        strategy: Divides batches among processes and devices, or None.
        fingerprint: The facts that fix the order of the rows.
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
        """Checks that every batch from `position` on can be divided among the data shards, or by the placement.

        Raises:
            ValueError: If a batch cannot; the error names the remedies.
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
                where = "which cannot be divided"
                remedy = f"fill it up with dataset.pad_to_multiple({plan.batch_size})"
                if size != plan.remainder:
                    # Another batch size has stopped inside a step. A longer dataset would not take the state.
                    where = f"counted from row {position.row}, where this run goes on, and cannot be divided"
                    remedy = "end this epoch with the batch size with which the state was saved"
                raise ValueError(
                    f"the last batch of an epoch has {size} rows instead of {plan.batch_size}, {where}; leave it out "
                    f"with .batch_size({plan.batch_size}, drop_remainder=True), or {remedy} ({error})"
                ) from error

    def stats(self, recorder: Recorder, batches: int, rows: int) -> Stats:
        """The statistics of a run that has yielded these numbers of batches and rows."""
        size = self.plan.batch_size
        # A process loads the same share of each batch.
        share = 1.0 if self.strategy is None else len(self.strategy.local_rows(size)) / size
        return recorder.stats(
            batches=batches,
            rows=rows,
            local_rows=round(share * rows),
            kind=self.kind if self.workers else "caller",
            workers=self.workers,
            read_method=self.fetch.read_method,
        )

    @property
    def _divide(self) -> Callable[[int], object] | None:
        """A check that raises a ValueError for a number of rows that cannot be divided; None if there is none."""
        if self.strategy is not None:
            return self.strategy.local_rows
        # Another batcher may make any number of rows.
        plain = type(self.fetch.batcher) in (StackBatcher, PadBatcher)
        return getattr(self.fetch.placement, "check_rows", None) if plain else None
