"""The fixed cost of a gather: 32 rows of each kind of dataset, as a multiple of NumPy's own `x[rows]` in the same run.

Run as `python -m benchmarks.gathers`. Rows are small, so that what shows is the cost of the calls; those of the last
tables are windows of 1,024 tokens, with documents of 250 tokens on average. All kinds take turns with NumPy, several
rounds, in blocks of 100 calls; a ratio is taken within a round, and the table shows the median of the rounds. Memory
comes from the pool that loaders use. `in turn` gathers row 0 to 31, then 32 to 63, and so on.

Lines with `into a pool` and `copies of ready documents` are the least that a gather can take in NumPy: the former only
take and allocate, and the latter copy batches that were gathered with documents before, 13 bytes a token instead of 4.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from itertools import cycle
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from loadax_core.memory.pool import Pool
from loadax_datasets import ArrayDataset, BaseDataset, TokenDataset

ROWS = 32
LENGTH = 1 << 14
WINDOW = 1 << 10
CALLS = 100

BARS = {"array": 4.0, "tokens": 6.0, "concatenation": 8.0, "mixture in turn": 10.0}
"""The most that a kind may cost, as a multiple of its NumPy reference."""


def random_rows() -> Iterator[Any]:
    """Batches of random rows, over and over."""
    return cycle(np.random.default_rng(0).integers(0, LENGTH, (64, ROWS)))


def rows_in_turn() -> Iterator[Any]:
    """Batches of neighbouring rows, from the first to the last, over and over."""
    return cycle([np.arange(start, start + ROWS) for start in range(0, LENGTH - ROWS + 1, ROWS)])


def ranges_in_turn() -> Iterator[Any]:
    """The same as ranges, as loaders ask for them."""
    return cycle([range(start, start + ROWS) for start in range(0, LENGTH - ROWS + 1, ROWS)])


def gather_of(dataset: BaseDataset[Any]) -> Callable[[Any], Any]:
    """Gathers rows of a dataset into memory of a pool."""
    gather, pool = dataset.gather, Pool()
    assert gather is not None, "each dataset of this benchmark gathers"
    return lambda rows: gather(rows, pool)


def gather_range_of(dataset: BaseDataset[Any]) -> Callable[[Any], Any]:
    """Gathers neighbouring rows of a dataset into memory of a pool."""
    gather, pool = dataset.gather_range, Pool()
    return lambda rows: gather(rows, pool)


Case = tuple[str, Callable[[Any], Any], Iterator[Any]]
"""The name of what is called, the call, and its arguments."""


def cases() -> dict[str, list[Case]]:
    """What is measured: for each reference, which comes first, the kinds that are compared with it."""
    numbers = np.arange(LENGTH * 16, dtype=np.float32).reshape(LENGTH, 16)
    tokens = np.arange(LENGTH * 16 + 1, dtype=np.uint16)
    windows = tokens[: LENGTH * 16].reshape(LENGTH, 16)
    array = ArrayDataset[Any](numbers)
    half = LENGTH // 2
    joined = ArrayDataset[Any](numbers[:half]) + ArrayDataset[Any](numbers[half:])
    parts = [ArrayDataset[Any](numbers) for _ in range(3)]
    mixed = parts[0].mix(*parts[1:], weights=[3, 2, 1])
    return {
        "x[rows]": [
            ("x[rows]", lambda rows: numbers[rows], random_rows()),
            ("array", gather_of(array), random_rows()),
            ("array in turn", gather_range_of(array), ranges_in_turn()),
            ("two arrays", gather_of(ArrayDataset[Any]({"x": numbers, "y": numbers})), random_rows()),
            ("cast", gather_of(array.cast(np.float64)), random_rows()),
            ("slice", gather_of(array[1:].concat(array[:1])[1:]), random_rows()),
            ("shuffle", gather_of(array.shuffle(seed=1)), random_rows()),
            ("shuffle in turn", gather_range_of(array.shuffle(seed=1)), ranges_in_turn()),
            ("concatenation", gather_of(joined), random_rows()),
            ("concatenation in turn", gather_range_of(joined), ranges_in_turn()),
            ("mixture", gather_of(mixed), random_rows()),
            ("mixture in turn", gather_range_of(mixed), ranges_in_turn()),
            ("mixture in turn, as an array", gather_of(mixed), rows_in_turn()),
        ],
        "windows[rows]": [
            ("windows[rows]", lambda rows: windows[rows], random_rows()),
            ("tokens", gather_of(TokenDataset(tokens, 16)), random_rows()),
            ("tokens in turn", gather_range_of(TokenDataset(tokens, 16)), ranges_in_turn()),
            ("overlapping tokens", gather_of(TokenDataset(tokens, 16, stride=8)), random_rows()),
        ],
        **cases_of_windows(),
    }


def cases_of_windows() -> dict[str, list[Case]]:
    """Windows of 1,024 tokens: compared with NumPy, and those with documents compared with those without."""
    rng = np.random.default_rng(0)
    tokens = rng.integers(1, 50_000, LENGTH * WINDOW + 1).astype(np.uint16)
    ends = np.flatnonzero(rng.random(len(tokens)) < 1 / 250)
    tokens[ends] = 0
    offsets = np.concatenate([[0], ends + 1])
    windows, after = (tokens[start : start + LENGTH * WINDOW].reshape(LENGTH, WINDOW) for start in (0, 1))
    whole = {"tokens": np.int32, "targets": np.int32}

    parts = gather_of(TokenDataset(tokens, WINDOW, documents=0))(np.arange(ROWS))
    ready = [{name: values.copy() for name, values in parts.items()} for _ in range(64)]
    pool = Pool()

    def copy(batch: dict[str, Any]) -> dict[str, Any]:
        """Copies a batch that is ready into memory of a pool."""
        result = {name: pool(values.shape, values.dtype) for name, values in batch.items()}
        for name, values in batch.items():
            np.copyto(result[name], values)
        return result

    def take_of(*arrays: Any) -> Callable[[Any], Any]:
        """Gathers rows of arrays by NumPy into memory of a pool."""
        own = Pool()
        return lambda rows: [array.take(rows, 0, own((ROWS, WINDOW), array.dtype), "clip") for array in arrays]

    def tokens_of(documents: Any = None, *, targets: bool = True) -> BaseDataset[Any]:
        return TokenDataset(tokens, WINDOW, targets=targets, documents=documents)

    return {
        "w[rows]": [
            ("w[rows]", lambda rows: windows[rows], random_rows()),
            ("windows", gather_of(tokens_of(targets=False)), random_rows()),
            ("w.take into a pool", take_of(windows), random_rows()),
        ],
        "w[rows], v[rows]": [
            ("w[rows], v[rows]", lambda rows: (windows[rows], after[rows]), random_rows()),
            ("windows and targets", gather_of(tokens_of()), random_rows()),
            ("w.take, v.take into a pool", take_of(windows, after), random_rows()),
        ],
        "w[rows].astype": [
            ("w[rows].astype", lambda rows: windows[rows].astype(np.int32), random_rows()),
            ("windows, cast", gather_of(tokens_of(targets=False).cast(np.int32)), random_rows()),
        ],
        "no documents": [
            ("no documents", gather_of(tokens_of()), random_rows()),
            ("documents by end", gather_of(tokens_of(0)), random_rows()),
            ("documents by offsets", gather_of(tokens_of(offsets)), random_rows()),
            ("copies of ready documents", copy, cycle(ready)),
        ],
        "no documents, cast": [
            ("no documents, cast", gather_of(tokens_of().cast(whole)), random_rows()),
            ("documents by end, cast", gather_of(tokens_of(0).cast(whole)), random_rows()),
            ("documents by offsets, cast", gather_of(tokens_of(offsets).cast(whole)), random_rows()),
        ],
    }


def seconds(case: Case, calls: int = CALLS) -> float:
    """Seconds of one call of a case."""
    _, call, arguments = case
    rows = [next(arguments) for _ in range(calls)]
    began = perf_counter()
    for some in rows:
        call(some)
    return (perf_counter() - began) / calls


def ratios(rounds: int) -> dict[str, tuple[str, float, float]]:
    """For each kind: its reference, its cost as a multiple of that, and its cost in seconds; medians of all rounds."""
    result: dict[str, tuple[str, float, float]] = {}
    for reference, (first, *kinds) in cases().items():
        times: dict[str, list[tuple[float, float]]] = {name: [] for name, _, _ in kinds}
        for _ in range(rounds):
            for case in kinds:
                base = min(seconds(first), seconds(first))
                times[case[0]].append((seconds(case), base))
        for name, measured in times.items():
            ratio = median(own / base for own, base in measured)
            result[name] = reference, ratio, median(own for own, _ in measured)
    return result


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    arguments = parser.parse_args()
    print(f"{ROWS} rows                        cost      ratio  to            bar")
    for name, (reference, ratio, cost) in ratios(arguments.rounds).items():
        bar = f"{BARS[name]:g}x" if name in BARS else ""
        print(f"{name:30} {1e6 * cost:6.2f} us  {ratio:5.1f}x  {reference:18} {bar}")


if __name__ == "__main__":
    main()
