"""Several datasets one after the other."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from typing import Any, TypeVar

import numpy as np
from loadax_core import Dataset, Rows

from ..flat_views import FlatDocuments, joined
from ..rows import Wanted
from .base import check_length
from .choosing import FEW_SOURCES, ChoosingDataset, Part

T_co = TypeVar("T_co", covariant=True)


class ConcatenatedDataset(ChoosingDataset[T_co]):
    """The rows of several datasets, one after the other; written `first + second`.

    Args:
        *sources: Objects with `len()` and `[i]`; at least one.

    Raises:
        TypeError: If one of the sources cannot be counted or read by number.
        ValueError: If there is none, or they have more rows than `len()` can count.
        StackError: When a gathered batch has rows of sources whose trees, shapes or dtypes differ.

    Example:
        >>> list(ConcatenatedDataset(["a", "b"], ["c"]))
        ['a', 'b', 'c']
    """

    def __init__(self, *sources: Dataset[T_co]) -> None:
        super().__init__(sources)
        self._ends = list(itertools.accumulate(len(source) for source in self._sources))
        check_length(self._ends[-1], "the concatenation")
        self._starts = [0, *self._ends[:-1]]
        self._bounds = np.array(self._ends, np.int64), np.array(self._starts, np.int64)
        # NumPy subtracts arrays of shape () in half the time of Python's numbers.
        self._shifts = [np.array(start, np.int64) for start in self._starts]

    def __len__(self) -> int:
        return self._ends[-1]

    def _flat_documents(self) -> FlatDocuments | None:
        """Those of all sources, if these are alike."""
        return joined([source._flat_documents() for source in self._sources])  # noqa: SLF001

    def _locate_one(self, row: int) -> tuple[int, int]:
        """The first source that ends after the row."""
        which = bisect_right(self._ends, row)
        return which, row - self._starts[which]

    def _locate(self, rows: Rows) -> tuple[Rows, Rows]:
        """The first sources that end after the rows."""
        ends, starts = self._bounds
        which = ends.searchsorted(rows, "right")
        return which, rows - starts[which]

    def _parts(self, rows: Wanted) -> list[Part]:
        """Rows by source."""
        sources = self._sources
        if isinstance(rows, range) or self._common is None or len(sources) > FEW_SOURCES:
            # Parts that are joined must have their places in order: the first item decides what the batch is.
            return super()._parts(rows)
        # Sorted rows lie in the order of the sources.
        order = rows.argsort()
        ordered = rows[order]
        parts: list[Part] = []
        begin = 0
        for number, end in enumerate(ordered.searchsorted(self._bounds[0]).tolist()):
            if end > begin:
                if end - begin == len(rows):
                    return [(number, sources[number], rows - self._shifts[number], slice(0, end))]
                here = ordered[begin:end] - self._shifts[number] if number else ordered[:end]
                parts.append((number, sources[number], here, order[begin:end]))
                begin = end
        return parts

    def _parts_of_range(self, rows: range) -> list[Part]:
        """One range of rows of each source that has some of the rows."""
        parts: list[Part] = []
        begin = rows.start
        number = bisect_right(self._ends, begin)
        while begin < rows.stop:
            end, start = min(rows.stop, self._ends[number]), self._starts[number]
            if begin < end:
                own, places = range(begin - start, end - start), slice(begin - rows.start, end - rows.start)
                parts.append((number, self._sources[number], own, places))
            begin, number = end, number + 1
        return parts

    def places(self, row: int, path: tuple[int, ...] = ()) -> list[int]:
        """The rows that are made from it in the source that `path` begins with, counted on from the sources before."""
        number, source = self._source_at(path, row)
        return [self._starts[number] + place for place in source.places(row, path[1:])]

    def prefix_fingerprint(self, rows: int) -> dict[str, Any] | None:
        """The facts of the sources that hold these rows."""
        firsts: list[dict[str, Any] | None] = []
        for source, start in zip(self._sources, self._starts, strict=True):
            first = source.prefix_fingerprint(min(len(source), max(0, rows - start)))
            if start < rows or first is None:
                firsts.append(first)
        return None if None in firsts else {"concat": firsts}

    def fingerprint(self) -> dict[str, Any]:
        """The sources."""
        return {"concat": [source.fingerprint() for source in self._sources]}
