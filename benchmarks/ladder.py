"""Shows where the microseconds of a batch go: a ladder from a bare gather to the whole loader.

    python -m benchmarks.ladder --write        # into benchmarks/README.md

Each rung does what the rung before it does, and one thing more. The difference is the cost of that thing. Rungs take
turns, and the result is the median over many turns, since the differences are small.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections import deque
from collections.abc import Callable, Iterator
from itertools import count, islice
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from loadax import ArrayDataset, DataLoader, RangeDataset, ShuffledDataset
from loadax.extend import aligned_empty

from .limits import gather_into
from .loaders.loadax_adapter import identity
from .report import markdown, write_between
from .works import AUTO_DEPTHS, WORKS, Work, kept

Rung = tuple[str, Callable[[], Iterator[Any]]]


def ladder(work: Work, data: Any) -> list[Rung]:
    """The rungs that lead to a batch of a work.

    Args:
        work: The work.
        data: Its data.

    Returns:
        For each rung, a description, and a function that starts an endless iterator.
    """
    chain = DataLoader(identity) if work.kind == "numbers" else DataLoader()
    chain = chain.batch_size(work.batch, drop_remainder=True).epochs(None)
    shuffled = _shuffled(work, data)
    loaders: list[Rung] = [
        ("the loader, in the caller's thread", lambda: iter(chain.build(shuffled))),
        ("one thread ahead", lambda: iter(chain.prefetch(work.prefetch or None).build(shuffled))),
    ]
    if work.kind == "numbers":
        numbers = range(data)
        return [
            (
                "items of a list of rows",
                lambda: ([numbers[row] for row in rows.tolist()] for rows in _orders(work, shuffled)),
            ),
            (
                "items of the shuffled dataset",
                lambda: ([shuffled[row] for row in rows.tolist()] for rows in _orders(work, shuffled)),
            ),
            *loaders,
        ]
    loaders.append(("two threads ahead", lambda: iter(chain.workers(2).prefetch().build(shuffled))))
    arrays = data if isinstance(data, dict) else {"": np.asarray(data)}
    dtypes = {key: np.dtype(np.int32) if work.kind == "tokens" else array.dtype for key, array in arrays.items()}

    def buffers() -> dict[str, np.ndarray]:
        return {key: aligned_empty((work.batch, *a.shape[1:]), dtypes[key]) for key, a in arrays.items()}

    many = kept(work, sum(buffer.nbytes for buffer in buffers().values()))
    order = np.random.default_rng(0).permutation(len(shuffled))
    known = [order[i : i + work.batch] for i in range(0, len(order) - work.batch + 1, work.batch)]
    permute = shuffled._source_rows  # noqa: SLF001 (the ladder measures a private stage)
    gather = shuffled.gather
    assert gather is not None

    def take(rotation: int, rows: Callable[[], Iterator[np.ndarray]]) -> Iterator[None]:
        takes = [gather_into(arrays, buffers()) for _ in range(rotation)]
        for touch in takes:
            touch(known[0])  # the first write to a memory page is slow
        return (takes[i % rotation](here) for i, here in enumerate(rows()))

    return [
        ("`np.take` into one buffer", lambda: take(1, lambda: _cycle(known))),
        (f"into {many} buffers in turn", lambda: take(many, lambda: _cycle(known))),
        ("computing the order", lambda: take(many, lambda: (permute(rows) for rows in _orders(work, shuffled)))),
        (
            "the dataset's `gather`, in memory of its own",
            lambda: (gather(rows, aligned_empty) for rows in _orders(work, shuffled)),
        ),
        *loaders,
    ]


def climb(rungs: list[Rung], turns: int, seconds: float) -> list[float]:
    """Seconds for one batch on each rung; the median over turns."""
    running = [start() for _, start in rungs]
    sizes = [_chunk(batches, seconds) for batches in running]
    times: list[list[float]] = [[] for _ in rungs]
    for _ in range(turns):
        for batches, size, own in zip(running, sizes, times, strict=True):
            deque(islice(batches, size // 4 + AUTO_DEPTHS[1]), 1)  # uses up what was prefetched meanwhile
            began = perf_counter()
            deque(islice(batches, size), 1)
            own.append((perf_counter() - began) / size)
    return [statistics.median(own) for own in times]


def table(work: Work, rungs: list[Rung], seconds: list[float]) -> str:
    """The ladder as Markdown."""
    rows = [
        [name, f"{1e6 * now:.1f}", f"{1e6 * (now - before):+.1f}"]
        for (name, _), now, before in zip(rungs, seconds, [0.0, *seconds], strict=False)
    ]
    return f"**{work.name}**: {work.title}\n\n{markdown(['rung', 'us a batch', 'more than the rung above'], rows)}"


def main() -> int:
    """Prints a ladder for each work, or writes all of them into the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ladder", description=__doc__)
    parser.add_argument("--work", default="W1,W2,W6,W9-1,W9-32")
    parser.add_argument("--turns", type=int, default=25)
    parser.add_argument("--quick", action="store_true", help="small data and short turns, to see that it works")
    parser.add_argument("--write", action="store_true", help="into benchmarks/README.md")
    arguments = parser.parse_args()
    texts: list[str] = []
    for name in arguments.work.split(","):
        work = WORKS[name]
        if work.kind not in ("arrays", "tokens", "numbers"):
            parser.error(f"--work {name} has no ladder, which is for arrays, tokens and numbers; choose W1, W6 or W9-1")
        rungs = ladder(work, work.data(arguments.quick))
        turns, seconds = (3, 0.01) if arguments.quick else (arguments.turns, 0.1)
        texts.append(table(work, rungs, climb(rungs, turns, seconds)))
        print(texts[-1], end="\n\n", flush=True)
    if arguments.write:
        write_between(Path(__file__).parent / "README.md", "ladder", "\n\n".join(texts))
    return 0


def _shuffled(work: Work, data: Any) -> ShuffledDataset[Any]:
    if work.kind == "numbers":
        return RangeDataset(data).shuffle(seed=0)
    rows: ArrayDataset[Any] = ArrayDataset(data)
    return (rows.cast(np.int32) if work.kind == "tokens" else rows).shuffle(seed=0)


def _orders(work: Work, shuffled: ShuffledDataset[Any]) -> Iterator[np.ndarray]:
    """Yields the row numbers of each batch, epoch after epoch."""
    for _ in count():
        for start in range(0, len(shuffled) - work.batch + 1, work.batch):
            yield np.arange(start, start + work.batch)


def _cycle(rows: list[np.ndarray]) -> Iterator[np.ndarray]:
    while True:
        yield from rows


def _chunk(batches: Iterator[Any], seconds: float) -> int:
    """The number of batches that take about this many seconds."""
    size = 1
    while True:
        began = perf_counter()
        deque(islice(batches, size), 1)
        if perf_counter() - began > seconds / 2:
            return size
        size *= 2


if __name__ == "__main__":
    sys.exit(main())
