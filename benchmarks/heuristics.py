"""What each heuristic of Loadax buys: the time of a step without it, over that with it.

    python -m benchmarks.heuristics group parts        # some of them; all without a name

Two iterators take turns in one process, mostly beside the same jitted step. One of them has the heuristic switched off.
A ratio above 1 says that a step takes longer without the heuristic. `docs/design.md` says what each one decides from.
One is missing here, since it needs a GPU: batches are handed out one later there.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from time import perf_counter, process_time, sleep
from typing import Any, NamedTuple

import numpy as np
from loadax import ArrayDataset, DataLoader

from . import sources
from .report import markdown
from .runner import in_python
from .summary import Spread
from .works import Work

TURN_SECONDS = 0.25
"""How long each of the two iterators has its turn; a third of it is not measured."""


class Waits:
    """Rows of 8 KiB that wait, as for a disk; one of many may wait longer."""

    def __init__(self, usual: float, seldom: float = 0.0, every: int = 1 << 40) -> None:
        self._usual, self._seldom, self._every = usual, seldom, every
        self._bytes = np.random.default_rng(0).integers(0, 255, 2048, np.uint8)

    def __len__(self) -> int:
        return 1 << 16

    def __getitem__(self, row: int) -> np.ndarray:
        if not 0 <= row < len(self):
            raise IndexError(row)
        sleep(self._seldom if row % self._every == self._every - 1 else self._usual)
        return self._bytes.astype(np.float32)


class Cold(Waits):
    """The same rows, gathered: each waits, as for the pages of a mapped file that are not in memory."""

    rowwise = True

    def gather(self, rows: Any, alloc: Callable[..., np.ndarray]) -> np.ndarray:
        """The rows, once all have been waited for."""
        sleep(self._usual * len(rows))
        out = alloc((len(rows), len(self._bytes)), np.dtype(np.float32))
        out[...] = self._bytes
        return out


class Texts:
    """The texts of W5 as floats, for the step."""

    def __init__(self) -> None:
        self._texts = sources.Tokeniser(1 << 16)

    def __len__(self) -> int:
        return len(self._texts)

    def __getitem__(self, row: int) -> np.ndarray:
        return self._texts[row].astype(np.float32)


def chain(batch: int) -> DataLoader[Any, Any]:
    """The settings that all loops share."""
    return DataLoader().batch_size(batch, drop_remainder=True).epochs(None)


def numbered(rows: int, *shape: int, dtype: str = "float32") -> Any:
    """A shuffled dataset of arrays."""
    return ArrayDataset(sources.numbered(rows, *shape, dtype=dtype)["image"]).shuffle(seed=0)


def tokens() -> Any:
    """A shuffled dataset of windows of tokens."""
    windows = np.random.default_rng(0).integers(0, 50_000, (60_000, 1_025), np.uint16)
    return ArrayDataset(windows).cast(np.float32).shuffle(seed=0)


class Loop(NamedTuple):
    """What is loaded beside the step.

    Attributes:
        title: What it is, for the table.
        build: Makes the loader; with a prefetch depth, if it is given.
        hidden: The width of the hidden layer of the step; 0 if the loop only takes batches, as `benchmarks` does.
    """

    title: str
    build: Callable[..., Any]
    hidden: int


LOOPS = {
    "rows": Loop(
        "gathers of 256 x 784 float32, 2 threads, `prefetch()`",
        lambda *depth: chain(256).workers(2).prefetch(*depth).build(numbered(60_000, 784)),
        32,
    ),
    "device": Loop(
        "the same on the device, 1 thread",
        lambda *depth: chain(256).workers(1).prefetch(*depth, to_device=True).build(numbered(60_000, 784)),
        32,
    ),
    "W1": Loop(
        "W1: the same, without a step",
        lambda *depth: chain(256).workers(2).prefetch(*depth).build(numbered(60_000, 784)),
        0,
    ),
    "W2": Loop(
        "W2: gathers of 512 x 64 x 64 x 3 uint8, 2 threads, without a step",
        lambda: chain(512).workers(2).prefetch().build(numbered(20_000, 64, 64, 3, dtype="uint8")),
        0,
    ),
    "small": Loop(
        "gathers of 128 x 32 float32 of a table with 1,024 rows, 1 thread",
        lambda: chain(128).prefetch(2).build(numbered(1_024, 32)),
        32,
    ),
    "inline": Loop(
        "gathers of 32 x 32 float32, without workers",
        lambda: chain(32).build(numbered(60_000, 32)),
        32,
    ),
    "tokens": Loop(
        "gathers of 32 windows of 1,025 tokens, 1 thread, `prefetch()`",
        lambda *depth: chain(32).prefetch(*depth).build(tokens()),
        256,
    ),
    "images": Loop(
        "gathers of images, 38 MB, 2 threads, `prefetch(1)`",
        lambda: chain(64).workers(2).prefetch(1).build(numbered(1024, 224, 224, 3)),
        2,
    ),
    "waits": Loop(
        "32 items that wait for 1 ms, 8 threads, prefetch of 2",
        lambda: chain(32).workers(8).build(Waits(0.001)),
        64,
    ),
    "cold": Loop(
        "gathers of 32 rows that wait for 1 ms each, 8 threads, prefetch of 2",
        lambda: chain(32).workers(8).build(Cold(0.001)),
        64,
    ),
    "uneven": Loop(
        "32 items that wait for 20 us, one of 640 for 20 ms, 2 threads, `prefetch()`",
        lambda *depth: chain(32).workers(2).prefetch(*depth).build(Waits(2e-5, 0.02, 640)),
        64,
    ),
    "processes": Loop(
        "4 texts of W5, 2 processes, `prefetch(16)`",
        lambda: chain(4).workers(2, kind="process").prefetch(16).build(Texts()),
        4,
    ),
}


class Discarded(list[Any]):
    """Keeps nothing."""

    def append(self, _: Any) -> None:
        """Keeps nothing."""


def off_group(source: Any) -> None:
    """Each batch is gathered in a call of its own."""
    source._policy.group = lambda *_: 1  # noqa: SLF001 - no setting switches a heuristic off, here and below


def off_parts(source: Any) -> None:
    """One worker reads all rows of a batch."""
    source._policy.unit_rows = lambda rows, _: rows  # noqa: SLF001


def off_help(source: Any) -> None:
    """The consumer waits, and all workers load."""
    source._helper = None  # noqa: SLF001
    source._team.start(source._team._count)  # noqa: SLF001


def off_freed(source: Any) -> None:
    """The consumer frees batches on the device."""
    source._bench.given = Discarded()  # noqa: SLF001


def off_ahead(source: Any) -> None:
    """A process gets its next task once it has returned the last one."""
    source._team.next_unit = lambda: None  # noqa: SLF001


def off_epochs(source: Any) -> None:
    """A thread opens each epoch ahead of time."""
    source._epochs._is_slow = lambda *_: True  # noqa: SLF001


class Heuristic(NamedTuple):
    """A heuristic.

    Attributes:
        off: Switches it off for one source of batches; None to build the loader with a prefetch depth of 2 instead.
        loops: Where it may matter.
    """

    off: Callable[[Any], None] | None
    loops: tuple[str, ...]


HEURISTICS = {
    "group": Heuristic(off_group, ("tokens", "rows", "inline")),
    "parts": Heuristic(off_parts, ("waits", "cold", "images")),
    "help": Heuristic(off_help, ("W1", "W2", "rows")),
    "freed": Heuristic(off_freed, ("device",)),
    "ahead": Heuristic(off_ahead, ("processes",)),
    "epochs": Heuristic(off_epochs, ("W1", "W2", "small")),
    "depth": Heuristic(None, ("uneven", "tokens", "device")),
}


def measure(name: str, loop: str, turns: int, seconds: float) -> list[list[float]]:
    """Seconds of wall time and of CPU time for a step, in each turn, with the heuristic and without it.

    Args:
        name: The heuristic.
        loop: What is loaded.
        turns: Turns of each.
        seconds: How long a turn is.

    Returns:
        For each turn: wall and CPU time with the heuristic, wall and CPU time without it.
    """
    heuristic, about = HEURISTICS[name], LOOPS[loop]
    both = [iter(about.build()), iter(about.build(2) if heuristic.off is None else about.build())]
    step = trainer(next(both[0]), about.hidden)
    step(next(both[1]))
    if heuristic.off is not None:
        heuristic.off(both[1]._source)  # noqa: SLF001 - there is no public way
    found: list[list[float]] = []
    for turn in range(turns):
        times: dict[int, tuple[float, float]] = {}
        for which in (0, 1) if turn % 2 else (1, 0):
            run(both[which], step, seconds / 3)  # uses up what was prefetched meanwhile
            times[which] = run(both[which], step, seconds)
        found.append([*times[0], *times[1]])
    for batches in both:
        batches.close()
    return found


def run(batches: Iterator[Any], step: Callable[[Any], None], seconds: float) -> tuple[float, float]:
    """Seconds of wall time and of CPU time for a step."""
    count, began, used = 0, perf_counter(), process_time()
    while (elapsed := perf_counter() - began) < seconds:
        step(next(batches))
        count += 1
    return elapsed / count, (process_time() - used) / count


def trainer(batch: Any, hidden: int) -> Callable[[Any], None]:
    """A step of gradient descent on batches like this array, which is waited for."""
    if not hidden:
        return lambda _: None
    from .step import make_step  # noqa: PLC0415 - imports JAX

    work = Work("", "", "arrays", len(batch), lambda _: None, "", hidden=hidden)
    step, _ = make_step(work, {"image": np.asarray(batch)})
    return lambda batch: step({"image": batch})


def main() -> int:
    """Prints a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.heuristics", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(HEURISTICS)}")
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--turns", type=int, default=12, help="in each process")
    parser.add_argument("--quick", action="store_true", help="one process and short turns, to see that it works")
    parser.add_argument("--here", metavar="LOOP", help="measures in this process, and prints JSON")
    arguments = parser.parse_args()
    for name in arguments.names:
        if name not in HEURISTICS:
            parser.error(f"{name} is unknown; there are {', '.join(HEURISTICS)}")
    turns, seconds, processes = (
        (2, 0.02, 1) if arguments.quick else (arguments.turns, TURN_SECONDS, arguments.processes)
    )
    if arguments.here:
        print(json.dumps(measure(arguments.names[0], arguments.here, turns, seconds)))
        return 0
    rows: list[list[str]] = []
    for name in arguments.names or HEURISTICS:
        for loop in HEURISTICS[name].loops:
            again = ("-m", f"{__package__}.heuristics", name, "--here", loop, "--turns", str(turns))
            again += ("--quick",) * arguments.quick
            found = [turn for _ in range(processes) for turn in json.loads(in_python(*again).splitlines()[-1])]
            ratios = [Spread.of(turn[2 + i] / turn[i] for turn in found) for i in (0, 1)]
            steps = Spread.of(1e3 * turn[0] for turn in found)
            assert steps is not None
            cells = ["{:.2f} ({:.2f} to {:.2f})".format(*(ratio or ())) for ratio in ratios]
            rows.append([name, LOOPS[loop].title, f"{steps.median:.2f} ms", *cells])
            print(*rows[-1], sep="  ", file=sys.stderr, flush=True)
    print(markdown(["heuristic", "loop", "a step", "time without it / with it", "of CPU time"], rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
