"""The history of a run in pieces, in memory that does not grow with the run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

POINTS = 64
"""The history is kept at this many points, or half as many."""

POINT_SECONDS = 0.005
"""How far apart the points are to begin with; each time that `POINTS` are full, twice as far."""


class Interval(NamedTuple):
    """A part of a run, between two of its batches.

    Attributes:
        batches: Batches yielded in it.
        elapsed: Seconds that it took.
        waited: Seconds of these that the consumer waited for data.
        ready: How many batches were ready when one was asked for, on average.

    Example:
        >>> from loadax_core import DataLoader
        >>> batches = iter(DataLoader().build([1, 2, 3]))
        >>> for batch in batches:
        ...     pass
        >>> sum(interval.batches for interval in batches.stats().history)
        3
    """

    batches: int
    elapsed: float
    waited: float
    ready: float


class Point(NamedTuple):
    """Sums since the start of a run: batches, seconds, times that a batch was asked for, and ready batches then."""

    batches: int
    elapsed: float
    waited: float
    asked: int
    ready: int


START = Point(0, 0.0, 0.0, 0, 0)
"""The sums before the first batch."""


class History:
    """Sums of a run at some of its batches.

    Attributes:
        due: The value of `perf_counter` from which on the next point is wanted.
    """

    __slots__ = ("_points", "_stride", "due")

    def __init__(self) -> None:
        self.due = 0.0
        self._stride = POINT_SECONDS
        self._points: list[Point] = []

    def add(self, now: float, point: Point) -> None:
        """Adds a point."""
        self._points.append(point)
        if len(self._points) == POINTS:
            # All are sums since the start, so that each second one tells as much, more coarsely.
            self._points = self._points[1::2]
            self._stride *= 2
        self.due = now + self._stride

    def intervals(self, end: Point, start: Point = START) -> Iterator[Interval]:
        """The run from `start` to `end` in pieces: the differences between the points."""
        last = start
        # A point of the last batch is left out: `end` has the same batches, and a later time.
        for point in [*(point for point in self._points if point.batches < end.batches), end]:
            if point.batches <= last.batches:
                continue
            asked = point.asked - last.asked
            yield Interval(
                point.batches - last.batches,
                point.elapsed - last.elapsed,
                min(point.waited - last.waited, point.elapsed - last.elapsed),
                (point.ready - last.ready) / asked if asked else 0.0,
            )
            last = point
