"""Which pieces of which documents share a row, in any epoch, found without the rows before it.

A document that is longer than a row is cut into pieces. All others are pieces as they are. The plan is made from the
number of pieces of each length, see `templates`: each row has places for pieces of certain lengths. In each epoch,
the pieces of a length are dealt anew to the places of that length. So rows have other contents in each epoch, while
their number and the padding stay the same.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
from loadax_core import Rows

from ..rows import Wanted
from .dealing import Deal
from .permutation import Permutation
from .templates import plan

Long: TypeAlias = Literal["cut", "drop", "error"]

CHUNK = 1 << 20
"""Documents whose lengths are looked at at a time: 8 MiB."""

PARTNERS = 64
"""A length is rare if fewer than 64 pieces have it: the same few pieces would meet in every epoch."""

SLACK = 5e-4
"""Rare lengths are planned as if they were a longer one, so that more pieces are dealt together.

The padding that this adds is at most this share of all values.
"""


class Lengths(Protocol):
    """The lengths of documents."""

    def __len__(self) -> int: ...

    def __getitem__(self, documents: slice | Rows, /) -> Rows:
        """The lengths of some documents, of shape `(n,)`, int64."""
        ...


class Pieces(NamedTuple):
    """What is in some rows, in order; all arrays of shape `(pieces,)`.

    Attributes:
        rows: Which of the rows each piece is in: 0 for the first that was asked for.
        documents: The document that it is of.
        skips: How many values of the document come before it.
        lengths: How many values it has.
        places: Where it begins in the row.
        numbers: 1 for the first piece of a row, 2 for the next one, and so on.
        ends: Whether it holds the last value of its document.
    """

    rows: Rows
    documents: Rows
    skips: Rows
    lengths: Rows
    places: Rows
    numbers: Rows
    ends: npt.NDArray[np.bool_]


class Sorted(NamedTuple):
    """Documents by the length of their last piece, which is all of a document that fits into a row.

    Attributes:
        order: The documents, by that length; those without values, or with nothing but full pieces, are left out.
        counts: How many there are of each length, of shape `(size + 1,)`.
        cut: The documents that have pieces as long as a row.
        full: The number of such pieces in these and all before, of shape `(len(cut),)`.
        values: The number of values of all pieces.
    """

    order: Rows
    counts: Rows
    cut: Rows
    full: Rows
    values: int


def sort(lengths: Lengths, size: int, long: Long) -> Sorted:
    """Sorts documents by the length of their last piece, in the memory of one number a document.

    Args:
        lengths: The lengths of the documents.
        size: The length of a row.
        long: What becomes of longer documents.

    Raises:
        ValueError: If a length is negative, or a document is too long and `long` is `"error"`; names the document.
    """
    counts, cut, full, values = np.zeros(size + 1, np.int64), [np.empty(0, np.int64)], [np.empty(0, np.int64)], 0
    starts = range(0, len(lengths), CHUNK)
    for start in starts:
        part = lengths[start : start + CHUNK]
        check_lengths(part, size, long, start)
        last, long_ones = _last_pieces(part, size, long)
        counts += np.bincount(last, minlength=size + 1)
        pieces = (part[long_ones] - last[long_ones]) // size
        cut.append(long_ones + start)
        full.append(pieces)
        values += int(last.sum()) + int(pieces.sum()) * size
    counts[0] = 0
    order: Any = np.empty(int(counts.sum()), dtype_of_order(len(lengths)))
    # Where the next document of each length goes.
    free = np.cumsum(counts) - counts
    for start in starts:
        last, _ = _last_pieces(lengths[start : start + CHUNK], size, long)
        # NumPy sorts 16 bits by radix.
        by_length = np.argsort(last.astype(np.uint16) if size < 1 << 16 else last, kind="stable")
        by_length = by_length[np.searchsorted(last[by_length], 1) :]
        ordered = last[by_length]
        here = np.bincount(ordered, minlength=size + 1)
        order[np.arange(len(ordered)) + (free - np.cumsum(here) + here)[ordered]] = by_length + start
        free += here
    return Sorted(order, counts, np.concatenate(cut), np.cumsum(np.concatenate(full)), values)


def dtype_of_order(documents: int) -> np.dtype[Any]:
    """The dtype of `Sorted.order` for a number of documents."""
    return np.dtype(np.int32 if documents < 2**31 else np.int64)


def _last_pieces(lengths: Rows, size: int, long: Long) -> tuple[Rows, Rows]:
    """The length of each document's last piece, 0 if it has none; and the documents that have full pieces before it."""
    last = lengths.copy()
    long_ones = np.flatnonzero(lengths >= size)
    if long == "drop":
        last[lengths > size] = 0
        return last, long_ones[:0]
    last[long_ones] %= size
    return last, long_ones


def check_lengths(lengths: Rows, size: int, long: Long, start: int) -> None:
    """Refuses lengths that no document has, and documents that are too long.

    Raises:
        ValueError: If there are any; names the first document, counted from `start`.
    """
    wrong = np.flatnonzero((lengths < 0) | ((lengths > size) & (long == "error")))
    if len(wrong):
        document, length = start + wrong.item(0), lengths[wrong[0]]
        if length < 0:
            raise ValueError(f"lengths must be at least 0, but document {document} has {length}")
        raise ValueError(
            f"document {document} has {length} values, more than a row of {size}; cut such documents (long='cut'), "
            "leave them out (long='drop'), or choose a larger size"
        )


class BestFit:
    """Rows planned by `how="best"`.

    Args:
        lengths: The lengths of the documents.
        data: The documents by length, as `sort` returns them.
        size: The length of a row.
        align: What the place of each piece is a multiple of; `size` is one, too.
        most: The most pieces in a row; None for any number.

    Attributes:
        rows: The number of rows, in every epoch.
        pieces: The number of pieces in all rows.
        values: The number of values in all rows.
    """

    def __init__(self, lengths: Lengths, data: Sorted, size: int, align: int, most: int | None) -> None:
        self._lengths, self._sorted, self._size, self._align = lengths, data, size, align
        self._classify()
        self._templates = plan(self._sizes.tolist(), self._counts.tolist(), size // align, most)
        self.rows, self.pieces, self.values = self._templates.rows, int(self._counts.sum()), self._sorted.values

    def _classify(self) -> None:
        """Divides the pieces into classes of one size, in units of `align`: full pieces first, then the longest."""
        counts = self._sorted.counts
        firsts = np.cumsum(counts) - counts
        # Of each class its size, its number of pieces, and where these begin among the sorted documents.
        classes = [[self._size // self._align, int(full), 0] for full in self._sorted.full[-1:]]
        self._full = len(classes)
        budget = 0.0
        for length in np.flatnonzero(counts)[::-1].tolist():
            count, units = int(counts[length]), -(-length // self._align)
            budget += SLACK * count * length
            if len(classes) > self._full:
                size, others, _ = last = classes[-1]
                cost = count * (size - units) * self._align
                if not cost or (min(others, count) < PARTNERS and cost <= budget):
                    budget -= cost
                    last[1:] = others + count, int(firsts[length])
                    continue
            classes.append([units, count, int(firsts[length])])
        self._sizes, self._counts, self._starts = np.array(classes, np.int64).reshape(-1, 3).T

    def in_epoch(self, seed: int, epoch: int) -> BestFitEpoch:
        """The rows of one epoch."""
        return BestFitEpoch(self, seed, epoch)

    def places(self, rows: Rows) -> tuple[Rows, Rows, Rows, Rows]:
        """The places of planned rows.

        Args:
            rows: Of shape `(n,)`.

        Returns:
            Three arrays of shape `(places,)`: for each place, which of the rows it is in, its class, and its number
            among all places of the class. And one of shape `(n,)`: for each row, its first place.
        """
        found = self._templates
        which = np.searchsorted(found.ends, rows, "right")
        begins, instance = found.firsts[which], rows - np.where(which > 0, found.ends[which - 1], 0)
        each = found.firsts[which + 1] - begins
        starts = np.cumsum(each) - each
        of = np.repeat(np.arange(len(rows)), each)
        entries = np.arange(len(of)) + (begins - starts)[of]
        return of, found.classes[entries], found.bases[entries] + instance[of] * found.steps[entries], starts

    def look_up(self, classes: Rows, numbers: Rows) -> tuple[Rows, Rows, Rows, npt.NDArray[np.bool_]]:
        """The pieces with some numbers in their classes.

        Returns:
            For each piece its document, how many values of the document come before it, its length, and whether it
            holds the last value of its document.
        """
        size, data = self._size, self._sorted
        documents = np.empty(len(classes), np.int64)
        skips = np.zeros(len(classes), np.int64)
        full = np.flatnonzero(classes == 0) if self._full else np.empty(0, np.int64)
        rest = np.flatnonzero(classes != 0) if self._full else slice(None)
        documents[rest] = data.order[self._starts[classes[rest]] + numbers[rest]]
        if len(full):
            which = np.searchsorted(data.full, numbers[full], "right")
            documents[full] = data.cut[which]
            skips[full] = (numbers[full] - np.where(which > 0, data.full[which - 1], 0)) * size
        whole = self._lengths[documents]
        lengths = np.where(whole > size, whole % size, whole)
        lengths[full] = size
        skips[rest] = (whole - lengths)[rest]
        return documents, skips, lengths, skips + lengths == whole

    @property
    def counts(self) -> Rows:
        """The number of pieces of each class."""
        return self._counts

    def in_row(self, lengths: Rows, of: Rows, starts: Rows) -> tuple[Rows, Rows]:
        """Where pieces begin in their rows, and which pieces of their rows they are, counted from 1."""
        taken = -(-lengths // self._align) * self._align
        before = np.cumsum(taken) - taken
        return before - before[starts][of], np.arange(len(of)) - starts[of] + 1


class BestFitEpoch:
    """The rows of one epoch of a `BestFit`.

    Args:
        plan: The plan.
        seed: Any integer of at least 0.
        epoch: Any integer of at least 0.
    """

    def __init__(self, plan: BestFit, seed: int, epoch: int) -> None:
        self._plan = plan
        self._order = Permutation(plan.rows, seed, epoch, "pack rows")
        self._deal = Deal(plan.counts, seed, epoch, "pack")

    def __call__(self, rows: Wanted) -> Pieces:
        """What is in some rows; takes as long as these have pieces."""
        of, classes, numbers, starts = self._plan.places(self._order(rows))
        documents, skips, lengths, ends = self._plan.look_up(classes, self._deal(classes, numbers))
        places, numbers = self._plan.in_row(lengths, of, starts)
        return Pieces(of, documents, skips, lengths, places, numbers, ends)
