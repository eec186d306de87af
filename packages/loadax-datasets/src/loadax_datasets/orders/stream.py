"""All documents of an epoch as one stream of values, cut into rows: no padding, and no value lost but at the end."""

from __future__ import annotations

import numpy as np
from loadax_core import Rows

from ..rows import Wanted, as_array
from .packing import CHUNK, Lengths, Long, Pieces, check_lengths
from .permutation import Permutation


class Stream:
    """Rows planned by `how="split"`.

    Args:
        lengths: The lengths of the documents.
        size: The length of a row.
        long: What becomes of longer documents: `"cut"` keeps them, since any document may be cut.

    Attributes:
        rows: The number of rows, in every epoch.
        pieces: About how many pieces are in all rows: a document that lies in two rows is two pieces.
        values: The number of values in all rows.
    """

    def __init__(self, lengths: Lengths, size: int, long: Long) -> None:
        self._lengths, self._size = lengths, size
        self._long: Long = long
        total = documents = 0
        for start in range(0, len(lengths), CHUNK):
            part = self._kept(lengths[start : start + CHUNK], start)
            total += int(part.sum())
            documents += int(np.count_nonzero(part))
        self.rows = total // size
        self.values, self.pieces = self.rows * size, documents + self.rows

    def _kept(self, lengths: Rows, start: int | None = None) -> Rows:
        """The lengths, 0 for documents that are left out; checked if `start` is given, the number of the first one."""
        if start is not None:
            check_lengths(lengths, self._size, self._long, start)
        return np.where(lengths > self._size, 0, lengths) if self._long == "drop" else lengths

    def in_epoch(self, seed: int, epoch: int) -> StreamEpoch:
        """The rows of one epoch. Takes the memory of one number a document, and the time to add up their lengths."""
        order = Permutation(len(self._lengths), seed, epoch, "pack stream")
        starts = np.zeros(len(self._lengths) + 1, np.int64)
        for start in range(0, len(self._lengths), CHUNK):
            places = range(start, min(start + CHUNK, len(self._lengths)))
            starts[start + 1 : places.stop + 1] = self._kept(self._lengths[order(places)])
        return StreamEpoch(self._size, order, np.cumsum(starts, out=starts))


class StreamEpoch:
    """The rows of one epoch of a `Stream`.

    Args:
        size: The length of a row.
        order: The order of the documents.
        starts: Where each document of that order begins in the stream, and the last one ends.
    """

    def __init__(self, size: int, order: Permutation, starts: Rows) -> None:
        self._size, self._order, self._starts = size, order, starts

    def __call__(self, rows: Wanted) -> Pieces:
        """What is in some rows."""
        rows = as_array(rows)
        begins = rows * self._size
        first = np.searchsorted(self._starts, begins, "right") - 1
        last = np.searchsorted(self._starts, begins + self._size)
        each = last - first
        of = np.repeat(np.arange(len(rows)), each)
        places = np.arange(len(of)) + (first - np.cumsum(each) + each)[of]
        begin = np.maximum(self._starts[places], begins[of])
        end = np.minimum(self._starts[places + 1], begins[of] + self._size)
        # Documents without values.
        some = begin < end
        of, places, begin, end = of[some], places[some], begin[some], end[some]
        starts = np.searchsorted(of, np.arange(len(rows)))
        return Pieces(
            rows=of,
            documents=self._order(places),
            skips=begin - self._starts[places],
            lengths=end - begin,
            places=begin - begins[of],
            numbers=np.arange(len(of)) - starts[of] + 1,
            ends=end == self._starts[places + 1],
        )
