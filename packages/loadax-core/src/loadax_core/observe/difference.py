"""The statistics of a part of a run: the difference of two `Stats` of one iterator."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from itertools import zip_longest
from typing import Any

from .history import Interval
from .stats import Stats

SETTINGS = {"kind", "workers", "prefetch", "read_method", "cores", "iterator"}
"""Figures that are no sums over a run."""


def difference(later: Stats, earlier: Stats, history: Iterable[Interval]) -> Stats:
    """The statistics from `earlier` to `later`, which is a later one of the same iterator.

    Args:
        later: The statistics at the end.
        earlier: The statistics at the start.
        history: The pieces of the run in between.
    """
    sums: dict[str, Any] = {
        field.name: max(0, after - getattr(earlier, field.name))
        for field in fields(later)
        if field.name not in SETTINGS and isinstance(after := getattr(later, field.name), int | float)
    }
    # These two are estimates, whose difference may be out of bounds.
    sums["transforming"] = min(sums["transforming"], sums["reading"])
    sums["bytes"] = round(later.bytes * sums["rows"] / later.rows) if later.rows else 0
    # Another thread may have added a wait after the elapsed time was looked at.
    sums["waited"] = min(sums["waited"], sums["elapsed"])
    before = list(earlier.slowest)
    return Stats(
        **{name: getattr(later, name) for name in SETTINGS},
        **sums,
        ready=_trimmed(after - before for after, before in zip_longest(later.ready, earlier.ready, fillvalue=0)),
        history=tuple(history),
        slowest=tuple(read for read in later.slowest if read not in before),
        replaced=tuple(row for row in later.replaced if row not in earlier.replaced),
        counts={name: number - earlier.counts.get(name, 0) for name, number in later.counts.items()},
        total=later,
    )


def check_earlier(earlier: Any, later: Stats) -> None:
    """Checks what is given as the start of an interval.

    Raises:
        TypeError: If it is no `Stats`.
        ValueError: If it is of another iterator, or later than `later`.
    """
    if not isinstance(earlier, Stats):
        raise TypeError(f"since must be what stats() of this iterator returned before, got {earlier!r:.80}")
    if earlier.iterator != later.iterator:
        raise ValueError("since is the statistics of another iterator; give what stats() of this one returned before")
    if earlier.batches > later.batches or earlier.elapsed > later.elapsed:
        raise ValueError(
            f"since is later than now: it is of {earlier.batches} batches in {earlier.elapsed:.2f} s, and this "
            f"iterator has yielded {later.batches} in {later.elapsed:.2f} s; give what stats() returned before"
        )


def _trimmed(numbers: Iterable[int]) -> tuple[int, ...]:
    """The numbers up to the last one that is not 0."""
    kept = list(numbers)
    while kept and not kept[-1]:
        kept.pop()
    return tuple(kept)
