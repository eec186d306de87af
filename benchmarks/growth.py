"""Measures how the cost of a batch grows with the rows of the dataset, the rows of a batch, and the hosts.

python -m benchmarks.growth --out benchmarks/growth.json --plot benchmarks/plots/growth.svg
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import sys
from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from loadax import DataLoader, RangeDataset, simulate_hosts
from loadax.extend import Rows

DATASET_ROWS = [10**n for n in range(3, 13)]
BATCH_ROWS = [4**n for n in range(1, 9)]
HOSTS = [1, 10, 100, 1_000, 10_000]
ROWS_PER_HOST = 32
DEVICES_PER_HOST = 8


class OneHost:
    """A `ShardingStrategy` that reads the rows of one host of a large cluster, without the cluster.

    Args:
        hosts: Number of hosts, with 8 devices each.
        host: The number of this host.
    """

    def __init__(self, hosts: int, host: int) -> None:
        self._hosts, self._host = hosts, host
        self._rows: dict[int, Rows] = {}

    def local_rows(self, batch_size: int, /) -> Rows:
        """The host's rows of a global batch."""
        if batch_size not in self._rows:
            cluster = simulate_hosts(
                hosts=self._hosts,
                devices_per_host=DEVICES_PER_HOST,
                mesh_shape={"data": self._hosts * DEVICES_PER_HOST},
                batch_size=batch_size,
                dataset_length=batch_size,
            )
            self._rows[batch_size] = cluster.rows(self._host, 0)
        return self._rows[batch_size]

    def distribute_global_batch(self, local_batch: Any, /) -> Any:
        """Returns the batch unchanged, since there are no devices."""
        return local_batch


def by_dataset_rows(size: int) -> Iterator[Any]:
    """Batches of 256 of a shuffled range of `size` rows."""
    return iter(
        DataLoader().batch_size(256, drop_remainder=True).epochs(None).build(RangeDataset(size).shuffle(seed=0))
    )


def by_batch_rows(size: int) -> Iterator[Any]:
    """Batches of `size` of a shuffled range."""
    return iter(DataLoader().batch_size(size).epochs(None).build(RangeDataset(10**9).shuffle(seed=0)))


def by_hosts(hosts: int) -> Iterator[Any]:
    """The rows of the last host, in global batches of 32 rows for each of `hosts` hosts."""
    strategy = OneHost(hosts, hosts - 1)
    chain = DataLoader().batch_size(ROWS_PER_HOST * hosts, drop_remainder=True).shard(strategy).epochs(None)
    return iter(chain.build(RangeDataset(10**12).shuffle(seed=0)))


SERIES = {
    "rows of the dataset": (by_dataset_rows, DATASET_ROWS),
    "rows of a batch": (by_batch_rows, BATCH_ROWS),
    "hosts, 32 rows each": (by_hosts, HOSTS),
}


def measure(sizes: list[int], start: Any, turns: int, seconds: float) -> list[float]:
    """Microseconds for one batch at each size. Each turn measures all sizes; the result is the median over turns."""
    running = [start(size) for size in sizes]
    for batches in running:
        next(batches)
    times: list[list[float]] = [[] for _ in sizes]
    for _ in range(turns):
        for batches, own in zip(running, times, strict=True):
            done, began = 0, perf_counter()
            while (elapsed := perf_counter() - began) < seconds:
                deque(islice(batches, 16), 1)
                done += 16
            own.append(1e6 * elapsed / done)
    return [statistics.median(own) for own in times]


def main() -> int:
    """Prints and saves the series, and draws them if matplotlib is installed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short turns, to see that it works")
    parser.add_argument("--out", type=Path, help="a file for the numbers, as JSON")
    parser.add_argument("--plot", type=Path, help="a file for the plot, as SVG")
    arguments = parser.parse_args()
    turns, seconds = (1, 0.005) if arguments.quick else (9, 0.1)
    series: dict[str, dict[str, list[float]]] = {}
    for title, (start, sizes) in SERIES.items():
        series[title] = {"x": list(map(float, sizes)), "y": measure(sizes, start, turns, seconds)}
        for size, micros in zip(sizes, series[title]["y"], strict=True):
            print(f"{title:22} {size:>17,}  {micros:10.1f} us a batch", flush=True)
    # The exponent of the growth over the upper half of the sizes: 0 is flat, and 1 is linear.
    for title, points in series.items():
        half = len(points["x"]) // 2
        slope = np.polyfit(np.log(points["x"][half:]), np.log(points["y"][half:]), 1)[0]
        print(f"{title:22} grows as size to the power of {slope:.2f}")
    if arguments.out:
        arguments.out.write_text(json.dumps(series, indent=1) + "\n")
    if arguments.plot:
        if importlib.util.find_spec("matplotlib") is None:
            print("matplotlib is not installed; no plot")
        else:
            from .plots import curves  # noqa: PLC0415 - measuring needs no matplotlib

            arguments.plot.parent.mkdir(parents=True, exist_ok=True)
            print("drew", curves(series, "us a batch", arguments.plot))
    return 0


if __name__ == "__main__":
    sys.exit(main())
