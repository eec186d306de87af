"""Rows that a dataset has replaced because they could not be read.

While a loader reads, reports of such rows are only collected. They travel with the batch, from whatever process reads
it, and count when the loop receives it. So the step at which there are too many depends neither on the workers nor on
the prefetch.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import NamedTuple
from weakref import WeakValueDictionary

from ..errors import add_note, detach, is_interrupt, traceback_text
from ..text import describe

MOST_SHOWN = 200
"""The most characters of an error that are kept."""


class Replaced(NamedTuple):
    """A row that could not be read, and the row that was read in its place.

    Attributes:
        row: The row, as the dataset that replaced it counts rows.
        by: The row that was read in its place; None if it became padding.
        epoch: The epoch in which it was first replaced.
        error: The type and the message of the error.

    Example:
        >>> print(Replaced(row=7, by=3, epoch=0, error="ValueError: not a JPEG"))
        row 7 by row 3 (ValueError: not a JPEG)
    """

    row: int
    by: int | None
    epoch: int
    error: str

    def __str__(self) -> str:
        return f"row {self.row} by {'padding' if self.by is None else f'row {self.by}'} ({self.error})"


class Report(NamedTuple):
    """What a dataset reports of one row.

    Attributes:
        tolerance: Whose count the row belongs to.
        replaced: The row.
        error: Why it could not be read, without its traceback, whose frames may refer to the batch.
        trace: The traceback as text.
    """

    tolerance: Tolerance
    replaced: Replaced
    error: BaseException
    trace: str

    def admit(self) -> bool:
        """Counts the row; returns False if it is one too many, which a note of the error then says."""
        return self.tolerance._count(self.replaced, self.error)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


NO_REPORTS: dict[tuple[Tolerance, int], Report] = {}
"""The reports of a unit of work in which no row was replaced yet: shared by all threads, and never written to."""


class Collector:
    """What a thread collects.

    Attributes:
        reports: The reports of the unit of work that this thread does, one for each row; None outside of one. Whoever
            begins a unit sets it to `NO_REPORTS`, and back to what it was at the end: a read may use a loader.
    """

    __slots__ = ("reports",)

    def __init__(self) -> None:
        self.reports: dict[tuple[Tolerance, int], Report] | None = None


class _Here(threading.local):
    def __init__(self) -> None:
        # To look up one attribute of a thread's own takes longer than all else that a unit of work does with it.
        self.collector = Collector()


HERE = _Here()

_KNOWN: WeakValueDictionary[bytes, Tolerance] = WeakValueDictionary()
"""The tolerances of this process that were pickled, or have been unpickled here, by their names."""


class Tolerance:
    """How many rows of a dataset may be replaced in a process; for datasets that replace what cannot be read.

    In a worker process or an executor's, a pickled copy collects reports, which count in the process of the loop.

    Args:
        most: How many different rows may be replaced.
        on_first: Is called with the first row that is. It is pickled with the dataset.

    Example:
        >>> tolerance = Tolerance(1)
        >>> tolerance.report(7, 3, 0, ValueError("not a JPEG"))
        >>> tolerance.report(8, 1, 0, ValueError("no file"))
        Traceback (most recent call last):
        ...
        ValueError: no file
        loadax: row 8 could not be read either, and no more than 1 may be replaced; replaced so far: 7
    """

    def __init__(self, most: int, on_first: Callable[[Replaced], None] | None = None) -> None:
        self._most, self._on_first = most, on_first
        self._name = os.urandom(16)
        # In the order in which they failed; those from `most` on were too many. The methods of a dict are atomic, so
        # that there is no lock that a fork would leave held.
        self._rows: dict[int, None] = {}

    def report(self, row: int, by: int | None, epoch: int, error: BaseException) -> None:
        """Reports that a row is replaced.

        Args:
            row: The row, in the dataset that replaces it.
            by: The row that was read in its place; None for padding.
            epoch: The epoch.
            error: Why it could not be read.

        Raises:
            BaseException: The error itself, if a signal handler raised it; and outside of loaders, if the row is one
                too many. In a loader, the error then arrives at the step that the row belongs to.
        """
        if is_interrupt(error):
            raise error
        replaced, reports = Replaced(row, by, epoch, _shown(error)), HERE.collector.reports
        if reports is None:
            if not self._count(replaced, error):
                raise error
        elif (self, row) not in reports:
            if reports is NO_REPORTS:
                reports = HERE.collector.reports = {}
            reports[self, row] = Report(self, replaced, error, traceback_text(error))
            detach(error)

    def _count(self, replaced: Replaced, error: BaseException) -> bool:
        """Counts a row; returns False if it is one too many, which a note of the error then says."""
        first, row = not self._rows, replaced.row
        self._rows.setdefault(row)
        rows = list(self._rows)
        if rows.index(row) >= self._most:
            add_note(
                error,
                f"loadax: row {row} could not be read either, and no more than {self._most} may be replaced; replaced "
                f"so far: {describe(rows[: self._most])}",
            )
            return False
        if first and self._on_first is not None:
            self._on_first(replaced)
        return True

    def __reduce__(self) -> tuple[Callable[..., Tolerance], tuple[object, ...]]:
        # Its copies' reports come back to it.
        _KNOWN[self._name] = self
        return _arrived, (self._name, self._most, self._on_first)


def _arrived(name: bytes, most: int, on_first: Callable[[Replaced], None] | None) -> Tolerance:
    """The tolerance of a name, if this process has it; else a new one of that name."""
    new = Tolerance(most, on_first)
    new._name = name  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    return _KNOWN.setdefault(name, new)


def _shown(error: BaseException) -> str:
    try:
        message = f": {error}"
    except Exception:
        # Its message cannot be shown.
        message = ""
    return f"{type(error).__name__}{message}"[:MOST_SHOWN]
