"""`Loader`: what `DataLoader.build` returns."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from . import distributed as resolve
from .batch.pad import PadBatcher
from .batch.stack import Batcher, StackBatcher
from .checks import check_int
from .hints import LoaderHints
from .iterator import LoaderIterator
from .plan.state import flat
from .protocols import Dataset, ShardingStrategy
from .repeats import Repeats
from .show import summary as show
from .spec import Run
from .steering import Steering

if TYPE_CHECKING:
    from .show.preview import Preview

B_co = TypeVar("B_co", covariant=True)


class Loader(LoaderHints, Steering[B_co], Generic[B_co]):
    """The batches of a dataset, in a fixed order; made by `DataLoader.build`.

    A loader has no position. Each `iter(loader)` starts at the beginning and yields the same batches, and any number of
    iterators run independently.

    Example:
        >>> from loadax_core import DataLoader
        >>> loader = DataLoader(sum).batch_size(2).build([1, 2, 3, 4, 5])
        >>> len(loader), list(loader), list(loader)
        (3, [3, 7, 5], [3, 7, 5])
    """

    def __init__(self, run: Run, repeats: Repeats | None = None) -> None:
        self._run = run
        self._repeats = repeats
        self._preview: Preview | None = None

    def __iter__(self) -> LoaderIterator[B_co]:
        """A new, independent iterator, from the start.

        It warns (`RepeatedEpochWarning`) if a loop over epochs starts the first epoch for the third time, and another
        epoch would have another order.

        Raises:
            RuntimeError: If the dataset has another length than when the loader was built.
        """
        self._check_rows()
        if self._repeats is None:
            return LoaderIterator(self._run)
        return LoaderIterator(self._run, self._repeats.begin(self.dataset))

    def __len__(self) -> int:
        """The number of batches of a run, over all epochs.

        Raises:
            TypeError: If the run has no end.
            OverflowError: If the number is larger than `sys.maxsize`.
        """
        steps = self._run.plan.steps
        if steps is None:
            raise TypeError("a loader with epochs(None) is endless and has no len(); see loader.steps_per_epoch")
        if steps > sys.maxsize:
            raise OverflowError(
                f"len() cannot return {steps}, the number of batches of this run; see loader.steps_per_epoch, and "
                "steps_left of its iterators"
            )
        return steps

    def __bool__(self) -> bool:
        # Without this, `if loader` would call `len`, which a run without an end does not have.
        return True

    @property
    def dataset(self) -> Dataset[Any]:
        """The dataset; an epoch has `len(loader.dataset)` rows."""
        return self._run.fetch.dataset

    @property
    def batch_size(self) -> int:
        """The number of rows of a global batch; the last batch of an epoch may have fewer."""
        return self._run.plan.batch_size

    @property
    def steps_per_epoch(self) -> int:
        """The number of batches of one epoch."""
        return self._run.plan.steps_per_epoch

    @property
    def sharding_strategy(self) -> ShardingStrategy | None:
        """The strategy that `shard` has set; None without `shard`."""
        return self._run.strategy

    def epoch(self, epoch: int) -> Loader[B_co]:
        """The same loader over one epoch, in the order of that epoch.

        Args:
            epoch: The epoch, counted from 0.

        Raises:
            TypeError: If `epoch` is not an integer.
            ValueError: If `epoch` is negative.
        """
        plan = self._run.plan._replace(first_epoch=check_int("epoch", epoch, 0), epochs=1)
        return Loader(self._run._replace(plan=plan))

    def peek(self) -> Preview:
        """Loads the first batch in the caller's thread, and returns its structure and the memory that a run needs.

        The batch is placed on devices if batches are, and then dropped. No iterator moves. After this call,
        `print(loader)` shows the memory too.

        Returns:
            Shapes, dtypes and bytes of the first batch; those of later batches differ if the batcher pads.

        Raises:
            ValueError: If the loader has no batch.
            RuntimeError: If the dataset has another length than when the loader was built.
            BaseException: Whatever `next(iter(loader))` raises.
        """
        from .show.preview import preview  # noqa: PLC0415 - few programs need it

        self._check_rows()
        plan = self._run.plan
        if plan.steps == 0:
            why = (
                "all of its steps are skipped; give fewer to .skip(steps=...)"
                if plan.steps_per_epoch
                else f"{plan.rows} rows make no batch of {plan.batch_size}; use more rows, a smaller batch_size, or "
                "drop_remainder=False"
            )
            raise ValueError(f"this loader has no batch to look at: {why}")
        first: LoaderIterator[B_co] = LoaderIterator(self._run._replace(workers=0, prefetch=0, timeout=None))
        self._preview = preview(next(first), plan, self._run.prefetch, queued=self._run.fetch.queued)
        return self._preview

    def check_agreement(self) -> None:
        """Raises on every process if the processes have built different loaders, which would hang later.

        It compares the batch settings, the steps that are skipped, the name of the batcher, the sharding, and the
        dataset's length and fingerprint. It does not compare the data. It is one collective: call it on every process,
        at the same place of the program, on the main thread.

        Raises:
            ImportError: If loadax-distributed is not installed.
            RuntimeError: If another thread than the main one calls it.
            ValueError: If a setting differs between processes; the error names it and shows the values.
        """
        plan = self._run.plan
        config: dict[str, str | int] = {
            "batch_size": plan.batch_size,
            "drop_remainder": str(plan.drop_remainder),
            "epochs": f"{plan.epochs} from {plan.first_epoch}",
            "skip": str([*plan.skipped]),
            "batcher": _batcher_name(self._run.fetch.batcher),
            "sharding": _division(self._run.strategy),
        }
        for name, value in flat(self._run.fingerprint):
            # The prefix keeps entries apart from the settings above.
            config[f"dataset.{name}"] = value if isinstance(value, int) else str(value)
        resolve.check_agreement(config)

    def _check_rows(self) -> None:
        planned, rows = self._run.plan.rows, len(self.dataset)
        if rows != planned:
            raise RuntimeError(
                f"the dataset had {planned} rows when this loader was built, and has {rows} now, so that the loader's "
                "order and its number of batches do not fit; build a new loader"
            )

    def __repr__(self) -> str:
        return show.text(self._run, self._preview)

    def _repr_html_(self) -> str:
        return show.html(self._run, self._preview)


def _batcher_name(batcher: Any) -> str:
    """A name of the batcher that is the same in every process; a `repr` may hold an address."""
    if type(batcher) in (StackBatcher, PadBatcher):
        return repr(batcher)
    if isinstance(batcher, Batcher):
        return _batcher_name(cast("Batcher[Any, Any]", batcher).fn)
    name: str | None = getattr(batcher, "__qualname__", None)
    return name or type(batcher).__qualname__


def _division(strategy: ShardingStrategy | None) -> str:
    """The settings of a strategy as text, the same in every process."""
    describe: Callable[[], str] | None = getattr(strategy, "describe", None)
    return describe() if describe is not None else type(strategy).__qualname__
