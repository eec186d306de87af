"""Rows several times over, and rows that fill a last batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from loadax_core import Alloc, Dataset, Gather, Rows, Traced

from ..base import take_from
from ..checks import check_int
from ..rows import Wanted, as_array, rows_in_range
from .base import ReorderedDataset, Transform, check_length

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")


class RepeatedDataset(ReorderedDataset[T_co]):
    """The rows of a source several times over, in the same order each time.

    All repetitions are one epoch. For another order in each pass, use `DataLoader().epochs(n)` instead.

    Args:
        source: Any object with `len()` and `[i]`.
        times: The number of repetitions, at least 0.

    Raises:
        TypeError: If `times` is not an integer.
        ValueError: If `times` is negative, or there would be more rows than `len()` can count.

    Example:
        >>> list(RepeatedDataset(["a", "b"], 2))
        ['a', 'b', 'a', 'b']
    """

    _noun = "repetition"

    def __init__(self, source: Dataset[T_co], times: int) -> None:
        super().__init__(source)
        self._times = check_int("times", times, 0)
        check_length(len(self._source) * self._times, "the repetition")

    def __len__(self) -> int:
        return len(self._source) * self._times

    def _source_row(self, row: int) -> int:
        """The row, counted from the start of its repetition."""
        return row % len(self._source)

    def _source_rows(self, rows: Wanted) -> Rows:
        """The rows, counted from the starts of their repetitions."""
        return as_array(rows) % max(1, len(self._source))

    def _rows_of(self, source_row: int) -> list[int]:
        return list(range(source_row, len(self), len(self._source)))

    def fingerprint(self) -> dict[str, Any]:
        """The number of times and the source."""
        return {"repeat": self._times, "source": self._source.fingerprint()}

    def describe(self) -> str:
        """The number of times."""
        return f"RepeatedDataset(times={self._times})"


class PaddedDataset(Transform[tuple[T_co, bool]]):
    """The rows of a source, padded so that their number is a multiple of the batch size.

    Items become pairs of the item and whether it is real. Padding repeats the first rows, which have the right shapes.
    Multiply the loss or the metric by the flag. An empty dataset stays empty.

    Args:
        source: Any object with `len()` and `[i]`.
        multiple: The length becomes a multiple of this number, which is at least 1.

    Raises:
        TypeError: If `multiple` is not an integer.
        ValueError: If `multiple` is less than 1.

    Example:
        >>> list(PaddedDataset(["a", "b", "c"], 2))
        [('a', True), ('b', True), ('c', True), ('a', False)]
    """

    def __init__(self, source: Dataset[T_co], multiple: int) -> None:
        super().__init__(source)
        self._multiple = check_int("multiple", multiple, 1)
        check_length(-(-len(self._source) // self._multiple) * self._multiple, "the padded dataset")

    def __len__(self) -> int:
        return -(-len(self._source) // self._multiple) * self._multiple

    def read(self, row: int) -> tuple[T_co, bool]:
        """The item, and whether it is real."""
        return self._source.read(row % len(self._source)), row < len(self._source)

    def read_many(self, rows: list[int]) -> list[tuple[T_co, bool]]:
        """The items, each with whether it is real."""
        wanted = rows_in_range(rows, len(self))
        length = len(self._source)
        items = self._source.read_many([row % length for row in wanted])
        return [(item, row < length) for row, item in zip(wanted, items, strict=True)]

    @property
    def gather(self) -> Gather | None:
        """The source's gather, and the flags as a bool array of shape `(n,)`."""
        return None if self._source.gather is None else self._gather

    def _take(self, rows: Wanted, alloc: Alloc) -> Any:
        numbers = as_array(rows)
        real = alloc((len(numbers),), np.dtype(bool))
        np.less(numbers, len(self._source), out=real)
        return take_from(self._source, numbers % max(1, len(self._source)), alloc), real

    @property
    def padding(self) -> float:
        """The share of padding, from 0 to 1."""
        return 1 - len(self._source) / len(self) if len(self) else 0.0

    def trace(self, rows: Rows, epoch: int) -> Sequence[Traced]:
        """The origins of the items; of padding, those of the item that it repeats."""
        return self._source.trace(rows % max(1, len(self._source)), epoch)

    def places(self, row: int, path: tuple[int, ...] = ()) -> list[int]:
        """The rows of the item, and those of padding that repeat it."""
        length = len(self._source)
        return [place for first in self._source.places(row, path) for place in range(first, len(self), length)]

    def fingerprint(self) -> dict[str, Any]:
        """The multiple and the source."""
        return {"pad_to_multiple": self._multiple, "source": self._source.fingerprint()}

    def describe(self) -> str:
        """The multiple."""
        return f"PaddedDataset(multiple={self._multiple})"
