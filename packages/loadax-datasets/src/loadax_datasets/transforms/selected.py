"""Rows that are selected by number."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from loadax_core import Dataset, Rows

from ..base import BaseDataset
from ..checks import check_unmasked
from ..files.fingerprints import digest
from ..rows import Wanted
from .base import ReorderedDataset

T_co = TypeVar("T_co", covariant=True)


class SelectedDataset(ReorderedDataset[T_co]):
    """Rows of a source, selected by number, in the order of the numbers. Memory: 8 bytes for each row.

    Args:
        source: Any object with `len()` and `[i]`.
        rows: Row numbers of shape `(n,)`, which may repeat, and count from the end if negative; or a mask of bools, of
            shape `(len(source),)`.

    Raises:
        IndexError: If there is no such row.
        TypeError: If `rows` are no sequence, or neither integers nor bools.
        ValueError: If they are not one-dimensional, a mask of another length than the source, or a masked array.

    Example:
        >>> letters = ["a", "b", "c"]
        >>> list(SelectedDataset(letters, [2, 0, 0])), list(SelectedDataset(letters, [True, False, True]))
        (['c', 'a', 'a'], ['a', 'c'])
    """

    _noun = "selection"

    def __init__(self, source: Dataset[T_co], rows: Sequence[int] | npt.NDArray[Any]) -> None:
        super().__init__(source)
        self._rows = _numbers(rows, len(self._source))

    def __len__(self) -> int:
        return len(self._rows)

    def _source_row(self, row: int) -> int:
        """The selected row at that place."""
        return self._rows.item(row)

    def _source_rows(self, rows: Wanted) -> Rows:
        """The selected rows at those places."""
        return self._rows[rows.start : rows.stop] if isinstance(rows, range) else self._rows[rows]

    def _leaking_part(self) -> BaseDataset[Any] | None:
        leaks = self._source._order_changes() and len(np.unique(self._rows)) < len(self._source)  # noqa: SLF001
        return self if leaks else super()._leaking_part()

    def fingerprint(self) -> dict[str, Any]:
        """The number of selected rows, a hash of their numbers, and the source."""
        return {"select": len(self), "rows": digest(self._rows.tobytes()), "source": self._source.fingerprint()}

    def describe(self) -> str:
        """The numbers of selected rows and of rows of the source."""
        return f"SelectedDataset({len(self)} of {len(self._source)} rows)"


def _numbers(rows: Sequence[int] | npt.NDArray[Any], length: int) -> Rows:
    if isinstance(rows, str | bytes) or not hasattr(rows, "__len__") or isinstance(rows, AbstractSet):
        raise TypeError(f"rows must be a list or an array of row numbers, or a mask of bools, got {rows!r:.80}")
    check_unmasked("rows", rows)
    given = np.asarray(rows)
    if not given.size and given.dtype != np.bool_:
        given = given.astype(np.int64)
    if given.ndim != 1:
        raise ValueError(f"rows must be of shape (n,), got {given.shape}")
    if given.dtype == np.bool_:
        if len(given) != length:
            raise ValueError(f"a mask must have one entry for each of the {length} rows; got {len(given)}")
        return np.flatnonzero(given)
    if given.dtype.kind not in "iu":
        raise TypeError(f"rows must be integers or a mask of bools, got dtype {given.dtype}")
    bad = np.flatnonzero((given < -length) | (given >= length))
    if len(bad):
        raise IndexError(f"row {given[bad[0]]} is out of range for {length} rows")
    numbers = given.astype(np.int64)
    numbers[numbers < 0] += length
    return numbers
