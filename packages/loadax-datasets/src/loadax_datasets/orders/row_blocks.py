"""Packed rows that follow each other, looked up by the block."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from loadax_core import Rows

from ..forks import ForkLock
from ..rows import Wanted, as_range
from .packing import Pieces

BLOCK = 1024
"""Rows of a block. To look up 32 rows of 5 pieces each takes about 200 us, and 1,024 rows about 1 ms."""


PADDING = -1
"""The number of the array that padding is copied from."""


class Placed(NamedTuple):
    """Pieces as they lie in rows that follow each other in memory; all arrays of shape `(pieces,)`.

    Pieces fill their rows without gaps: padding is a piece, too.

    Attributes:
        rows: Which of the rows each piece is in.
        which: Which of the source's arrays each piece is in, or `PADDING`.
        starts: Where it begins there; 0 for padding.
        lengths: How many values it has.
        places: Where it begins in the rows.
        numbers: Its number in its row, from 1 on; 0 for padding.
        ends: Whether it holds the last value of its document; true for padding.
    """

    rows: Rows
    which: Rows
    starts: Rows
    lengths: Rows
    places: Rows
    numbers: Rows
    ends: npt.NDArray[np.bool_]

    def part(self, pieces: slice, row: int, size: int) -> Placed:
        """Some of the pieces, with places counted from the beginning of a row of `size` values."""
        columns: Any = (values[pieces] for values in self)
        found = Placed(*columns)
        return found._replace(rows=found.rows - row, places=found.places - row * size) if row else found

    def without(self, out: npt.NDArray[np.bool_]) -> Placed:
        """The same, with padding in place of some pieces, which `out` is true for."""
        return self._replace(
            which=np.where(out, PADDING, self.which),
            starts=np.where(out, 0, self.starts),
            numbers=np.where(out, 0, self.numbers),
            ends=self.ends | out,
        )


Locate = Callable[[Rows, Rows], tuple[Rows, Rows]]
"""Says in which of a source's arrays a value of a document is, and where: of documents, and places in them."""


class RowBlocks:
    """What is in rows; rows that follow each other come from a block that is kept.

    The last two blocks are kept: workers that are a batch ahead reach the next block while others still read the one
    before. Thread-safe.

    Args:
        find: Says what is in rows.
        rows: The number of rows.
        size: The length of a row.
        locate: Says where documents are.
        left_out: The documents that are left out, sorted.
    """

    def __init__(self, find: Callable[[Wanted], Pieces], rows: int, size: int, locate: Locate, left_out: Rows) -> None:
        self._find, self._rows, self._size, self._locate, self._left_out = find, rows, size, locate, left_out
        # Immutable values that are replaced as a whole, so that threads can read them without the lock.
        self._blocks: tuple[tuple[int, Placed, Rows], ...] = ()
        self._lock = ForkLock()

    def __call__(self, rows: Wanted) -> Placed:
        """What is in some rows."""
        run = as_range(rows)
        if not isinstance(run, range) or len(run) < 2 or run[0] // BLOCK != run[-1] // BLOCK:
            return self._place(rows)
        index = run.start // BLOCK
        placed, firsts = self._block(index)
        begin, end = run.start - index * BLOCK, run.stop - index * BLOCK
        return placed.part(slice(firsts.item(begin), firsts.item(end)), begin, self._size)

    def pieces(self, rows: Wanted) -> Pieces:
        """Which documents are in some rows."""
        return self._find(rows)

    def _block(self, index: int) -> tuple[Placed, Rows]:
        """A block, and where the pieces of each of its rows begin."""
        for known, placed, firsts in self._blocks:
            if known == index:
                return placed, firsts
        with self._lock.held():
            for known, placed, firsts in self._blocks:
                if known == index:
                    return placed, firsts
            rows = range(index * BLOCK, min((index + 1) * BLOCK, self._rows))
            placed = self._place(rows)
            firsts = np.searchsorted(placed.rows, np.arange(len(rows) + 1))
            self._blocks = (*self._blocks[-1:], (index, placed, firsts))
        return placed, firsts

    def _place(self, rows: Wanted) -> Placed:
        found = self._find(rows)
        which, starts = self._locate(found.documents, found.skips)
        places = found.rows * self._size + found.places
        placed = Placed(found.rows, which, starts, found.lengths, places, found.numbers, found.ends)
        if len(self._left_out):
            placed = placed.without(np.isin(found.documents, self._left_out))
        stops = places + found.lengths
        gaps = np.append(places[1:], len(rows) * self._size) - stops
        before = np.flatnonzero(gaps)
        if not len(before):
            return placed
        padding = found.rows[before], PADDING, 0, gaps[before], stops[before], 0, True
        columns: Any = (np.insert(*column) for column in zip(placed, [before + 1] * len(placed), padding, strict=True))
        return Placed(*columns)
