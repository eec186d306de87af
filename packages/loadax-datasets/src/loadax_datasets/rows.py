"""Numbers of rows: as callers may give them, and as datasets pass them on."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import SupportsIndex, TypeAlias

import numpy as np
from loadax_core import Rows

Wanted: TypeAlias = "Rows | range"
"""Row numbers in `range(len(dataset))`: any, as an array of shape `(n,)`, or neighbours, as a range of step 1."""


def as_array(rows: Wanted) -> Rows:
    """Row numbers as an array of shape `(n,)`, int64."""
    return np.arange(rows.start, rows.stop, dtype=np.int64) if isinstance(rows, range) else rows


def as_range(rows: Wanted) -> Wanted:
    """Row numbers as a range if they are neighbours."""
    if isinstance(rows, range) or not len(rows):
        return rows
    start, stop = rows.item(0), rows.item(-1) + 1
    # To compare bytes takes a third of the time of comparing numbers.
    neighbours = stop - start == len(rows) and rows.tobytes() == np.arange(start, stop).tobytes()
    return range(start, stop) if neighbours else rows


def check_range(rows: range, length: int) -> None:
    """Refuses anything but neighbouring rows of a dataset of `length`.

    Raises:
        IndexError: If it is something else.
    """
    if rows.step != 1 or rows.start < 0 or rows.stop > length:
        raise IndexError(f"neighbouring rows of {length} are a range within range({length}) of step 1, got {rows}")


def row_in_range(index: SupportsIndex, length: int) -> int:
    """The row that `index` stands for in a list of `length`, counted from the end if negative.

    Raises:
        IndexError: If there is no such row.
        TypeError: If `index` is not an integer; bool is not one here.
    """
    row = index if type(index) is int else _as_int(index)
    if row < 0:
        row += length
    if not 0 <= row < length:
        raise IndexError(f"row {index} is out of range for {length} rows")
    return row


def _as_int(index: SupportsIndex) -> int:
    # NumPy's bools and arrays have `__index__` too, in some versions.
    if not isinstance(index, bool | np.bool_):
        try:
            return operator.index(index)
        except TypeError:
            pass
    raise TypeError(f"a row is an integer or a slice, got {index!r} ({type(index).__name__})")


def rows_in_range(rows: Sequence[SupportsIndex], length: int) -> list[int]:
    """`row_in_range` of each of `rows`."""
    return [row if type(row) is int and 0 <= row < length else row_in_range(row, length) for row in rows]
