"""Measure a loader: rows per second, where the time goes, and what would make it faster.

The loader runs with its own workers and prefetch. Sleep takes the place of a training step.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import time
from pathlib import Path
from typing import Any, cast

from loadax_core import Loader, Measurement, measure

from .naming import FAILURES, InputError, failure, named

TOO_SLOW, WRONG = 1, 2
"""Exit statuses."""

ENDINGS = (".svg", ".png", ".pdf", ".json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    what = "a Loader, or a function without arguments that makes one"
    parser.add_argument("loader", metavar="module:name", help=what)
    parser.add_argument("--batches", type=int, default=200, metavar="N", help="how many to load (%(default)s)")
    parser.add_argument("--step-ms", type=float, default=0.0, metavar="MS", help="length of a training step (0)")
    parser.add_argument("--min-rows-per-s", type=float, metavar="X", help="exit with 1 if the loader gives fewer")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="write a timeline: .svg, .png, .pdf or .json")


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    try:
        check(args)
        rows_per_s = report(measured(find(args.loader), args), args)
    except InputError as error:
        sys.stderr.write(f"loadax bench: {error}\n")
        return WRONG
    if args.min_rows_per_s is not None and rows_per_s < args.min_rows_per_s:
        sys.stderr.write(f"loadax bench: {rows_per_s:,.0f} rows/s are fewer than {args.min_rows_per_s:,.0f}\n")
        return TOO_SLOW
    return 0


def check(args: argparse.Namespace) -> None:
    """Checks numbers and files before anything is loaded.

    Raises:
        InputError: If a number or a file is wrong.
    """
    if args.batches < 2:
        raise InputError(f"--batches must be at least 2, got {args.batches}; the first one is not timed")
    if not 0 <= args.step_ms < float("inf"):
        raise InputError(f"--step-ms must be a number of milliseconds, got {args.step_ms}")
    # Any comparison with nan is false, so that every loader would pass.
    if args.min_rows_per_s is not None and not 0 < args.min_rows_per_s < float("inf"):
        raise InputError(f"--min-rows-per-s must be a positive number of rows, got {args.min_rows_per_s}")
    if args.plot is not None and args.plot.suffix not in ENDINGS:
        raise InputError(f"--plot writes {', '.join(ENDINGS)}, by the ending of the name; got {args.plot}")
    if args.plot is not None and not args.plot.parent.is_dir():
        raise InputError(f"--plot writes to {args.plot.parent}, which is no folder; make it first")
    if args.plot is not None and args.plot.suffix != ".json" and importlib.util.find_spec("matplotlib") is None:
        raise InputError("--plot needs matplotlib for pictures: pip install 'loadax[plots]', or write a .json")
    if args.plot is not None:
        check_writable(args.plot)


def check_writable(file: Path) -> None:
    """Checks that a file can be written, and leaves it as it was.

    Raises:
        InputError: If it cannot be written.
    """
    new = not os.path.lexists(file)
    try:
        with file.open("ab"):
            pass
    except OSError as error:
        raise InputError(f"--plot cannot write {file}: {error.strerror}; name another file") from None
    if new:
        file.unlink()


def find(place: str) -> Loader[Any]:
    """The loader that `module:name` names.

    Raises:
        InputError: If the module or the name is missing, or names no loader.
    """
    found = named(place, lambda found: not isinstance(found, Loader), "make_loader")
    if not isinstance(found, Loader):
        raise InputError(f"{place} is of type {type(found).__name__}, not a Loader; does it end with .build(dataset)?")
    return cast("Loader[Any]", found)


def measured(loader: Loader[Any], args: argparse.Namespace) -> Measurement:
    """Runs the loader.

    Raises:
        InputError: If the loader fails, or has fewer than 2 batches.
    """
    batches = length(loader)
    if batches is not None and batches < 2:
        raise InputError(
            f"bench needs a loader of at least 2 batches; this one has {batches}: use more rows or smaller batches"
        )
    sys.stdout.write(f"{loader!r}\n")

    def step(_: object) -> None:
        if args.step_ms:
            time.sleep(args.step_ms / 1e3)

    try:
        return measure(loader, step, args.batches, timeline=args.plot is not None)
    except FAILURES as error:
        raise failure("the loader failed", error) from error


def length(loader: Loader[Any]) -> int | None:
    """The number of batches of a loader; None if it has no end, or more batches than `len()` can return."""
    try:
        return len(loader)
    except (TypeError, OverflowError):
        return None


def report(measurement: Measurement, args: argparse.Namespace) -> float:
    """Prints the measurement; returns the rows per second.

    Raises:
        InputError: If the timeline cannot be written.
    """
    stats = measurement.stats
    timed = stats.batches * measurement.seconds
    rows_per_s = stats.rows / timed
    rates = [f"{number / timed:,.0f} {name}/s" for name, number in {"rows": stats.rows, **stats.counts}.items()]
    lines = [str(stats), f"{', '.join(rates)} after the first batch"]
    if args.step_ms:
        lines.append(str(measurement))
    if measurement.timeline is not None:
        try:
            measurement.timeline.save(args.plot)
        except Exception as error:
            raise failure(f"{args.plot} could not be written", error) from error
        lines.append(f"The timeline is in {args.plot}")
    sys.stdout.write("\n".join(lines) + "\n")
    return rows_per_s
