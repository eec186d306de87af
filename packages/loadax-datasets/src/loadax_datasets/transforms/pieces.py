"""Writing packed rows: the values of pieces, and the arrays that say which piece each value is of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from mmap import mmap
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from loadax_core import Rows

from ..orders.row_blocks import Placed

Array = npt.NDArray[Any]

Arrays: TypeAlias = "Sequence[Array] | Mapping[int, Array]"
"""The arrays of one leaf, by number."""


PAGE = 4096
"""The least bytes that are read of a file that is mapped into memory."""

SHORT = 160
"""From this average length on, pieces are copied one by one, and shorter ones all at once.

To copy a piece takes about 0.7 us, and to compute a place for each value about 2 ns.
"""


class Writer:
    """Writes rows that follow each other in memory, of shape `(values,)`.

    Args:
        placed: What is in the rows.
        values: How many values the rows have.
        size: The length of a row.
    """

    def __init__(self, placed: Placed, values: int, size: int) -> None:
        self._placed, self._values = placed, values
        # NumPy repeats numbers of 16 bits three times as fast as those of 32 bits.
        self._small = np.dtype(np.uint16 if size < 1 << 16 else np.int64)
        self._stops = placed.places + placed.lengths
        # Pieces and the gaps behind them, in turn.
        self._lengths = _in_turn(placed.lengths, placed.gaps)
        # What padding is: the gaps, and pieces that are left out.
        gaps, out = np.flatnonzero(placed.gaps), np.flatnonzero(placed.numbers == 0)
        begins, ends = self._stops[gaps], self._stops[gaps] + placed.gaps[gaps]
        if len(out):
            begins, ends = np.append(begins, placed.places[out]), np.append(ends, self._stops[out])
        self._blanks = [slice(*bounds) for bounds in zip(begins.tolist(), ends.tolist(), strict=True)]
        self._kept = np.flatnonzero(placed.numbers).tolist() if len(out) else range(len(placed.rows))

    def copy(self, arrays: Arrays, out: Array, pad: Any) -> None:
        """Copies the pieces of one leaf, and fills the rest with `pad`."""
        placed, which = self._placed, self._placed.which.item(0)
        alike = len(self._kept) == len(placed.rows) and bool((placed.which == which).all())
        if alike and self._values < SHORT * len(placed.rows):
            # Places in gaps come to nothing, as long as they are in range.
            places = np.repeat(_in_turn(placed.starts - placed.places, 0), self._lengths)
            places += counting(self._values, np.dtype(np.int64))
            np.take(arrays[which], places, out=out, mode="clip")
        else:
            self._copy_runs(arrays, out)
        self._fill(out, pad)

    def _copy_runs(self, arrays: Arrays, out: Array) -> None:
        """Copies the pieces of one leaf one by one."""
        placed = self._placed
        numbers: list[int] = np.unique(placed.which[self._kept]).tolist()
        sources: dict[int, Any] = {number: arrays[number] for number in numbers}
        target: Any = out
        scale = 1
        if all(source.flags.c_contiguous and source.dtype == out.dtype for source in sources.values()):
            for number, source in sources.items():
                if is_mapped(source):
                    here = placed.which == number
                    touch(source, placed.starts[here], placed.lengths[here])
            # Slices of bytes are made and copied in half the time, and do not give up the GIL each time.
            sources = {number: memoryview(source.view(np.uint8)) for number, source in sources.items()}
            target, scale = memoryview(target.view(np.uint8)), out.itemsize
        columns = placed.starts, placed.starts + placed.lengths, placed.places, self._stops
        which, places = placed.which.tolist(), [(column * scale).tolist() for column in columns]
        runs = list(zip(which, *places, strict=True))
        for i in self._kept:
            number, start, end, place, stop = runs[i]
            target[place:stop] = sources[number][start:end]

    def targets(self, tokens: Array, arrays: Arrays, out: Array, pad: Any) -> None:
        """Writes the value that follows each one in its document, and `pad` where there is none.

        Args:
            tokens: What `copy` has written.
            arrays: Where that came from.
            out: Where to.
            pad: What padding is filled with.
        """
        placed = self._placed
        out[:-1] = tokens[1:]
        out[self._stops - 1] = pad
        for i in np.flatnonzero(~placed.ends & (placed.numbers > 0)).tolist():
            # The piece goes on in another row.
            following = placed.starts.item(i) + placed.lengths.item(i)
            out[self._stops[i] - 1] = arrays[placed.which.item(i)][following]
        self._fill(out, pad)

    def segments(self, out: Array) -> None:
        """Writes the number of the piece that each value is of, and 0 in padding."""
        numbers = _in_turn(self._placed.numbers.astype(self._small), 0)
        np.copyto(out, np.repeat(numbers, self._lengths), casting="unsafe")

    def positions(self, out: Array) -> None:
        """Writes each value's place in its piece, from 0 on, and 0 in padding."""
        begins = np.repeat(_in_turn(self._placed.places.astype(self._small), 0), self._lengths)
        # What is beyond the range of the small numbers cancels out: a position is less than the length of a row.
        np.copyto(out, np.subtract(counting(self._values, self._small), begins, out=begins), casting="unsafe")
        self._fill(out, 0)

    def mask(self, out: Array) -> None:
        """Writes whether a value has another one of its document after it."""
        out.fill(True)
        out[self._stops[self._placed.ends] - 1] = False
        self._fill(out, False)

    def _fill(self, out: Array, value: Any) -> None:
        for blank in self._blanks:
            out[blank] = value


def is_mapped(array: Array) -> bool:
    """Whether an array is a view of a file."""
    base: Any = array
    while base is not None and not isinstance(base, mmap):
        base = getattr(base, "base", None)
    return base is not None


def touch(array: Array, starts: Rows, lengths: Rows) -> None:
    """Has the pages of a file read into memory that runs of values lie in.

    One call reads a value of each page, and holds no GIL. To copy the runs then waits for no disk while it holds it.

    Args:
        array: The file, mapped.
        starts: Where the runs begin, of shape `(n,)`.
        lengths: How many values they have, at least 1.
    """
    step = PAGE // array.itemsize
    each = lengths // step + 2
    of = np.repeat(np.arange(len(starts)), each)
    places = starts[of] + (np.arange(len(of)) - (np.cumsum(each) - each)[of]) * step
    array.take(np.minimum(places, (starts + lengths - 1)[of]))


def _in_turn(values: Array, others: Rows | int) -> Array:
    """Each value, and then the other one of the same place."""
    both = np.empty(2 * len(values), values.dtype)
    both[::2], both[1::2] = values, others
    return both


@lru_cache(maxsize=16)
def counting(count: int, dtype: np.dtype[Any]) -> Array:
    """The numbers from 0 to `count`, not to be written to."""
    numbers = np.arange(count).astype(dtype)
    numbers.flags.writeable = False
    return numbers
