"""Random rows, drawn with or without replacement."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from loadax_core import Dataset, Rows

from ..checks import check_bool, check_int, check_unmasked
from ..files.fingerprints import digest
from ..forks import ForkLock
from ..orders.hashing import random_words, uniform
from ..orders.keys import derive_keys, nth_purpose
from ..orders.permutation import Permutation
from ..rows import Wanted, as_array
from .base import ReorderedDataset, count_kind

T_co = TypeVar("T_co", covariant=True)


class SampledDataset(ReorderedDataset[T_co]):
    """Rows of a source, drawn at random; every epoch draws other ones.

    Without weights, memory is constant. With weights it is 16 bytes for each row of the source, and the first read of
    each epoch without replacement takes time in proportion to the source's length. A sample of a sample draws other
    rows, also with the same seed.

    Args:
        source: Any object with `len()` and `[i]`.
        count: How many rows to draw.
        replace: Whether a row may be drawn more than once.
        weights: How likely each row is to be drawn, relative to the others; of shape `(len(source),)`. A row of weight
            0 is never drawn. With replacement, a row whose share of all weights is below 1e-16 may never be drawn.
        seed: Any integer of at least 0.

    Raises:
        TypeError: If `count` or `seed` is not an integer, or `replace` not a bool.
        ValueError: If `count` or `seed` is negative, if the weights are not one finite number of at least 0 for each
            row, or a masked array, or if there are too few rows to draw from.

    Example:
        >>> drawn = SampledDataset(["a", "b", "c"], 1000, replace=True, weights=[3, 1, 0], seed=1)
        >>> [list(drawn).count(letter) for letter in "abc"]
        [766, 234, 0]
    """

    _noun = "sample"
    _changes_with_epoch = True

    def __init__(
        self,
        source: Dataset[T_co],
        count: int,
        *,
        replace: bool = False,
        weights: npt.ArrayLike | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(source)
        self._count = check_int("count", count, 0)
        self._replace = check_bool("replace", replace)
        self._weights = None if weights is None else _check_weights(weights, len(self._source))
        self._seed = check_int("seed", seed, 0)
        # A sample of a sample of the same seed draws other rows.
        self._before = count_kind(SampledDataset, self._source)
        available = len(self._source) if self._weights is None else int(np.count_nonzero(self._weights))
        if self._count > available and not (self._replace and available):
            raise ValueError(
                f"cannot draw {self._count} of {available} rows without replacement; draw fewer, or set replace=True"
                if available
                else f"cannot draw {self._count} rows: there are none to draw from"
            )
        self._cumulative: npt.NDArray[np.float64] | None = None
        if self._weights is not None and self._replace and self._count:
            self._cumulative = np.cumsum(_scaled(self._weights))
        self._set_epoch(0)

    def __len__(self) -> int:
        return self._count

    def _source_row(self, row: int) -> int:
        """The row drawn at `row`."""
        if not self._replace and self._weights is None:
            return self._order.at(row)
        return self._source_rows(np.array([row], np.int64)).item()

    def _source_rows(self, rows: Wanted) -> Rows:
        """The rows drawn at `rows`."""
        if not self._replace:
            return self._order(rows) if self._weights is None else self._ranking()[as_array(rows)]
        words = random_words(self._key, as_array(rows))
        if self._cumulative is None:
            return (words % np.uint64(max(1, len(self._source)))).astype(np.int64)
        # The first row whose cumulative weight reaches the target. Targets are above 0 and at most the last sum, so
        # there is such a row, and its weight is not 0: a row of weight 0 has the sum of the row before.
        return np.searchsorted(self._cumulative, uniform(words) * float(self._cumulative[-1]))

    def _rows_of(self, source_row: int) -> list[int]:
        if self._replace or self._weights is not None:
            return super()._rows_of(source_row)
        row = self._order.inverse(source_row)
        return [row] if row < self._count else []

    def _order_changes(self) -> bool:
        return True

    def fingerprint(self) -> dict[str, Any]:
        """The count, the replacement, the seed, a hash of the weights, the number of samples before, and the source."""
        facts: dict[str, Any] = {"sample": self._count, "replace": self._replace, "seed": self._seed}
        if self._weights is not None:
            facts["weights"] = digest(_scaled(self._weights).tobytes())
        if self._before:
            facts["before"] = self._before
        return facts | {"source": self._source.fingerprint()}

    def describe(self) -> str:
        """The count, the replacement, the seed, and whether there are weights."""
        weighted = "" if self._weights is None else ", weighted"
        return f"SampledDataset({self._count} rows, replace={self._replace}{weighted}, seed={self._seed})"

    def _set_epoch(self, epoch: int) -> None:
        purpose = nth_purpose("sample", self._before)
        self._order = Permutation(len(self._source), self._seed, epoch, purpose)
        self._key = derive_keys(purpose, self._seed, epoch, 1)[0]
        self._ranked: Rows | None = None
        self._lock = ForkLock()

    def _ranking(self) -> Rows:
        """The source's rows in the order in which they are drawn without replacement.

        A row of weight w gets a random time of the exponential distribution of rate w; the rows are drawn in the order
        of their times (Efraimidis and Spirakis, 2006).
        """
        if self._ranked is None:
            # One worker computes it, since all of them need it at the start of an epoch.
            with self._lock.held():
                if self._ranked is None:
                    self._ranked = self._race()
        return self._ranked

    def _race(self) -> Rows:
        assert self._weights is not None, "there is no race without weights"
        runners = np.flatnonzero(self._weights)
        # The times of tiny weights overflow a float64; their logarithms do not.
        times = np.log(-np.log(uniform(random_words(self._key, runners)))) - np.log(self._weights[runners])
        return runners[np.argsort(times, kind="stable")[: self._count]]

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_ranked": None}


def _check_weights(weights: npt.ArrayLike, length: int) -> npt.NDArray[np.float64]:
    check_unmasked("weights", weights)
    array = np.array(weights, np.float64)
    if array.shape != (length,):
        raise ValueError(f"weights must have shape ({length},), one for each row; got {array.shape}")
    bad = np.flatnonzero(~(np.isfinite(array) & (array >= 0)))
    if len(bad):
        raise ValueError(f"weights must be finite and at least 0; row {bad[0]} has {array[bad[0]]}")
    return array


def _scaled(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The weights divided by the largest, so that no sum of them overflows. The smallest may become 0."""
    return weights / weights.max() if weights.any() else weights
