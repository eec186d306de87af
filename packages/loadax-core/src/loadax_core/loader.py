"""What `build()` returns: everything needed to run over the batches of a dataset, any number of times."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

from . import distributed as resolve
from .batch.pad import PadBatcher
from .batch.stack import Batcher, StackBatcher
from .checks import check_int
from .hints import LoaderHints
from .iterator import LoaderIterator
from .plan.state import flat
from .protocols import Dataset, ShardingStrategy
from .show import summary as show
from .show.preview import Preview, preview
from .spec import Run

B_co = TypeVar("B_co", covariant=True)


class Loader(LoaderHints, Generic[B_co]):
    """Batches of a dataset, in a fixed order; made by `DataLoader.build`.

    A loader holds no position: each `iter(loader)` starts from the beginning and repeats the same batches, and any
    number of iterators run independently.

    Example:
        >>> from loadax_core import DataLoader
        >>> loader = DataLoader(sum).batch_size(2).build([1, 2, 3, 4, 5])
        >>> len(loader), list(loader), list(loader)
        (3, [3, 7, 5], [3, 7, 5])
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._preview: Preview | None = None

    def __iter__(self) -> LoaderIterator[B_co]:
        """A new, independent iterator, from the start.

        Raises:
            RuntimeError: If the dataset has another length than when the loader was built.
        """
        self._check_rows()
        return LoaderIterator(self._run)

    def __len__(self) -> int:
        """The number of batches of a whole run, over all epochs.

        Raises:
            TypeError: If the loader is endless.
            OverflowError: If there are more than `len()` can count.
        """
        steps = self._run.plan.steps
        if steps is None:
            raise TypeError("a loader with epochs(None) is endless and has no len(); see loader.steps_per_epoch")
        if steps > sys.maxsize:
            raise OverflowError(
                f"a run of {steps} batches is longer than len() can say; see loader.steps_per_epoch, and steps_left of "
                "its iterators"
            )
        return steps

    def __bool__(self) -> bool:
        # Without this, `if loader` would ask for the length, which an endless loader does not have.
        return True

    @property
    def dataset(self) -> Dataset[Any]:
        """The dataset, which has `len(loader.dataset)` rows an epoch."""
        return self._run.fetch.dataset

    @property
    def batch_size(self) -> int:
        """The number of rows of a global batch, but for a last short one."""
        return self._run.plan.batch_size

    @property
    def steps_per_epoch(self) -> int:
        """The number of batches of one epoch."""
        return self._run.plan.steps_per_epoch

    @property
    def sharding_strategy(self) -> ShardingStrategy | None:
        """How batches are divided among processes and devices; None unless the loader was built with `shard`."""
        return self._run.strategy

    def epoch(self, epoch: int) -> Loader[B_co]:
        """The same loader over one epoch, shuffled as that epoch is.

        Args:
            epoch: The epoch, counted from 0.

        Raises:
            TypeError: If it is not an integer.
            ValueError: If it is negative.
        """
        plan = self._run.plan._replace(first_epoch=check_int("epoch", epoch, 0), epochs=1)
        return Loader(self._run._replace(plan=plan))

    def peek(self) -> Preview:
        """The structure of a batch, and the memory that a run needs: reads the first batch, in the caller's thread.

        Nothing is consumed, since a loader holds no position. The batch goes all the way, to devices if batches do, and
        is dropped. From then on `print(loader)` shows the memory too.

        Returns:
            Shapes, dtypes and bytes; those of later batches differ if a batcher pads.

        Raises:
            ValueError: If the loader has no batch.
            RuntimeError: If the dataset has another length than when the loader was built.
            BaseException: Whatever `next(iter(loader))` raises.
        """
        self._check_rows()
        plan = self._run.plan
        if not plan.steps_per_epoch:
            raise ValueError(
                f"this loader has no batch to look at: {plan.rows} rows make no batch of {plan.batch_size}; give it "
                "more rows, a smaller batch_size, or drop_remainder=False"
            )
        first: LoaderIterator[B_co] = LoaderIterator(self._run._replace(workers=0, prefetch=0, timeout=None))
        self._preview = preview(next(first), plan, self._run.prefetch, queued=self._run.fetch.queued)
        return self._preview

    def check_agreement(self) -> None:
        """Fails on every process if the processes have built different loaders; one of them would hang later.

        Compares the settings of the batches, the batcher by its name, how batches are divided, and the dataset's length
        and fingerprint. The data themselves are not compared. It is one collective: call it on every process, at the
        same place of the program, on the main thread.

        Raises:
            ImportError: If loadax-distributed is not installed.
            RuntimeError: If it is called on another thread than the main one.
            ValueError: If a field differs between processes; names it and shows the values.
        """
        plan = self._run.plan
        config: dict[str, str | int] = {
            "batch_size": plan.batch_size,
            "drop_remainder": str(plan.drop_remainder),
            "epochs": f"{plan.epochs} from {plan.first_epoch}",
            "batcher": _batcher_name(self._run.fetch.batcher),
            "sharding": _division(self._run.strategy),
        }
        for name, value in flat(self._run.fingerprint):
            # It may have names that the settings above have.
            config[f"dataset.{name}"] = value if isinstance(value, int) else str(value)
        resolve.check_agreement(config)

    def _check_rows(self) -> None:
        planned, rows = self._run.plan.rows, len(self.dataset)
        if rows != planned:
            raise RuntimeError(
                f"the dataset had {planned} rows when this loader was built, and has {rows} now, so that its order and "
                "its number of batches would be others; build a new loader over it"
            )

    def __repr__(self) -> str:
        return show.text(self._run, self._preview)

    def _repr_html_(self) -> str:
        return show.html(self._run, self._preview)


def _batcher_name(batcher: Any) -> str:
    """A batcher in words that are the same in every process, as those of a `repr` need not be."""
    if type(batcher) in (StackBatcher, PadBatcher):
        return repr(batcher)
    if isinstance(batcher, Batcher):
        return _batcher_name(cast("Batcher[Any, Any]", batcher).fn)
    name: str | None = getattr(batcher, "__qualname__", None)
    return name or type(batcher).__qualname__


def _division(strategy: ShardingStrategy | None) -> str:
    """How batches are divided, likewise."""
    describe: Callable[[], str] | None = getattr(strategy, "describe", None)
    return describe() if describe is not None else type(strategy).__qualname__
