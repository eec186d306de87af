"""Slices of a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from loadax_core import Dataset

from ..base import BaseDataset
from ..rows import Wanted, as_array
from .base import ReorderedDataset

T_co = TypeVar("T_co", covariant=True)


class SlicedDataset(ReorderedDataset[T_co]):
    """The rows of `dataset[start:stop:step]`, by the rules of a list's slice, without a copy.

    Args:
        source: Any object with `len()` and `[i]`.
        rows: The slice. Bounds may be negative or beyond the end, and the step may be negative.

    Raises:
        TypeError: If a bound is not an integer.
        ValueError: If the step is 0.

    Example:
        >>> list(SlicedDataset(["a", "b", "c", "d"], slice(1, None, 2)))
        ['b', 'd']
    """

    _noun = "slice"

    def __init__(self, source: Dataset[T_co], rows: slice) -> None:
        super().__init__(source)
        start, stop, step = rows.indices(len(self._source))
        # A step may not fit int64. One that is longer than the source selects the same rows as one of its length.
        longest = max(1, len(self._source))
        self._rows = range(start, stop, max(-longest, min(step, longest)))

    def __len__(self) -> int:
        return len(self._rows)

    def _source_row(self, row: int) -> int:
        """The source's row at `row` of the slice."""
        return self._rows[row]

    def _source_rows(self, rows: Wanted) -> Wanted:
        """The source's rows at `rows` of the slice."""
        if isinstance(rows, range) and self._rows.step == 1:
            return self._rows[rows.start : rows.stop]
        return as_array(rows) * self._rows.step + self._rows.start

    def _rows_of(self, source_row: int) -> list[int]:
        return [self._rows.index(source_row)] if source_row in self._rows else []

    def _leaking_part(self) -> BaseDataset[Any] | None:
        leaks = len(self) < len(self._source) and self._source._order_changes()  # noqa: SLF001
        return self if leaks else super()._leaking_part()

    def fingerprint(self) -> dict[str, Any]:
        """The slice and the source."""
        rows = self._rows
        return {"slice": [rows.start, rows.stop, rows.step], "source": self._source.fingerprint()}

    def rows_agreeing(self, saved: Mapping[str, Any], epoch: int) -> int:
        """The rows that lie in the part of the source that agrees, if the slice begins alike."""
        known = super().rows_agreeing(saved, epoch)
        bounds, source = saved.get("slice"), saved.get("source")
        # The entries may be those of a user's dataset.
        if known or not isinstance(source, dict) or not isinstance(bounds, list) or len(cast("Any", bounds)) != 3:
            return known
        (start, stop, step), here = cast("list[Any]", bounds), self._rows
        if (start, step) != (here.start, here.step) or step < 0 or (epoch and stop != here.stop):
            return 0
        agreeing = self._source.rows_agreeing(cast("dict[str, Any]", source), epoch)
        return len(range(start, min(agreeing, stop, here.stop), step))

    def describe(self) -> str:
        """The slice, with its bounds resolved."""
        rows = self._rows
        step = "" if rows.step == 1 else f":{rows.step}"
        return f"SlicedDataset[{rows.start}:{rows.stop}{step}]"
