"""SPDL: https://facebookresearch.github.io/spdl."""

# ruff: noqa: D102 - base.py says what a method does, and its class says how

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib.metadata import version
from itertools import count
from multiprocessing import get_context
from typing import Any

import numpy as np
from spdl.pipeline import PipelineBuilder

from ..works import Work
from .base import Loader, device_put, orders


def gather(data: dict[str, np.ndarray], rows: np.ndarray) -> dict[str, np.ndarray]:
    """The rows of every array."""
    return {key: array[rows] for key, array in data.items()}


def cast(data: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Windows of tokens as int32."""
    return data[rows].astype(np.int32)


def stack(items: list[Any]) -> Any:
    """Items, stacked to a batch."""
    if isinstance(items[0], dict):
        return {key: np.stack([item[key] for item in items]) for key in items[0]}
    return np.stack(items)


def to_device(data: dict[str, np.ndarray], rows: np.ndarray) -> Any:
    """The rows of every array, on the device."""
    return device_put(gather(data, rows))


_data: Any = None


def _inherit(data: Any) -> None:
    global _data  # noqa: PLW0603 - the executor sends it to each process once
    _data = data


def _read(row: int) -> Any:
    return _data[row]


def _read_batch(rows: np.ndarray) -> Any:
    return stack([_data[row] for row in rows.tolist()])


def run(builder: PipelineBuilder[Any, Any], threads: int) -> Iterator[Any]:
    """Yields the output of a pipeline. The pipeline ends when nothing refers to the iterator any more."""
    pipeline = builder.build(num_threads=threads)
    with pipeline.auto_stop():
        yield from pipeline


class Threads(Loader):
    """Row numbers piped through `x[rows]` on two threads, in order of input, four batches ahead."""

    def arrays(self, work: Work, data: dict[str, np.ndarray]) -> Iterator[Any]:
        return self._gathers(work, len(data["image"]), partial(gather, data), 2)

    def tokens(self, work: Work, data: np.ndarray) -> Iterator[Any]:
        return self._gathers(work, len(data), partial(cast, data), 2)

    def items(self, work: Work, data: Any) -> Iterator[Any]:
        """The work's number of threads read items, aggregated; processes read batches where items hold the GIL."""
        if work.processes:
            executor = ProcessPoolExecutor(work.workers, get_context("spawn"), _inherit, (data,))
            builder = PipelineBuilder().add_source(orders(len(data), work.batch, shuffle=False))
            builder = builder.pipe(_read_batch, executor=executor, concurrency=work.workers, output_order="input")
            return run(builder.add_sink(4), 1)
        rows = (row for _ in count() for row in range(len(data)))
        builder = PipelineBuilder().add_source(rows)
        builder = builder.pipe(data.__getitem__, concurrency=work.workers, output_order="input")
        return run(builder.aggregate(work.batch).pipe(stack).add_sink(4), work.workers + 1)

    def device(self, work: Work, data: dict[str, np.ndarray]) -> Iterator[Any]:
        """Row numbers piped through `x[rows]` and `jax.device_put` on one thread, two batches ahead."""
        return self._gathers(work, len(data["image"]), partial(to_device, data), 1)

    def _gathers(self, work: Work, length: int, read: Callable[[Any], Any], threads: int) -> Iterator[Any]:
        builder = PipelineBuilder().add_source(orders(length, work.batch, shuffle=True))
        builder = builder.pipe(read, concurrency=threads, output_order="input")
        return run(builder.add_sink(2 * threads), threads)


VERSION = version("spdl-core")
LOADERS = {"spdl": Threads}
