"""What datasets with several sources share, and the two plain ways to join them: one after the other, side by side."""

from __future__ import annotations

import copy
import itertools
from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, TypeVar, overload

import numpy as np
from loadax_core import Alloc, Dataset, Gather, Rows, StackError, add_note, aligned_empty, join_batches

from ..adapt import as_dataset
from ..base import BaseDataset, take_from
from ..rows import Wanted, as_array, rows_in_range
from .base import check_length

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")
U = TypeVar("U")


class CombinedDataset(BaseDataset[T_co]):
    """A dataset that reads several others.

    Args:
        sources: Objects with `len()` and `[i]`; at least one.

    Raises:
        TypeError: If one of the sources cannot be counted or read by number.
        ValueError: If there is none.
    """

    def __init__(self, sources: Sequence[Dataset[Any]]) -> None:
        if not sources:
            raise ValueError(f"{type(self).__name__} needs at least one dataset")
        for source in sources:
            # The first row tells; a list may be long.
            if isinstance(source, list | tuple) and any(isinstance(row, BaseDataset) for row in source[:1]):
                raise TypeError(
                    f"a {type(source).__name__} of datasets would be one dataset, whose rows they are; give them one "
                    "by one, as in concat(*datasets)"
                )
        self._sources = tuple(as_dataset(source) for source in sources)
        self.in_epoch = max(source.in_epoch for source in self._sources)

    @property
    def sources(self) -> tuple[BaseDataset[Any], ...]:
        """The sources, in the order in which they were given."""
        return self._sources

    def at_epoch(self, epoch: int, /) -> BaseDataset[T_co]:
        """The same combination of the sources as they are in `epoch`."""
        sources = tuple(source.at_epoch(epoch) for source in self._sources)
        if all(new is old for new, old in zip(sources, self._sources, strict=True)):
            return self
        moved = copy.copy(self)
        moved.in_epoch = epoch
        moved._sources = sources  # noqa: SLF001 (a copy of self)
        return moved


class ChoosingDataset(CombinedDataset[T_co]):
    """A dataset whose every row is a row of one of its sources; a subclass defines which of which."""

    @abstractmethod
    def _locate(self, rows: Rows) -> tuple[Rows, Rows]:
        """For each of `rows`, of shape `(n,)`: the number of the source, and the row there."""

    @abstractmethod
    def _locate_one(self, row: int) -> tuple[int, int]:
        """`_locate` of one row."""

    def read(self, row: int) -> T_co:
        """The row of the source that it is a row of."""
        which, source_row = self._locate_one(row)
        try:
            return self._sources[which].read(source_row)
        except Exception as error:
            add_note(error, f"row {row} of this {type(self).__name__} is row {source_row} of its source {which}")
            raise

    def read_many(self, rows: list[int]) -> list[T_co]:
        """The rows, with one read of each source."""
        which, source_rows = self._locate(np.array(rows_in_range(rows, len(self)), np.int64))
        items: list[Any] = [None] * len(rows)
        for number, positions in _positions(which):
            read = self._sources[number].read_many(source_rows[positions].tolist())
            for position, item in zip(positions.tolist(), read, strict=True):
                items[position] = item
        return items

    @property
    def gather(self) -> Gather | None:
        """A gather from each source, put in order; None if one of them cannot."""
        return None if any(source.gather is None for source in self._sources) else self._gather

    def _take(self, rows: Wanted, alloc: Alloc) -> Any:
        which, source_rows = self._locate(as_array(rows))
        parts = sorted(_positions(which), key=lambda part: part[1][0])
        if len(parts) < 2:
            return take_from(self._sources[parts[0][0] if parts else 0], source_rows, alloc)
        gathered = [self._take_part(number, source_rows[positions], positions) for number, positions in parts]
        return join_batches(gathered, [positions for _, positions in parts], alloc)

    def _take_part(self, number: int, source_rows: Rows, positions: Rows) -> Any:
        try:
            return take_from(self._sources[number], source_rows, aligned_empty)
        except StackError as error:
            i, j = error.items
            error.items = positions.item(i), positions.item(j)
            if error.items != (i, j):
                there = " and ".join(map(str, error.items))
                add_note(error, f"items {i} and {j} of source {number} are items {there} of the batch")
            raise


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

    def __len__(self) -> int:
        return self._ends[-1]

    def _locate_one(self, row: int) -> tuple[int, int]:
        """The first source that ends beyond the row."""
        which = bisect_right(self._ends, row)
        return which, row - self._starts[which]

    def _locate(self, rows: Rows) -> tuple[Rows, Rows]:
        """The first sources that end beyond the rows."""
        which = np.searchsorted(self._ends, rows, side="right")
        return which, rows - np.array(self._starts, np.int64)[which]

    def fingerprint(self) -> dict[str, Any]:
        """The sources."""
        return {"concat": [source.fingerprint() for source in self._sources]}


class ZippedDataset(CombinedDataset[T_co]):
    """The rows of several datasets side by side, as tuples.

    Args:
        *sources: Objects with `len()` and `[i]`, all of the same length.

    Raises:
        TypeError: If one of the sources cannot be counted or read by number.
        ValueError: If there is none, or their lengths differ.

    Example:
        >>> list(ZippedDataset([1, 2], ["a", "b"]))
        [(1, 'a'), (2, 'b')]
    """

    @overload
    def __init__(self: ZippedDataset[tuple[T]], source: Dataset[T], /) -> None: ...
    @overload
    def __init__(self: ZippedDataset[tuple[T, U]], first: Dataset[T], second: Dataset[U], /) -> None: ...
    @overload
    def __init__(self: ZippedDataset[tuple[Any, ...]], *sources: Dataset[Any]) -> None: ...
    def __init__(self, *sources: Dataset[Any]) -> None:
        super().__init__(sources)
        lengths = [len(source) for source in self._sources]
        if len(set(lengths)) > 1:
            raise ValueError(
                f"zipped datasets must have the same length, got {lengths}; cut them with .take({min(lengths)})"
            )

    def __len__(self) -> int:
        return len(self._sources[0])

    def read(self, row: int) -> T_co:
        """The tuple of the sources' rows."""
        items: Any = tuple(source.read(row) for source in self._sources)
        return items

    def read_many(self, rows: list[int]) -> list[T_co]:
        """The tuples of the sources' rows, with one read of each source."""
        wanted = rows_in_range(rows, len(self))
        items: Any = zip(*(source.read_many(wanted) for source in self._sources), strict=True)
        return list(items)

    @property
    def gather(self) -> Gather | None:
        """The tuple of the sources' gathers; None if one of them cannot."""
        return None if any(source.gather is None for source in self._sources) else self._gather

    def _take(self, rows: Wanted, alloc: Alloc) -> Any:
        return tuple(take_from(source, rows, alloc) for source in self._sources)

    def fingerprint(self) -> dict[str, Any]:
        """The sources."""
        return {"zip": [source.fingerprint() for source in self._sources]}


def _positions(which: Rows) -> list[tuple[int, Rows]]:
    """For each source that occurs in `which`, where it does."""
    return [(number, np.flatnonzero(which == number)) for number in np.unique(which).tolist()]
