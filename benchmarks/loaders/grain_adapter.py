"""Grain: https://google-grain.readthedocs.io."""

# ruff: noqa: D102 - base.py says what a method does, and its class says how

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from importlib.metadata import version
from typing import Any

import grain
import numpy as np
from absl import flags

from ..sources import Documents
from ..works import Work
from .base import Loader, device_put

NO_THREADS = grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)
TWO_AHEAD = grain.ReadOptions(num_threads=1, prefetch_buffer_size=2)


class Records:
    """Arrays as a source that has one dict for each row."""

    def __init__(self, data: dict[str, np.ndarray]) -> None:
        self._data = data

    def __len__(self) -> int:
        return length_of(self._data)

    def __getitem__(self, row: int) -> dict[str, Any]:
        return {key: array[row] for key, array in self._data.items()}


class Pieces:
    """Documents as a source of pieces that fit into a row."""

    def __init__(self, data: Documents) -> None:
        self._data = data

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, piece: int) -> dict[str, np.ndarray]:
        return {"tokens": self._data.values[self._data.starts[piece] : self._data.stops[piece]]}


class WholeBatches:
    """Arrays as a source of batches, whose rows are in a fixed random order."""

    def __init__(self, data: dict[str, np.ndarray] | np.ndarray, batch: int) -> None:
        self._data, self._batch = data, batch
        self._order = np.random.default_rng(0).permutation(length_of(data))

    def __len__(self) -> int:
        return len(self._order) // self._batch

    def __getitem__(self, index: int) -> Any:
        return gather(self._data, self._order[index * self._batch : (index + 1) * self._batch])


def length_of(data: dict[str, np.ndarray] | np.ndarray) -> int:
    """The number of rows."""
    return len(next(iter(data.values()))) if isinstance(data, dict) else len(data)


def gather(data: dict[str, np.ndarray] | np.ndarray, rows: np.ndarray) -> Any:
    """The rows of every array, or windows of tokens as int32."""
    if isinstance(data, dict):
        return {key: array[rows] for key, array in data.items()}
    return data[rows].astype(np.int32)


def with_targets(packed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays of packed rows: Grain's own, targets, and where there are any."""
    tokens, segments = packed["tokens"], packed["tokens_segment_ids"]
    targets, mask = np.zeros_like(tokens), np.zeros(tokens.shape, np.bool_)
    mask[:, :-1] = (segments[:, 1:] == segments[:, :-1]) & (segments[:, :-1] > 0)
    np.multiply(tokens[:, 1:], mask[:, :-1], out=targets[:, :-1])
    own = {"segment_ids": segments, "positions": packed["tokens_positions"]}
    return {"tokens": tokens, "targets": targets, **own, "loss_mask": mask}


def identity(items: Sequence[Any]) -> list[Any]:
    """The batcher of the works that measure only the loader."""
    return list(items)


class Fast(Loader):
    """Row numbers shuffled and batched before `to_iter_dataset`, `x[rows]` mapped over batches; no read threads."""

    def gathers(self, work: Work, data: Any) -> Any:
        """A dataset of batches. `Prebatched` overrides it."""
        rows = grain.MapDataset.range(length_of(data)).shuffle(seed=0).batch(work.batch, drop_remainder=True)
        return rows.map(partial(gather, data)).repeat()

    def arrays(self, work: Work, data: dict[str, np.ndarray]) -> Iterator[Any]:
        return iter(self.gathers(work, data).to_iter_dataset(NO_THREADS))

    def tokens(self, work: Work, data: np.ndarray) -> Iterator[Any]:
        return iter(self.gathers(work, data).to_iter_dataset(NO_THREADS))

    def device(self, work: Work, data: dict[str, np.ndarray]) -> Iterator[Any]:
        """As for arrays, and `jax.device_put` mapped over batches; one read thread, two ahead."""
        return iter(self.gathers(work, data).map(device_put).to_iter_dataset(TWO_AHEAD))

    def documents(self, work: Work, data: Documents) -> Iterator[Any]:
        """Documents cut beforehand, `FirstFitPackIterDataset` of 64 bins, targets added to batches; no read threads.

        On two cores, read threads, `ThreadPrefetchIterDataset`, `mp_prefetch` of one or two processes and
        `BestFitPackIterDataset` were slower or no faster.
        """
        pieces = grain.MapDataset.source(Pieces(data)).shuffle(seed=0).repeat().to_iter_dataset(NO_THREADS)
        packed = grain.experimental.FirstFitPackIterDataset(
            pieces, length_struct={"tokens": data.size}, num_packing_bins=64
        )
        return iter(packed.batch(work.batch).map(with_targets))

    def items(self, work: Work, data: Any) -> Iterator[Any]:
        """A read thread per worker, batched afterwards; `mp_prefetch` of batches where items hold the GIL."""
        items = grain.MapDataset.source(data).repeat()
        if work.processes:
            flags.FLAGS.mark_as_parsed()  # like `absl.app.run`: worker processes read flags
            options = grain.MultiprocessingOptions(num_workers=work.workers)
            return iter(items.batch(work.batch).to_iter_dataset(NO_THREADS).mp_prefetch(options))
        # A read thread reads one element at a time. If batched before, one thread would read a whole batch.
        reading = grain.ReadOptions(num_threads=work.workers, prefetch_buffer_size=4 * work.batch)
        return iter(items.to_iter_dataset(reading).batch(work.batch))

    def numbers(self, work: Work, data: int) -> Iterator[Any]:
        """`MapDataset.range(n).shuffle(seed)`, batched before `to_iter_dataset`; one thread where work prefetches."""
        batcher = None if work.measure == "first" else identity
        batches = grain.MapDataset.range(data).shuffle(seed=0).batch(work.batch, drop_remainder=True, batch_fn=batcher)
        return iter(batches.repeat().to_iter_dataset(TWO_AHEAD if work.prefetch else NO_THREADS))


class Prebatched(Fast):
    """A source of whole batches that does `x[rows]` itself, in one order; Grain shuffles batches. No read threads."""

    documents = items = numbers = None

    def gathers(self, work: Work, data: Any) -> Any:
        """Each element of the source is a batch, so that Grain's cost of an element arises once for a batch."""
        return grain.MapDataset.source(WholeBatches(data, work.batch)).shuffle(seed=0).repeat()


class Default(Loader):
    """Records, batched after `to_iter_dataset`, whose defaults are 16 read threads and 500 elements ahead."""

    def arrays(self, work: Work, data: dict[str, np.ndarray]) -> Iterator[Any]:
        rows = grain.MapDataset.source(Records(data)).shuffle(seed=0).repeat()
        return iter(rows.to_iter_dataset().batch(work.batch))

    def tokens(self, work: Work, data: np.ndarray) -> Iterator[Any]:
        windows = grain.MapDataset.source(data).map(lambda window: window.astype(np.int32))
        return iter(windows.shuffle(seed=0).repeat().to_iter_dataset().batch(work.batch))


VERSION = version("grain")
LOADERS = {"grain": Fast, "grain-prebatched": Prebatched, "grain-default": Default}
