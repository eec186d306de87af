"""What Loadax's statistics cost in the shortest loops there are, those of W9.

    python -m benchmarks.recording --write        # into benchmarks/README.md

Two copies of the core take turns in one process, one of which records nothing. All that is left in it is the time that
decides whether a caller is in haste, and the looks at the clock which that takes. In both, a caller that is found to be
quick stays so, whatever the machine does: both are to load in the same way.

It is done again in fresh processes, since where the code of each copy comes to lie makes a difference of about 1%.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import shutil
import statistics
import sys
import tempfile
from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from time import perf_counter
from types import ModuleType
from typing import Any

import loadax_core
from loadax_datasets import RangeDataset

from .report import markdown, write_between
from .runner import in_python
from .summary import Spread
from .works import WORKS, Work

Pieces = dict[str, list[tuple[str, str]]]
"""For each file, what stands there, and what is to stand there instead."""

STEADY: Pieces = {
    "inline.py": [("QUICK_SECONDS, SEVERAL_ITEMS = 2e-5,", "QUICK_SECONDS, SEVERAL_ITEMS = 1.0,")],
    "haste.py": [
        ("HASTE_SECONDS = 6e-5", "HASTE_SECONDS = 1e-3"),
        ("(self._usual if loading else BATCHES * HASTE_SECONDS)", "BATCHES * HASTE_SECONDS"),
    ],
}

UNRECORDED: Pieces = {
    "iterator.py": [
        (
            """\
                    now = perf_counter()
                    if source is not None and now < recorder.plain_until:
                        recorder.seen = now
                        taken = source.take()
                    else:
                        taken = self._take(now)
""",
            """\
                    taken = self._take(0.0) if source is None else source.take()
""",
        ),
        (
            """\
        traced = self._is_traced is not None and self._is_traced()
        annotate = recorder.annotate = self._annotate if traced else None
        if now < recorder.watch_from and annotate is None:
            recorder.let_pass(now)
            return source.take()
""",
            """\
        return source.take()
""",
        ),
    ],
    "inline.py": [
        (
            """\
            self._recorder.offer(loaded)
""",
            """\
            self._recorder.hand = loaded
""",
        ),
        (
            """\
        lane, began = recorder.caller, recorder.seen
""",
            """\
        began = recorder.seen = perf_counter()
""",
        ),
        (
            """\
            if watched:
                fetch = WatchedFetch(fetch, recorder, step)
""",
            "",
        ),
        (
            """\
        if not watched:
            recorder.seen = perf_counter()
            seconds = recorder.seen - began
            lane.brief += seconds
            if seconds > lane.floor:
                lane.slow(seconds, rows)
""",
            """\
        recorder.seen = perf_counter()
        recorder.caller.brief += recorder.seen - began
""",
        ),
    ],
}
"""What the core does in a call of `next` to record it, and what is left of that."""

BATCHES = 1280
"""In a turn of each."""

AWAY = 192
"""Before these, a caller that has been away while the other had its turn is in haste again."""


def copied(folder: Path, name: str, *changes: Pieces) -> ModuleType:
    """A copy of the core, made in a folder, with some changes.

    Raises:
        ValueError: If the core no longer has a piece that is to be changed.
    """
    origin = Path(loadax_core.__file__ or "").parent
    shutil.copytree(origin, folder / name)
    for pieces in changes:
        for part, replacements in pieces.items():
            file = folder / name / part
            text = file.read_text()
            for piece, rest in replacements:
                if text.count(piece) != 1:
                    raise ValueError(f"{origin / part} has changed, so change recording.py. Not found:\n{piece}")
                text = text.replace(piece, rest)
            file.write_text(text)
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(folder))


def identity(items: list[Any]) -> list[Any]:
    """The batcher of W9."""
    return items


def batches(core: Any, work: Work) -> Iterator[Any]:
    """The endless loop of a work, by a copy of the core."""
    chain = core.DataLoader(identity).batch_size(work.batch, drop_remainder=True).epochs(None)
    if work.prefetch:
        chain = chain.prefetch(work.prefetch)
    return iter(chain.build(RangeDataset(work.data(False)).shuffle(seed=0)))


def ratio(loops: list[Iterator[Any]], turns: int) -> float:
    """The time of the first loop over that of the second, the median over turns."""
    found: list[float] = []
    for turn in range(turns):
        seconds = [0.0, 0.0]
        for which in (0, 1) if turn % 2 else (1, 0):
            deque(islice(loops[which], AWAY), 0)
            began = perf_counter()
            deque(islice(loops[which], BATCHES), 0)
            seconds[which] = perf_counter() - began
        found.append(seconds[0] / seconds[1])
    return statistics.median(found)


def measure(turns: int) -> list[float]:
    """The ratio for each work, and for each where JAX is imported, in this process."""
    gc.disable()
    found: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cores = [copied(folder, "recorded", STEADY), copied(folder, "unrecorded", STEADY, UNRECORDED)]
        for jax in (False, True):
            if jax:
                # From now on there is somebody to ask whether a trace is taken.
                importlib.import_module("jax.profiler")
            found += [ratio([batches(core, work) for core in cores], turns) for work in works()]
    return found


def works() -> list[Work]:
    """The shortest loops."""
    return [work for name, work in WORKS.items() if name.startswith("W9")]


def cell(found: Spread) -> str:
    """A ratio as what is above 1."""
    return "{:.1%} ({:.1%} to {:.1%})".format(*(number - 1 for number in found))


def main() -> int:
    """Prints what recording costs, or writes it into the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recording", description=__doc__)
    parser.add_argument("--processes", type=int, default=9)
    parser.add_argument("--turns", type=int, default=60, help="in each process")
    parser.add_argument("--quick", action="store_true", help="one process and few turns, to see that it works")
    parser.add_argument("--write", action="store_true", help="into benchmarks/README.md")
    parser.add_argument("--here", action="store_true", help="prints the ratios of this process, as JSON")
    arguments = parser.parse_args()
    turns, processes = (4, 1) if arguments.quick else (arguments.turns, arguments.processes)
    if arguments.here:
        print(json.dumps(measure(turns)))
        return 0
    again = ("-m", f"{__package__}.recording", "--here", "--turns", str(turns))
    runs = [json.loads(in_python(*again)) for _ in range(processes)]
    cells = [cell(spread) for spread in map(Spread.of, zip(*runs, strict=True)) if spread]
    names = [f"{work.name}: {work.title}" for work in works()]
    rows = list(zip(names, cells, cells[len(names) :], strict=False))
    text = markdown(["work", "without JAX", "where JAX is imported"], rows)
    print(text)
    if arguments.write:
        write_between(Path(__file__).parent / "README.md", "recording", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
