"""What it takes to look into a run, and to open a mixture: `python -m benchmarks.steering`.

None of it reads a row, and none of it should depend on how many rows there are: each is to take under 1 ms, and to open
a mixture under 1 s.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from loadax import DataLoader, RangeDataset

ROWS, BATCH = 10**12, 1024
SOURCES, MIXED = 100, 10**9
REPEATS = 20


def milliseconds(call: Callable[[], Any], repeats: int = REPEATS) -> float:
    """The median time of a call."""
    times: list[float] = []
    for _ in range(repeats):
        began = perf_counter()
        call()
        times.append(perf_counter() - began)
    return 1e3 * median(times)


def open_mixture() -> None:
    """Opens a mixture of many sources, each a shuffle, and finds a row in the middle."""
    weights = np.random.default_rng(0).random(SOURCES).tolist()
    first, *others = [RangeDataset(10**7).shuffle(seed=seed) for seed in range(SOURCES)]
    mixture = first.mix(*others, weights={0: weights, MIXED // 2: weights[::-1]}, rows=MIXED)
    mixture.origins(MIXED // 2 + 1)


def main() -> None:
    """Measures each of them, and prints it."""
    loader = DataLoader().batch_size(BATCH).epochs(3).build(RangeDataset(ROWS).shuffle(seed=1))
    batches, middle = iter(loader), loader.steps_per_epoch // 2
    calls: dict[str, Callable[[], Any]] = {
        "get_state": batches.get_state,
        "seek": lambda: batches.seek(middle),
        f"origins of a batch of {BATCH:,}": lambda: loader.origins(middle),
        "find": lambda: loader.find(ROWS // 3),
    }
    print(f"{ROWS:.0e} shuffled rows, medians of {REPEATS}")
    for name, call in calls.items():
        print(f"{name:30} {milliseconds(call):8.3f} ms")
    print(f"{MIXED:.0e} rows of {SOURCES} sources, weights that change once, medians of 3")
    print(f"{'open, and find a row':30} {milliseconds(open_mixture, 3):8.1f} ms")


if __name__ == "__main__":
    main()
