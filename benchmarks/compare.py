"""Compares two versions of Loadax, each in an environment and a checkout of its own.

    python -m benchmarks.compare /path/before/bin/python /path/after/bin/python --works W1,W8 --repeats 9

Both versions are installed editable, with the same versions of everything else. They take turns, in new processes, as
before, after, after, before, and so on. A ratio is the time of the second version over that of the first one in the
same turn, so that below 1 the second one is faster. Each version runs its own benchmarks.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

from .__main__ import ALL, choose
from .report import markdown
from .runner import FailedError, child, import_seconds, in_python
from .summary import Spread
from .works import WORKS

IMPORTED = ("loadax_core", "loadax")
"""The packages of W11."""


class Timed(NamedTuple):
    """A measurement of one version.

    Attributes:
        seconds: Of a batch, of a step, to the first batch, or of an import, by the measure of the work.
        waited: The share of the time that the loop waited, for works beside a step.
        cpu: CPU seconds of the process and its children, for its whole life.
        wall: Seconds of its whole life.
    """

    seconds: float
    waited: float | None
    cpu: float
    wall: float


def checkout(python: str) -> Path:
    """The root of the checkout whose Loadax an interpreter imports.

    Raises:
        ValueError: If Loadax is not installed editable from a checkout.
    """
    code = "import loadax_core; print(loadax_core.__file__)"
    path = Path(in_python("-c", code, python=python, root=Path("/")).strip())
    # The root has packages/loadax-core/src/loadax_core/__init__.py.
    root = path.parents[4]
    if not (root / "benchmarks" / "child.py").exists():
        raise ValueError(
            f"{python} imports {path}, which is no checkout of Loadax; install it there with `pip install -e`"
        )
    return root


def timed(measure: Callable[[], dict[str, Any]], *, inverse: bool) -> Timed:
    """Runs a measurement in a new process.

    Args:
        measure: Runs it, and returns its result.
        inverse: Whether the result is a rate.
    """
    used, began = resource.getrusage(resource.RUSAGE_CHILDREN), perf_counter()
    result = measure()
    wall, after = perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime - used.ru_utime + after.ru_stime - used.ru_stime
    if "value" not in result:
        raise FailedError(f"no result: {result}")
    value: float = result["value"]
    return Timed(1 / value if inverse else value, result.get("waited"), cpu, wall)


def measures(work: str, loaders: list[str], size: str, seconds: float) -> dict[str, Callable[..., dict[str, Any]]]:
    """What to measure for a work: functions of an interpreter and its checkout, by the name of what they run."""
    if work == "W11":
        return {package: partial(import_seconds, package) for package in IMPORTED}
    return {loader: partial(child, "measure", work, "loadax", loader, str(seconds), size) for loader in loaders}


def main() -> int:
    """Prints a table of the ratios."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    parser.add_argument("before", help="the interpreter of the first version")
    parser.add_argument("after", help="the interpreter of the second version")
    parser.add_argument("--works", default=",".join(ALL), help=f"of {','.join(ALL)}; W7 means all that begin so")
    parser.add_argument("--loader", default="loadax", help="configurations of Loadax, such as loadax,loadax-sync")
    parser.add_argument("--repeats", type=int, default=5, help="pairs of runs (default 5)")
    parser.add_argument("--seconds", type=float, default=1.0, help="how long a run measures (default 1)")
    parser.add_argument("--quick", action="store_true", help="small data and short runs, to see that it works")
    arguments = parser.parse_args()
    works = choose(parser, "works", arguments.works, ALL)
    versions = [(python, checkout(python)) for python in (arguments.before, arguments.after)]
    size, seconds = ("small", 0.05) if arguments.quick else ("full", arguments.seconds)
    rows: list[list[str]] = []
    for work in works:
        inverse = work in WORKS and WORKS[work].measure != "first"
        for name, measure in measures(work, arguments.loader.split(","), size, seconds).items():
            pairs: list[tuple[Timed, Timed]] = []
            for repeat in range(arguments.repeats):
                found: dict[int, Timed] = {}
                for which in (1, 0) if repeat % 2 else (0, 1):
                    python, root = versions[which]
                    found[which] = timed(partial(measure, python=python, root=root), inverse=inverse)
                pairs.append((found[0], found[1]))
            rows.append(row(work, name, pairs))
            print(*rows[-1], f"load {os.getloadavg()[0]:.1f}", sep="  ", file=sys.stderr, flush=True)
    heads = ["work", "loader", "before", "after", "time after / before", "waits", "CPU s / wall s", "after"]
    print(markdown(heads, rows))
    return 0


def row(work: str, name: str, pairs: list[tuple[Timed, Timed]]) -> list[str]:
    """A line of the table."""
    ratio = Spread.of(after.seconds / before.seconds for before, after in pairs)
    assert ratio is not None, "there is at least one pair"
    cells = [work, name]
    # Beside a step, a result is the time of a step, in times of the step alone.
    unit, scale = ("", 1.0) if work in WORKS and WORKS[work].measure == "step" else (" us", 1e6)
    for version in zip(*pairs, strict=True):
        spread = Spread.of(scale * one.seconds for one in version)
        assert spread is not None
        cells.append("{:.4g} ({:.4g}-{:.4g}){}".format(*spread, unit))
    cells.append("{:.2f} ({:.2f}-{:.2f})".format(*ratio))
    waits = [Spread.of(one.waited for one in version if one.waited is not None) for version in zip(*pairs, strict=True)]
    cells.append(", ".join(f"{spread.median:.1%}" for spread in waits if spread))
    for version in zip(*pairs, strict=True):
        cpu, wall = (Spread.of(numbers) for numbers in zip(*((one.cpu, one.wall) for one in version), strict=True))
        assert cpu is not None
        assert wall is not None
        cells.append(f"{cpu.median:.2f} / {wall.median:.2f}")
    return cells


if __name__ == "__main__":
    sys.exit(main())
