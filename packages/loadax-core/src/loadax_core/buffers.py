"""Memory for batches: aligned so that a CPU `jax.Array` can use it in place, and never shared between batches."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .protocols import Alloc, Array, Rows

ALIGNMENT = 64
"""Bytes; XLA's CPU client uses host memory without a copy only when it starts at a multiple of this."""


def aligned_empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """An uninitialised array whose memory starts at a multiple of 64 bytes.

    Args:
        shape: Shape of the array.
        dtype: Its dtype. Dtypes that hold Python objects get ordinary memory.

    Returns:
        A C-contiguous array of `shape`.
    """
    if dtype.hasobject:
        return np.empty(shape, dtype)
    nbytes = math.prod(shape) * dtype.itemsize
    memory = np.empty(nbytes + ALIGNMENT, np.uint8)
    offset = -memory.__array_interface__["data"][0] % ALIGNMENT
    return memory[offset : offset + nbytes].view(dtype).reshape(shape)


def gather_array(array: Array, rows: Rows, alloc: Alloc) -> Array:
    """Rows of an array in one call: `array[rows]`, in memory from `alloc`.

    Args:
        array: Array of shape `(length, ...)`.
        rows: Row numbers of shape `(n,)`, each in `range(length)`.
        alloc: Provides the result's memory.

    Returns:
        Array of shape `(n, ...)`.

    Raises:
        IndexError: If a row is outside the array.
        TypeError: If `rows` are not integers.
    """
    check_rows(rows, len(array))
    out = alloc((len(rows), *array.shape[1:]), array.dtype)
    # Bounds are checked above, so that `take` may skip them: with `out`, mode="raise" goes through a temporary.
    return np.take(array, rows, axis=0, out=out, mode="clip")


def check_rows(rows: Rows, length: int) -> None:
    """Refuses row numbers that `gather` may not be called with.

    Args:
        rows: Row numbers of shape `(n,)`.
        length: The number of rows of the dataset.

    Raises:
        IndexError: If a row is not in `range(length)`.
        TypeError: If `rows` are not integers.
    """
    if rows.dtype.kind not in "iu":
        raise TypeError(f"rows must be integers, got dtype {rows.dtype}")
    if len(rows) and (rows.min() < 0 or rows.max() >= length):
        bad = rows[(rows < 0) | (rows >= length)][0]
        raise IndexError(f"row {bad} is out of range for {length} rows; gather takes rows in range({length})")
