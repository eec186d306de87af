"""Row numbers: how those that callers give are checked, and the two forms in which datasets pass them on."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import SupportsIndex, TypeAlias

import numpy as np
from loadax_core import Rows

Wanted: TypeAlias = "Rows | range"
"""Row numbers in `range(len(dataset))`: an array of shape `(n,)`, or for neighbouring rows a range of step 1."""


INT64 = np.dtype(np.int64)
"""NumPy compares dtypes in half the time that it takes to compare one with a scalar type."""


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
    """Refuses a range that is not of neighbouring rows of a dataset of `length`.

    Raises:
        IndexError: If the step is not 1, or a row is not in `range(length)`.
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
    # In some versions of NumPy, its bools and arrays have `__index__`, too.
    if not isinstance(index, bool | np.bool_):
        try:
            return operator.index(index)
        except TypeError:
            pass
    raise TypeError(f"a row is an integer or a slice, got {index!r:.80} ({type(index).__name__}){_instead(index)}")


def _instead(index: object) -> str:
    """What to write instead of an index that other libraries take."""
    if isinstance(index, str):
        return f"; one entry of each row is dataset.map(lambda row: row[{index!r}])"
    if isinstance(index, list | np.ndarray):
        return "; several rows are dataset.select(rows)"
    return ""


def rows_in_range(rows: Sequence[SupportsIndex], length: int) -> list[int]:
    """The rows that indices stand for in a list of `length`; see `row_in_range`."""
    return [row if type(row) is int and 0 <= row < length else row_in_range(row, length) for row in rows]
