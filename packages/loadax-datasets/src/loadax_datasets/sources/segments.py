"""What rows of documents say of each value: which document of its row it is of, and its position in that."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from loadax_core import Rows


def write_segments(
    numbers: Rows, begins: Rows, lengths: Rows, segments: npt.NDArray[Any], positions: npt.NDArray[Any]
) -> None:
    """Writes segments and positions of rows whose pieces of documents follow each other without gaps.

    Args:
        numbers: The number of each piece in its row, of shape `(pieces,)`.
        begins: Where it begins, as if the rows were flat.
        lengths: How many values it has.
        segments: The result, of shape `(rows, size)`: the number of the piece that each value is of.
        positions: The result, of the same shape: the place of each value in its piece, from 0 on.
    """
    # NumPy repeats numbers of 16 bits three times as fast as those of 32 bits.
    small = np.dtype(np.uint16 if segments.shape[1] < 1 << 16 else np.int64)
    np.copyto(segments, numbers.astype(small).repeat(lengths).reshape(segments.shape), casting="unsafe")
    before = begins.astype(small).repeat(lengths)
    # What is beyond the range of the small numbers cancels out: a position is less than the length of a row.
    np.subtract(counting(segments.size, small), before, out=before)
    np.copyto(positions, before.reshape(positions.shape), casting="unsafe")


@lru_cache(maxsize=16)
def counting(count: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """The numbers from 0 to `count`, not to be written to."""
    numbers = np.arange(count).astype(dtype)
    numbers.flags.writeable = False
    return numbers
