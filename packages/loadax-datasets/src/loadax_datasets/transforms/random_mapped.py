"""Random functions of rows, reproducible in every worker and after every resume."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from loadax_core import Dataset, timed_transform

from ..checks import check_int
from ..naming import name_of
from ..orders.keys import derive_keys, nth_purpose
from ..rows import rows_in_range
from .base import Transform, count_kind

T = TypeVar("T")
U_co = TypeVar("U_co", covariant=True)


class RandomMappedDataset(Transform[U_co]):
    """Every item of a source, passed through a function together with a random generator of its own.

    The random numbers depend on the seed, the epoch, the row, and the number of random maps that the row came through
    before. They do not depend on the worker that reads the row, nor on the rows that were read before. Random maps of
    two datasets that are zipped draw the same numbers if their seeds are equal, as for an image and its mask.

    Args:
        source: Any object with `len()` and `[i]`.
        fn: Takes an item and a `numpy.random.Generator`, and returns the new item. Must be thread-safe.
        seed: Any integer of at least 0.

    Raises:
        TypeError: If `fn` is not callable or `seed` not an integer.
        ValueError: If `seed` is negative.

    Example:
        >>> noisy = RandomMappedDataset([10, 20], lambda x, rng: x + int(rng.integers(10)), seed=3)
        >>> noisy[1] == noisy[1], list(noisy) == list(noisy.at_epoch(1))
        (True, False)
    """

    _changes_with_epoch = True

    def __init__(self, source: Dataset[T], fn: Callable[[T, np.random.Generator], U_co], *, seed: int = 0) -> None:
        if not callable(fn):
            raise TypeError(f"random_map takes a function of an item and a generator, got {fn!r}")
        from ..orders.row_seed import RowSeed  # noqa: PLC0415 - its import takes a sixth of the time of that of `loadax`

        super().__init__(source)
        self._row_seed = RowSeed
        self._fn: Callable[[Any, np.random.Generator], U_co] = fn
        self._seed = check_int("seed", seed, 0)
        # A second random map of the same seed draws other numbers.
        self._purpose = nth_purpose("random_map", count_kind(RandomMappedDataset, self._source))
        self._set_epoch(0)

    def read(self, row: int) -> U_co:
        """The function of the source's row and of that row's generator."""
        return timed_transform(self._draw, self._source.read(row), row)

    def read_many(self, rows: list[int]) -> list[U_co]:
        """The function of each row and of its generator."""
        wanted = rows_in_range(rows, len(self))
        items = self._source.read_many(wanted)
        return timed_transform(lambda: [self._draw(item, row) for row, item in zip(wanted, items, strict=True)])

    def describe(self) -> str:
        """The function's name and the seed."""
        return f"RandomMappedDataset({name_of(self._fn)}, seed={self._seed})"

    def _draw(self, item: Any, row: int) -> U_co:
        # Philox is a block cipher over a 256-bit counter. With the row in the upper half, every row has 2**128 blocks
        # of its own.
        counter = np.array((0, 0, row, 0), np.uint64)
        # NumPy's stubs know its own seeds only.
        seed: Any = self._row_seed(self._key, row)
        return self._fn(item, np.random.Generator(np.random.Philox(seed, counter=counter)))

    def _set_epoch(self, epoch: int) -> None:
        self._key = np.array(derive_keys(self._purpose, self._seed, epoch, 2), np.uint64)
