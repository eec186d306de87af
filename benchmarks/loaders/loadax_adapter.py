"""Loadax, as its README recommends, and with fewer settings."""

# ruff: noqa: D102, ARG002 - base.py says what a method does, and its class says how

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import numpy as np
from loadax import ArrayDataset, DataLoader, JaggedDataset, RangeDataset

from ..sources import Documents
from ..works import Work
from .base import Loader


def identity(items: list[Any]) -> list[Any]:
    """The batcher of the works that measure only the loader."""
    return items


class Recommended(Loader):
    """`.workers(n).prefetch()`: the work's number of threads, and a prefetch that sizes itself."""

    def settings(self, work: Work) -> DataLoader[Any, Any]:
        """All settings but the dataset, with endless epochs."""
        chain = self.ahead(work, DataLoader().batch_size(work.batch, drop_remainder=True))
        return chain.epochs(None)

    def ahead(self, work: Work, chain: DataLoader[Any, Any]) -> DataLoader[Any, Any]:
        """The settings in which configurations differ."""
        return chain.workers(work.workers).prefetch()

    def arrays(self, work: Work, data: dict[str, np.ndarray]) -> Iterator[Any]:
        return iter(self.settings(work).build(ArrayDataset(data).shuffle(seed=0)))

    def tokens(self, work: Work, data: np.ndarray) -> Iterator[Any]:
        return iter(self.settings(work).build(ArrayDataset(data).cast(np.int32).shuffle(seed=0)))

    def documents(self, work: Work, data: Documents) -> Iterator[Any]:
        packed = JaggedDataset.from_arrays(data.values, data.offsets).pack(data.size, seed=0)
        return iter(self.settings(work).build(packed))

    def items(self, work: Work, data: Any) -> Iterator[Any]:
        return iter(self.settings(work).build(data))

    def numbers(self, work: Work, data: int) -> Iterator[Any]:
        """`DataLoader(identity)`, `.prefetch(n)` where the work says so; `DataLoader()` for the first batch."""
        rows = RangeDataset(data).shuffle(seed=0)
        if work.measure == "first":
            return iter(DataLoader().batch_size(work.batch).prefetch(2).build(rows))
        chain = DataLoader(identity).batch_size(work.batch, drop_remainder=True).epochs(None)
        return iter((chain.prefetch(work.prefetch) if work.prefetch else chain).build(rows))

    def device(self, work: Work, data: dict[str, np.ndarray]) -> Iterator[Any]:
        """`.workers(1).prefetch(to_device=True)`."""
        chain = DataLoader().batch_size(work.batch, drop_remainder=True).epochs(None)
        return iter(chain.workers(1).prefetch(to_device=True).build(ArrayDataset(data).shuffle(seed=0)))


class OneWorker(Recommended):
    """`.prefetch()`: one thread."""

    items = numbers = device = None

    def ahead(self, work: Work, chain: DataLoader[Any, Any]) -> DataLoader[Any, Any]:
        return chain.prefetch()


class Sync(Recommended):
    """Nothing set: each batch in the caller's thread, when it is asked for."""

    numbers = device = None

    def ahead(self, work: Work, chain: DataLoader[Any, Any]) -> DataLoader[Any, Any]:
        return chain


class Processes(Recommended):
    """`.workers(n, kind="process").prefetch()`: processes, for items that hold the GIL."""

    arrays = tokens = documents = numbers = device = None

    @classmethod
    def suits(cls, work: Work) -> bool:
        """Only where items hold the GIL."""
        return work.processes

    def ahead(self, work: Work, chain: DataLoader[Any, Any]) -> DataLoader[Any, Any]:
        return chain.workers(work.workers, kind="process").prefetch()


VERSION = version("loadax")
LOADERS = {"loadax": Recommended, "loadax-1": OneWorker, "loadax-sync": Sync, "loadax-process": Processes}
