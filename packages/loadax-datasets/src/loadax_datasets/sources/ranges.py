"""Numbers, for indices, tests and examples."""

from __future__ import annotations

from operator import itemgetter
from typing import Any, SupportsIndex, overload

import numpy as np
from loadax_core import Alloc, Gather, Rows

from ..base import BaseDataset
from ..rows import Wanted, as_array, rows_in_range


class RangeDataset(BaseDataset[int]):
    """The numbers of `range(start, stop, step)`, computed when they are read.

    Args:
        start: The first number. Without a `stop`, the end, as in `range(stop)`.
        stop: The end, exclusive.
        step: Difference between neighbours; may be negative.

    Raises:
        TypeError: If an argument is not an integer.
        ValueError: If `step` is 0, if an argument does not fit int64, the dtype of a gathered batch, or
            if there are more numbers than `len()` can count.

    Example:
        >>> list(RangeDataset(2, 11, 3))
        [2, 5, 8]
    """

    @overload
    def __init__(self, start: SupportsIndex, /, stop: None = None, step: SupportsIndex = 1) -> None: ...
    @overload
    def __init__(self, start: SupportsIndex, stop: SupportsIndex, step: SupportsIndex = 1) -> None: ...
    def __init__(self, start: SupportsIndex, stop: SupportsIndex | None = None, step: SupportsIndex = 1) -> None:
        for value in (start, stop, step):
            if isinstance(value, bool):
                raise TypeError(f"RangeDataset takes integers, got {value!r}")
        self._range = range(0, start, step) if stop is None else range(start, stop, step)
        if any(not -(2**63) <= n < 2**63 for n in (self._range.start, self._range.stop, self._range.step)):
            raise ValueError(f"the numbers of {self._range} do not fit int64, the dtype of a gathered batch")
        try:
            len(self._range)
        except OverflowError:
            raise ValueError(f"{self._range} has more numbers than len() can count") from None

    def __len__(self) -> int:
        return len(self._range)

    def read(self, row: int) -> int:
        """The number at `row`."""
        return self._range[row]

    def read_many(self, rows: list[int]) -> list[int]:
        """The numbers at `rows`."""
        numbers = self._range
        try:
            # The fastest way to many items. It returns a single item without a tuple.
            return list(itemgetter(*rows)(numbers)) if len(rows) > 1 else [numbers[row] for row in rows]
        except (IndexError, TypeError):
            rows_in_range(rows, len(self))  # raises an error that names the row
            raise

    def _read_numbers(self, rows: Rows) -> list[int]:
        start, step = self._range.start, self._range.step
        numbers = rows if step == 1 else rows * step
        return (numbers + start if start else numbers).tolist()

    @property
    def batched(self) -> bool:
        """True: many numbers are computed in one call."""
        return True

    @property
    def gather(self) -> Gather:
        """Computes the numbers, as int64 of shape `(n,)`."""
        return self._gather

    @property
    def rowwise(self) -> bool:
        """True: a row is computed for itself."""
        return True

    def _take(self, rows: Wanted, alloc: Alloc) -> Any:
        numbers = alloc((len(rows),), np.dtype(np.int64))
        np.multiply(as_array(rows), self._range.step, out=numbers)
        numbers += self._range.start
        return numbers

    def _own_contents(self) -> dict[str, Any]:
        """The numbers, as start, stop and step."""
        return {"range": [self._range.start, self._range.stop, self._range.step]}

    def describe(self) -> str:
        """Start, stop and step, as `range` shows them."""
        return f"RangeDataset{repr(self._range).removeprefix('range')}"
