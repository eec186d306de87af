"""Writing packed rows: the values of pieces, and the arrays that say which piece each value is of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from mmap import mmap
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from loadax_core import Rows

from ..orders.row_blocks import PADDING, Placed
from ..sources.segments import counting, write_segments

Array = npt.NDArray[Any]

Arrays: TypeAlias = "Sequence[Array] | Mapping[int, Array]"
"""The arrays of one leaf, by number."""


PAGE = 4096
"""The least bytes that are read of a file that is mapped into memory."""

SHORT = 100
"""From this average length on, pieces are copied one by one, and shorter ones all at once.

To copy a piece takes about 0.2 us, and to compute a place for each value about 2 ns.
"""


class Writer:
    """Writes rows that follow each other in memory, of shape `(values,)`.

    Args:
        placed: What is in the rows.
        values: How many values the rows have.
    """

    def __init__(self, placed: Placed, values: int) -> None:
        self._placed, self._values = placed, values
        self._stops = placed.places + placed.lengths
        self._lasts = self._stops - 1
        blanks = np.flatnonzero(placed.numbers == 0)
        bounds = placed.places[blanks].tolist(), self._stops[blanks].tolist()
        self._blanks = [slice(*pair) for pair in zip(*bounds, strict=True)]

    def copy(self, arrays: Arrays, out: Array, pad: Any) -> None:
        """Copies the pieces of one leaf, and fills the rest with `pad`."""
        placed = self._placed
        numbers: set[int] = set(placed.which.tolist())
        sources = {number: arrays[number] for number in numbers - {PADDING}}
        if len(sources) > 1 or self._values >= SHORT * len(placed.rows):
            self._copy_runs(sources, out, pad)
            return
        # Places in padding come to nothing, as long as they are in range.
        places = np.repeat(placed.starts - placed.places, placed.lengths)
        places += counting(self._values, np.dtype(np.int64))
        for source in sources.values():
            np.take(source, places, out=out, mode="clip")
        self._fill(out, pad)

    def _copy_runs(self, sources: dict[int, Array], out: Array, pad: Any) -> None:
        """Copies the pieces of one leaf one by one."""
        which, starts, stops = self._placed.which, self._placed.starts, self._placed.starts + self._placed.lengths
        if self._blanks:
            sources[PADDING] = np.full(max(blank.stop - blank.start for blank in self._blanks), pad, out.dtype)
        if not all(source.flags.c_contiguous and source.dtype == out.dtype for source in sources.values()):
            runs = zip(which.tolist(), starts.tolist(), stops.tolist(), self._stops.tolist(), strict=True)
            for number, start, stop, end in runs:
                out[end - stop + start : end] = sources[number][start:stop]
            return
        for number, source in sources.items():
            if is_mapped(source):
                here = which == number
                touch(source, starts[here], stops[here])
        # Slices of bytes take a third of the time of slices of arrays, and do not give up the GIL each time.
        data = {number: source.view(np.uint8).data for number, source in sources.items()}
        width = out.itemsize
        runs = zip(which.tolist(), (starts * width).tolist(), (stops * width).tolist(), strict=True)
        out.view(np.uint8).data[:] = b"".join([data[number][start:stop] for number, start, stop in runs])

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
        out[self._lasts] = pad
        # Pieces that go on in another row.
        cut = np.flatnonzero(~placed.ends)
        which, lasts, following = placed.which[cut], self._lasts[cut], (placed.starts + placed.lengths)[cut]
        numbers: set[int] = set(which.tolist())
        for number in numbers:
            here = which == number
            out[lasts[here]] = arrays[number][following[here]]

    def segments(self, segments: Array, positions: Array) -> None:
        """Writes which piece each value is of, and its place in it, as `(rows, size)`; 0 in padding."""
        placed = self._placed
        write_segments(placed.numbers, placed.places, placed.lengths, segments, positions)
        self._fill(positions.reshape(-1), 0)

    def mask(self, out: Array) -> None:
        """Writes whether a value has another one of its document after it."""
        out.fill(True)
        out[self._lasts] = ~self._placed.ends
        self._fill(out, False)

    def _fill(self, out: Array, value: Any) -> None:
        for blank in self._blanks:
            out[blank] = value


def is_mapped(array: Array) -> bool:
    """Whether an array is a view of a file."""
    base: Any = array
    while base is not None and not isinstance(base, mmap):
        # `np.frombuffer` refers to its buffer by a memoryview.
        base = base.obj if isinstance(base, memoryview) else getattr(base, "base", None)
    return base is not None


def touch(array: Array, starts: Rows, stops: Rows) -> None:
    """Has the pages of a file read into memory that runs of values lie in.

    One call reads a value of each page, and holds no GIL. To copy the runs then waits for no disk while it holds it.

    Args:
        array: The file, mapped.
        starts: Where the runs begin, of shape `(n,)`.
        stops: Where they end, at least one value later.
    """
    step = PAGE // array.itemsize
    each = (stops - starts) // step + 2
    of = np.repeat(np.arange(len(starts)), each)
    places = starts[of] + (np.arange(len(of)) - (np.cumsum(each) - each)[of]) * step
    array.take(np.minimum(places, (stops - 1)[of]))
