"""Random parts of a dataset that are the same in every epoch, such as training and test data."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from math import fsum, isclose
from numbers import Integral, Real
from typing import Any, TypeVar, cast

import numpy as np
from loadax_core import Dataset, Rows

from ..checks import check_int
from ..orders.permutation import Permutation
from ..rows import Wanted
from .base import ReorderedDataset, check_constant

T_co = TypeVar("T_co", covariant=True)


class SplitDataset(ReorderedDataset[T_co]):
    """One of several parts into which the rows of a source are divided at random; `random_split` returns all parts.

    Each row is in one part, which follows from the seed and the length of the source. The rows of a part come in a
    random order. Part and order are the same in every epoch: `shuffle` a part to train on. Memory is constant.

    Args:
        source: Any object with `len()` and `[i]`, whose rows are the same in every epoch.
        parts: The size of each part: fractions that sum to 1, or numbers of rows that sum to `len(source)`.
        part: The number of this part, in `range(len(parts))`.
        seed: Any integer of at least 0.

    Raises:
        TypeError: If `parts` is no list of numbers, or `part` or `seed` is not an integer.
        ValueError: If the parts have another sum, if one is negative, or a fraction above 0 leaves a part without rows;
            if there is no such part; if `seed` is negative; or if the rows change with the epoch.

    Example:
        >>> train = SplitDataset(range(10), [0.7, 0.3], 0, seed=1)
        >>> held_out = SplitDataset(range(10), [0.7, 0.3], 1, seed=1)
        >>> list(train), list(held_out)
        ([3, 4, 6, 2, 5, 7, 0], [1, 9, 8])
    """

    _noun = "part"

    def __init__(self, source: Dataset[T_co], parts: Sequence[float], part: int, *, seed: int = 0) -> None:
        super().__init__(source)
        check_constant(self._source, "random_split")
        self._lengths = _lengths(parts, len(self._source))
        self._part, self._seed = check_int("part", part, 0), check_int("seed", seed, 0)
        if part >= len(self._lengths):
            raise ValueError(f"part must be in range({len(self._lengths)}), as there are parts; got {part}")
        self._start = sum(self._lengths[:part])
        self._order = Permutation(len(self._source), self._seed, purpose="split")

    def __len__(self) -> int:
        return self._lengths[self._part]

    def _source_row(self, row: int) -> int:
        """The source's row at `row` of this part."""
        return self._order.at(self._start + row)

    def _source_rows(self, rows: Wanted) -> Rows:
        """The source's rows at `rows` of this part."""
        start = self._start
        return self._order(range(start + rows.start, start + rows.stop) if isinstance(rows, range) else rows + start)

    def _rows_of(self, source_row: int) -> list[int]:
        row = self._order.inverse(source_row) - self._start
        return [row] if 0 <= row < len(self) else []

    def fingerprint(self) -> dict[str, Any]:
        """The lengths of all parts, the number of this part, the seed and the source."""
        facts = {"split": self._lengths, "part": self._part, "seed": self._seed}
        return {**facts, "source": self._source.fingerprint()}

    def describe(self) -> str:
        """The lengths of the part and the source, the number of the part, and the seed."""
        return f"SplitDataset({len(self)} of {len(self._source)} rows, part={self._part}, seed={self._seed})"


def _lengths(parts: Any, rows: int) -> list[int]:
    """The number of rows in each part."""
    if isinstance(parts, str | bytes) or not isinstance(parts, Sequence | np.ndarray):
        raise TypeError(f"parts must be a list, such as [0.9, 0.1], got {parts!r:.80}")
    given = cast("list[Any]", parts.tolist() if isinstance(parts, np.ndarray) else list(cast("Sequence[Any]", parts)))
    for part in given:
        if isinstance(part, bool) or not isinstance(part, Real):
            raise TypeError(f"parts must be fractions or numbers of rows, got {part!r:.80}")
        if not float(part) >= 0:
            raise ValueError(f"no part may be less than 0, got {part}")
    counts = all(isinstance(part, Integral) for part in given)
    if not (sum(given) == rows if counts else isclose(fsum(given), 1)):
        raise ValueError(
            f"parts must be fractions that sum to 1, or whole numbers that sum to {rows}, as there are rows; got "
            f"{given}, which sum to {sum(given):.9g}"
        )
    if counts:
        return [int(part) for part in given]
    # Rounding errors may bring the sum of the fractions above 1.
    ends = [min(round(end * rows), rows) for end in accumulate(map(float, given))]
    lengths = [end - start for start, end in pairwise([0, *ends[:-1], rows])]
    for part, length in zip(given, lengths, strict=True):
        if part and not length:
            raise ValueError(f"a part of {part:g} has none of the {rows} rows; make it larger, or leave it out")
    return lengths
