"""Rows that are left out rather than replaced: a pack has planned for their lengths, and no other row would fit.

A `ToleratedDataset` may lie anywhere below a pack, under maps and selections. So the pack sets a flag of its thread
while it reads. The `ToleratedDataset` sees the flag, and raises `Unreadable`, which the transforms in between let pass.
"""

from __future__ import annotations

import threading
from typing import Any

from ..base import BaseDataset


class Unreadable(BaseException):
    """A row that a `ToleratedDataset` leaves out, since a pack reads it."""


LEFT_OUT = object()
"""Stands for the item of such a row."""


class _Here(threading.local):
    """What a thread reads for.

    Attributes:
        leaves_out: Whether rows are left out rather than replaced.
    """

    leaves_out: bool = False


_HERE = _Here()


def leaves_out() -> bool:
    """Whether this thread reads for a pack."""
    return _HERE.leaves_out


def read_readable(source: BaseDataset[Any], rows: list[int] | range) -> list[Any]:
    """The items of some rows; `LEFT_OUT` for those that a `ToleratedDataset` below cannot read.

    Args:
        source: The dataset.
        rows: Rows in range.
    """
    before, _HERE.leaves_out = _HERE.leaves_out, True
    try:
        try:
            return list(source.read_range(rows) if isinstance(rows, range) else source.read_many(rows))
        except Unreadable:
            return [_read(source, row) for row in rows]
    finally:
        _HERE.leaves_out = before


def _read(source: BaseDataset[Any], row: int) -> Any:
    try:
        return source.read(row)
    except Unreadable:
        return LEFT_OUT
