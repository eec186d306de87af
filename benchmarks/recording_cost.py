"""What Loadax's statistics cost in the shortest loops there are, those of W9, in microseconds a batch.

    python -m benchmarks.recording_cost

Two loops take turns in one process. One records as usual, and the other one has a recorder that does nothing. The cost
is the difference of their times; the bar is 1 us. CPU time is that of all threads, and other programs change it less
than wall time. It is done again in fresh processes, since where code and data come to lie makes a difference.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
from collections import deque
from collections.abc import Iterator
from itertools import islice
from math import inf
from time import perf_counter, process_time
from typing import Any

from loadax import DataLoader, RangeDataset
from loadax_core.loader import Loader
from loadax_core.observe.lane import Lane
from loadax_core.observe.recorder import Recorder

from .loaders.loadax_adapter import identity
from .report import markdown
from .runner import in_python
from .summary import Spread
from .works import WORKS

CASES = [(name, prefetch) for name in ("W9-1", "W9-32") for prefetch in (0, 2)]
"""A work, and the number of batches that are kept ready."""

BATCHES = 1280
"""In a turn of each loop."""

SKIPPED = 64
"""Batches before each turn, which the worker may have loaded meanwhile."""


class NoLane(Lane):
    """Notes nothing, and has no read looked at closely."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__()
        # No read is among the slowest.
        self.floor = inf

    def looks(self, now: float) -> bool:  # noqa: ARG002 - as in `Lane`
        """Never."""
        return False

    def add(self, *_: Any) -> None:
        """Does nothing."""


class NoRecorder(Recorder):
    """Records nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.caller = NoLane()

    def worker(self, number: int) -> Lane:  # noqa: ARG002 - as in `Recorder`
        """A lane that notes nothing."""
        return NoLane()

    def enter(self) -> float:
        """Does nothing."""
        return 0.0

    def leave(self, *_: Any) -> None:
        """Does nothing."""


def loops(name: str, prefetch: int) -> list[Iterator[Any]]:
    """The endless loop of a work, once with recording and once without."""
    work = WORKS[name]
    chain = DataLoader(identity).batch_size(work.batch, drop_remainder=True).epochs(None)
    if prefetch:
        chain = chain.prefetch(prefetch)
    loader = chain.build(RangeDataset(work.data(False)).shuffle(seed=0))
    silent: Loader[Any] = Loader(loader._run._replace(recorder=NoRecorder))  # noqa: SLF001 - there is no public way
    return [iter(loader), iter(silent)]


def cost(name: str, prefetch: int, turns: int) -> tuple[float, float]:
    """Microseconds of wall time and of CPU time that recording a batch takes, the median over turns."""
    both = loops(name, prefetch)
    walls: list[float] = []
    cpus: list[float] = []
    for turn in range(turns):
        wall, cpu = [0.0, 0.0], [0.0, 0.0]
        for which in (0, 1) if turn % 2 else (1, 0):
            deque(islice(both[which], SKIPPED), 0)
            began, used = perf_counter(), process_time()
            deque(islice(both[which], BATCHES), 0)
            cpu[which], wall[which] = process_time() - used, perf_counter() - began
        walls.append(1e6 * (wall[0] - wall[1]) / BATCHES)
        cpus.append(1e6 * (cpu[0] - cpu[1]) / BATCHES)
    return statistics.median(walls), statistics.median(cpus)


def main() -> int:
    """Prints a table of the costs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recording_cost", description=__doc__)
    parser.add_argument("--processes", type=int, default=9)
    parser.add_argument("--turns", type=int, default=40, help="in each process")
    parser.add_argument("--quick", action="store_true", help="one process and few turns, to see that it works")
    parser.add_argument("--here", action="store_true", help="prints the costs in this process, as JSON")
    arguments = parser.parse_args()
    turns, processes = (2, 1) if arguments.quick else (arguments.turns, arguments.processes)
    if arguments.here:
        gc.disable()
        print(json.dumps([cost(name, prefetch, turns) for name, prefetch in CASES]))
        return 0
    again = ("-m", f"{__package__}.recording_cost", "--here", "--turns", str(turns))
    runs: list[list[tuple[float, float]]] = [json.loads(in_python(*again)) for _ in range(processes)]
    rows = [
        [name, f"prefetch({prefetch})" if prefetch else "in the caller's thread", *map(cell, zip(*found, strict=True))]
        for (name, prefetch), found in zip(CASES, zip(*runs, strict=True), strict=True)
    ]
    print(markdown(["work", "where", "recording, us a batch", "of CPU time"], rows))
    return 0


def cell(costs: tuple[float, ...]) -> str:
    """The median over processes, with the minimum and the maximum."""
    return "{:.2f} ({:.2f} to {:.2f})".format(*(Spread.of(costs) or ()))


if __name__ == "__main__":
    sys.exit(main())
