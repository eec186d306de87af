"""What it takes to hand tiny batches from a thread to the loop: Loadax beside others, as multiples of the hand-written.

Run as `python -m benchmarks.handover`. Batches are those of W9 with `prefetch(2)`: shuffled integers, hardly any work.
Each kind runs in a process of its own, several rounds in turns. A ratio is taken within a round, and the table shows
the medians:

- `hand-written`: futures of one thread, two batches ahead.
- `Loadax`: `.prefetch(2)`.
- `step and queues`: a thread that calls `next` of a Loadax iterator without workers, and two `SimpleQueue`s between it
  and the loop. It has no statistics, no timeout and no errors, and does not end. So it is the least that Loadax could
  take if each batch is handed over by itself.
- `queues alone`: the same without any batch.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, repeat
from queue import SimpleQueue
from statistics import median
from time import perf_counter
from typing import Any

from loadax import DataLoader, RangeDataset

from .loaders.base import orders
from .loaders.handwritten_adapter import ahead, read_numbers
from .loaders.loadax_adapter import identity

ROWS = 1_000_000
DEPTH = 2
WARM, BATCHES = 3_000, 60_000


def loader(batch: int) -> DataLoader[Any, Any]:
    """The settings of both kinds that use Loadax."""
    return DataLoader(identity).batch_size(batch, drop_remainder=True).epochs(None)


def hand_written(batch: int) -> Iterator[Any]:
    """Futures of one thread."""
    return ahead(ThreadPoolExecutor(1), read_numbers, range(ROWS), orders(ROWS, batch), DEPTH)


def loadax(batch: int) -> Iterator[Any]:
    """Loadax with a worker."""
    return iter(loader(batch).prefetch(DEPTH).build(RangeDataset(ROWS).shuffle(seed=0)))


def queues(batches: Iterator[Any]) -> Iterator[Any]:
    """Batches that a thread takes from an iterator."""
    free: SimpleQueue[None] = SimpleQueue()
    made: SimpleQueue[Any] = SimpleQueue()

    def work() -> None:
        for batch in batches:
            free.get()
            made.put(batch)

    for _ in range(DEPTH):
        free.put(None)
    threading.Thread(target=work, daemon=True).start()
    while True:
        batch = made.get()
        free.put(None)
        yield batch


KINDS: dict[str, Callable[[int], Iterator[Any]]] = {
    "hand-written": hand_written,
    "Loadax": loadax,
    "step and queues": lambda batch: queues(iter(loader(batch).build(RangeDataset(ROWS).shuffle(seed=0)))),
    "queues alone": lambda batch: queues(repeat([0] * batch)),
}


def seconds(kind: str, batch: int) -> float:
    """Seconds of one batch, in this process."""
    batches = KINDS[kind](batch)
    for _ in islice(batches, WARM):
        pass
    began = perf_counter()
    for _ in islice(batches, BATCHES):
        pass
    return (perf_counter() - began) / BATCHES


def main() -> None:
    """Prints a table, or as a process of its own one time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--kind", choices=KINDS, help="measure one kind in this process")
    arguments = parser.parse_args()
    if arguments.kind:
        print(seconds(arguments.kind, arguments.batch), flush=True)
        # A thread that waits in a queue would keep the program from its end.
        os._exit(0)
    rounds: list[dict[str, float]] = []
    for _ in range(arguments.rounds):
        command = [sys.executable, "-m", "benchmarks.handover", "--batch", str(arguments.batch), "--kind"]
        rounds.append({kind: float(subprocess.check_output([*command, kind])) for kind in KINDS})
    print(f"batch {arguments.batch:3}             time   ratio")
    for kind in KINDS:
        ratio = median(times[kind] / times["hand-written"] for times in rounds)
        print(f"{kind:16} {1e6 * median(times[kind] for times in rounds):7.2f} us  {ratio:5.2f}x")


if __name__ == "__main__":
    main()
