"""The loops that people write instead of using a loader."""

# ruff: noqa: D102 - base.py says what a method does, and its class says how

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from itertools import count
from typing import Any

import numpy as np

from ..sources import Documents
from ..works import Work
from .base import Loader, UnsupportedError, device_put, orders

Read = Callable[[Any, np.ndarray], Any]


def read_arrays(data: dict[str, np.ndarray], rows: np.ndarray) -> dict[str, np.ndarray]:
    """The rows of every array."""
    return {key: array[rows] for key, array in data.items()}


def read_tokens(data: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Windows of tokens as int32."""
    return data[rows].astype(np.int32)


def read_items(data: Any, rows: np.ndarray) -> Any:
    """Items, stacked."""
    items = [data[row] for row in rows.tolist()]
    if isinstance(items[0], dict):
        return {key: np.stack([item[key] for item in items]) for key in items[0]}
    return np.stack(items)


def read_numbers(data: range, rows: np.ndarray) -> list[int]:
    """Items, unchanged."""
    return [data[row] for row in rows.tolist()]


def read_to_device(data: dict[str, np.ndarray], rows: np.ndarray) -> Any:
    """The rows of every array, on the device."""
    return device_put(read_arrays(data, rows))


def ahead(pool: Executor, read: Read, data: Any, batches: Iterator[np.ndarray], depth: int) -> Iterator[Any]:
    """Yields batches from an executor, and keeps `depth` futures in flight."""
    futures: deque[Future[Any]] = deque()
    with pool:
        for rows in batches:
            futures.append(pool.submit(read, data, rows))
            if len(futures) > depth:
                yield futures.popleft().result()


def pack(data: Documents, batch: int) -> Iterator[dict[str, np.ndarray]]:
    """Yields batches of packed documents: each piece goes into the first row with room, or begins the next batch."""
    counting = np.arange(data.size, dtype=np.int32)
    starts, stops = data.starts.tolist(), data.stops.tolist()
    dtypes = {"tokens": np.uint16, "targets": np.uint16, "segment_ids": np.int32, "positions": np.int32}

    def empty() -> dict[str, np.ndarray]:
        return {key: np.zeros((batch, data.size), dtype) for key, dtype in {**dtypes, "loss_mask": bool}.items()}

    for epoch in count():
        arrays, places, segments = empty(), [0] * batch, [0] * batch
        for piece in np.random.default_rng(epoch).permutation(len(data)).tolist():
            start, stop = starts[piece], stops[piece]
            most = data.size - (stop - start)
            row = next((row for row, place in enumerate(places) if place <= most), None)
            if row is None:
                yield arrays
                arrays, places, segments, row = empty(), [0] * batch, [0] * batch, 0
            place, end = places[row], places[row] + stop - start
            places[row] = end
            segments[row] += 1
            arrays["tokens"][row, place:end] = data.values[start:stop]
            arrays["targets"][row, place : end - 1] = data.values[start + 1 : stop]
            arrays["segment_ids"][row, place:end] = segments[row]
            arrays["positions"][row, place:end] = counting[: stop - start]
            arrays["loss_mask"][row, place : end - 1] = True


class Sync(Loader):
    """A permutation, and `x[rows]`."""

    def arrays(self, work: Work, data: dict[str, np.ndarray]) -> Iterator[Any]:
        return (read_arrays(data, rows) for rows in orders(len(data["image"]), work.batch))

    def tokens(self, work: Work, data: np.ndarray) -> Iterator[Any]:
        """A permutation, and `x[rows].astype(np.int32)`."""
        return (read_tokens(data, rows) for rows in orders(len(data), work.batch))

    def documents(self, work: Work, data: Documents) -> Iterator[Any]:
        """One thread: first fit of a permutation of documents into the rows of the batch, written by slices."""
        return pack(data, work.batch)

    def items(self, work: Work, data: Any) -> Iterator[Any]:
        """One thread: a list of items, and `np.stack`."""
        return (read_items(data, rows) for rows in orders(len(data), work.batch, shuffle=False))

    def numbers(self, work: Work, data: int) -> Iterator[Any]:
        """A permutation, and `[numbers[row] for row in rows]`; futures of one thread where the work prefetches."""
        if work.measure == "first":
            if data > 10**8:
                raise UnsupportedError(f"a permutation of {data:,} rows needs {8 * data / 2**30:,.0f} GiB")
            return orders(data, work.batch)
        if work.prefetch:
            return ahead(ThreadPoolExecutor(1), read_numbers, range(data), orders(data, work.batch), work.prefetch)
        return (read_numbers(range(data), rows) for rows in orders(data, work.batch))

    def device(self, work: Work, data: dict[str, np.ndarray]) -> Iterator[Any]:
        """`x[rows]` and `jax.device_put` in one thread, futures two batches ahead."""
        return ahead(ThreadPoolExecutor(1), read_to_device, data, orders(len(data["image"]), work.batch), 2)


class Threads(Loader):
    """Two threads: futures of whole batches, four ahead."""

    def arrays(self, work: Work, data: dict[str, np.ndarray]) -> Iterator[Any]:
        return ahead(ThreadPoolExecutor(2), read_arrays, data, orders(len(data["image"]), work.batch), 4)

    def tokens(self, work: Work, data: np.ndarray) -> Iterator[Any]:
        return ahead(ThreadPoolExecutor(2), read_tokens, data, orders(len(data), work.batch), 4)

    def items(self, work: Work, data: Any) -> Iterator[Any]:
        """The work's number of threads: futures of whole batches, two for each thread ahead."""
        batches = orders(len(data), work.batch, shuffle=False)
        return ahead(ThreadPoolExecutor(work.workers), read_items, data, batches, 2 * work.workers)


_data: Any = None
"""The data that forked processes inherit."""


def _read_inherited(rows: np.ndarray) -> Any:
    return read_items(_data, rows)


class Fork(Loader):
    """A pool of forked processes that inherit the data: `imap` over an epoch's batches."""

    @classmethod
    def suits(cls, work: Work) -> bool:
        """Only where items hold the GIL."""
        return work.processes

    def items(self, work: Work, data: Any) -> Iterator[Any]:
        global _data  # noqa: PLW0603 - forked processes inherit it without pickling
        _data = data
        per_epoch = len(data) // work.batch
        with multiprocessing.get_context("fork").Pool(work.workers) as pool:
            batches = orders(len(data), work.batch, shuffle=False)
            while True:
                yield from pool.imap(_read_inherited, (next(batches) for _ in range(per_epoch)))


VERSION = np.__version__
LOADERS = {"handwritten": Sync, "handwritten-threads": Threads, "handwritten-fork": Fork}
