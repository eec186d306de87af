"""Measures the limit: what the machine does without a loader. The rate of a loader is divided by it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import cycle, islice
from time import perf_counter
from typing import Any

import numpy as np

from . import timing
from .checks import check_batches
from .loaders.handwritten_adapter import pack
from .sources import Documents
from .works import Work, kept

PACKED_BYTES = 1 << 28
"""The size of the packed rows that the limit of packing copies: 256 MiB, more than most processors cache."""


def limit(work: Work, data: Any, seconds: float) -> float:
    """The limit of a work, in batches per second.

    - Gathers: `np.take` of shuffled rows into a rotation of as many buffers as a loader keeps; the faster of one thread
      and of two threads that share nothing.
    - Packed documents: the same, of rows that were packed and stored before. Nothing is planned or cut; what is left is
      to copy 13 bytes a token: 2 of the token, 2 of its target, 4 of its segment, 4 of its position, 1 of the mask.
    - Items that sleep: a bare executor.
    - Items that compute: the rate of one thread, times the number of workers.

    Args:
        work: The work.
        data: Its data.
        seconds: How long to measure each variant.
    """
    if work.kind == "items":
        if work.limit_scale == 1:
            return timing.rate(_executor(work, data), seconds, 1)
        return work.limit_scale * timing.rate(_one_thread(work, data), seconds, 1)
    arrays = packed_rows(work, data) if isinstance(data, Documents) else data
    arrays = arrays if isinstance(arrays, dict) else {"": np.asarray(arrays)}
    dtypes = {key: np.dtype(np.int32) if work.kind == "tokens" else array.dtype for key, array in arrays.items()}
    batch_bytes = sum(
        work.batch * int(np.prod(array.shape[1:])) * dtypes[key].itemsize for key, array in arrays.items()
    )
    buffers = kept(work, batch_bytes)
    return max(_gather_rate(work, data, arrays, dtypes, buffers, threads, seconds) for threads in (1, 2))


def packed_rows(work: Work, data: Documents) -> dict[str, np.ndarray]:
    """Rows of packed documents, in memory."""
    batches = PACKED_BYTES // (13 * work.batch * data.size)
    # No more than one epoch has, so that each row differs.
    epoch = len(data.values) // (work.batch * data.size)
    packed = list(islice(pack(data, work.batch), min(batches, epoch)))
    return {key: np.concatenate([batch[key] for batch in packed]) for key in packed[0]}


def _gather_rate(
    work: Work,
    data: Any,
    arrays: dict[str, np.ndarray],
    dtypes: dict[str, np.dtype[Any]],
    buffers: int,
    threads: int,
    seconds: float,
) -> float:
    """Batches per second of several threads together, each of which gathers into its own part of the buffers."""
    length = len(next(iter(arrays.values())))
    order = np.random.default_rng(0).permutation(length)
    steps = length // work.batch
    rows = [order[i * work.batch : (i + 1) * work.batch] for i in range(steps)]
    rates = [0.0] * threads
    start = threading.Barrier(threads)

    def loop(thread: int) -> None:
        mine = rows[thread::threads]
        rotation = [
            {key: np.empty((work.batch, *a.shape[1:]), dtypes[key]) for key, a in arrays.items()}
            for _ in range(max(1, buffers // threads))
        ]
        takes = [gather_into(arrays, batch) for batch in rotation]
        for take, here in zip(takes, cycle(mine), strict=False):
            take(here)  # touches every page once
        if thread == 0:
            batch = rotation[0]
            check_batches(work, data, [batch.get("", batch)])
        start.wait()
        count, began = 0, perf_counter()
        for take, here in zip(cycle(takes), cycle(mine), strict=False):
            take(here)
            count += 1
            if count % 4 == 0 and perf_counter() - began > seconds:
                break
        rates[thread] = count / (perf_counter() - began)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(loop, range(threads)))
    return sum(rates)


def gather_into(arrays: dict[str, np.ndarray], batch: dict[str, np.ndarray]) -> Callable[[np.ndarray], None]:
    """A function that gathers rows into the memory of a batch, through a scratch buffer if dtypes differ."""
    alike = [(array, batch[key]) for key, array in arrays.items() if array.dtype == batch[key].dtype]
    other = [
        (array, np.empty(batch[key].shape, array.dtype), batch[key])
        for key, array in arrays.items()
        if array.dtype != batch[key].dtype
    ]

    def gather(rows: np.ndarray) -> None:
        for array, out in alike:
            np.take(array, rows, axis=0, out=out, mode="clip")
        for array, scratch, out in other:
            np.take(array, rows, axis=0, out=scratch, mode="clip")
            out[...] = scratch

    return gather


def _executor(work: Work, data: Any) -> Iterator[list[Any]]:
    """Yields items from an executor whose queue always holds four batches."""
    with ThreadPoolExecutor(work.workers) as pool:
        futures: deque[Future[Any]] = deque()
        for row in cycle(range(len(data))):
            futures.append(pool.submit(data.__getitem__, row))
            if len(futures) == 5 * work.batch:
                yield [futures.popleft().result() for _ in range(work.batch)]


def _one_thread(work: Work, data: Any) -> Iterator[list[Any]]:
    """Yields lists of items from a plain loop, without stacking them."""
    rows = cycle(range(len(data)))
    while True:
        yield [data[next(rows)] for _ in range(work.batch)]
