"""PyTorch's DataLoader."""

# ruff: noqa: D102 - base.py says what a method does, and its class says how

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, SequentialSampler

from ..works import Work
from .base import Loader, UnsupportedError, device_put


class Batches:
    """Arrays whose index is all rows of a batch."""

    def __init__(self, data: dict[str, np.ndarray]) -> None:
        self._data = {key: torch.from_numpy(array) for key, array in data.items()}

    def __len__(self) -> int:
        return len(next(iter(self._data.values())))

    def __getitem__(self, rows: list[int]) -> dict[str, torch.Tensor]:
        return {key: array[rows] for key, array in self._data.items()}


class Windows:
    """Windows of tokens, whose index is all rows of a batch."""

    def __init__(self, data: np.ndarray) -> None:
        self._data = data

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, rows: list[int]) -> torch.Tensor:
        return torch.from_numpy(self._data[rows].astype(np.int32))


class Rows:
    """Arrays whose index is one row, like most datasets."""

    def __init__(self, data: dict[str, np.ndarray] | np.ndarray) -> None:
        self._data = data

    def __len__(self) -> int:
        return len(next(iter(self._data.values()))) if isinstance(self._data, dict) else len(self._data)

    def __getitem__(self, row: int) -> Any:
        if isinstance(self._data, dict):
            return {key: array[row] for key, array in self._data.items()}
        return self._data[row].astype(np.int32)


def identity(items: list[Any]) -> list[Any]:
    """The batcher of the works that measure only the loader."""
    return items


def endless(loader: DataLoader[Any]) -> Iterator[Any]:
    """Yields batches of epoch after epoch."""
    while True:
        yield from loader


class Batched(Loader):
    """A BatchSampler as sampler and `batch_size=None`, so that the dataset indexes whole batches; no workers."""

    def arrays(self, work: Work, data: dict[str, np.ndarray]) -> Iterator[Any]:
        return endless(self._loader(work, Batches(data)))

    def tokens(self, work: Work, data: np.ndarray) -> Iterator[Any]:
        return endless(self._loader(work, Windows(data)))

    def items(self, work: Work, data: Any) -> Iterator[Any]:
        """The work's number of workers, persistent, which are processes; four batches ahead of each."""
        batches = BatchSampler(SequentialSampler(data), work.batch, drop_last=True)
        workers = {"num_workers": work.workers, "persistent_workers": True, "prefetch_factor": 4}
        return endless(DataLoader(data, batch_sampler=batches, **workers))

    def numbers(self, work: Work, data: int) -> Iterator[Any]:
        """`shuffle=True`; `num_workers=1` where the work prefetches."""
        if data > 10**8:
            raise UnsupportedError(f"its sampler holds a permutation of {data:,} rows: {8 * data / 2**30:,.0f} GiB")
        if work.measure == "first":
            return iter(DataLoader(range(data), work.batch, shuffle=True))
        options: dict[str, Any] = {"num_workers": 1, "persistent_workers": True} if work.prefetch else {}
        return endless(
            DataLoader(range(data), work.batch, shuffle=True, drop_last=True, collate_fn=identity, **options)
        )

    def device(self, work: Work, data: dict[str, np.ndarray]) -> Iterator[Any]:
        """A BatchSampler and `batch_size=None`, one worker process, then `jax.device_put`."""
        loader = self._loader(work, Batches(data), num_workers=1, persistent_workers=True)
        return (device_put({key: value.numpy() for key, value in batch.items()}) for batch in endless(loader))

    def _loader(self, work: Work, data: Any, **options: Any) -> DataLoader[Any]:
        batches = BatchSampler(RandomSampler(data), work.batch, drop_last=True)
        return DataLoader(data, sampler=batches, batch_size=None, **options)


class Default(Loader):
    """`DataLoader(dataset, batch_size, shuffle=True)`: item by item, no workers."""

    def arrays(self, work: Work, data: dict[str, np.ndarray]) -> Iterator[Any]:
        return endless(DataLoader(Rows(data), work.batch, shuffle=True, drop_last=True))

    def tokens(self, work: Work, data: np.ndarray) -> Iterator[Any]:
        return endless(DataLoader(Rows(data), work.batch, shuffle=True, drop_last=True))


VERSION = torch.__version__
LOADERS = {"torch": Batched, "torch-default": Default}
