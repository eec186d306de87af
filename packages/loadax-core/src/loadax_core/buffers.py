"""Memory for batches: aligned so that a CPU `jax.Array` can use it in place, and recycled once nobody can see it.

Large fresh allocations are slow, since the kernel hands them out page by page, zeroed. A ring of reused buffers is
fast, and wrong: whoever still holds an earlier batch, be it a `jax.Array` that aliases it, sees it change. Here an
array that comes from a `Pool` is a view of a lease, an object that owns the memory. Whatever can still see the memory
(a view, a slice, a `jax.Array` and the computations that read it) keeps the lease alive, and only when the last of
them is gone does the lease return the memory to its pool.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .protocols import Alloc, Array, Rows

ALIGNMENT = 64
"""Bytes; XLA's CPU client uses host memory without a copy only when it starts at a multiple of this."""

LEAST_RECYCLED = 1 << 18
"""Bytes; below this, the C library recycles memory as fast as a pool does."""

MOST_IDLE = 1 << 26
"""Bytes that a pool keeps for later; what is returned beyond that is freed."""


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
    return _aligned_bytes(nbytes).view(dtype).reshape(shape)


class Pool:
    """An `Alloc` that recycles large arrays. Thread-safe.

    Example:
        >>> pool = Pool()
        >>> array = pool((512, 512), np.dtype("float32"))
        >>> address = array.ctypes.data
        >>> part = array[3:5]
        >>> del array
        >>> pool((512, 512), np.dtype("float32")).ctypes.data == address  # `part` still sees the memory
        False
        >>> del part
        >>> pool((512, 512), np.dtype("float32")).ctypes.data == address
        True
    """

    def __init__(self) -> None:
        # By size. Lists, whose append and pop are atomic, because a lease may end in any thread, at any instruction.
        self._idle: dict[int, list[Array]] = {}

    def __call__(self, shape: tuple[int, ...], dtype: np.dtype[Any], /) -> Array:
        """An uninitialised, C-contiguous array of `shape` and `dtype`, aligned to 64 bytes."""
        nbytes = math.prod(shape) * dtype.itemsize
        if nbytes < LEAST_RECYCLED or dtype.hasobject:
            return aligned_empty(shape, dtype)
        idle = self._idle.get(nbytes)
        if idle is None:
            idle = self._idle.setdefault(nbytes, [])
        try:
            memory = idle.pop()
        except IndexError:
            memory = _aligned_bytes(nbytes)
        return np.asarray(_Lease(memory, idle)).view(dtype).reshape(shape)


class _Lease:
    """Owns memory as long as an array that is made from it, or anything made from that array, lives."""

    __slots__ = ("__array_interface__", "_idle", "_memory")

    def __init__(self, memory: Array, idle: list[Array]) -> None:
        self.__array_interface__ = memory.__array_interface__
        self._memory = memory
        self._idle = idle

    def __del__(self) -> None:
        if len(self._idle) < max(2, MOST_IDLE // self._memory.nbytes):
            self._idle.append(self._memory)


def _aligned_bytes(nbytes: int) -> Array:
    memory = np.empty(nbytes + ALIGNMENT, np.uint8)
    offset = -memory.__array_interface__["data"][0] % ALIGNMENT
    return memory[offset : offset + nbytes]


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
    return take_rows(array, rows, alloc)


def take_rows(array: Array, rows: Rows, alloc: Alloc) -> Array:
    """`gather_array` of rows that have been checked already; others give wrong values.

    Args:
        array: Array of shape `(length, ...)`.
        rows: Row numbers of shape `(n,)`, each in `range(length)`.
        alloc: Provides the result's memory.

    Returns:
        Array of shape `(n, ...)`.
    """
    out = alloc((len(rows), *array.shape[1:]), array.dtype)
    if not array.flags.c_contiguous:
        # `take` would copy the whole array first.
        out[...] = array[rows]
        return out
    # With mode="raise", `take` goes through a temporary whenever it has an `out`.
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
    # As unsigned numbers, negative ones are beyond every length, so that one pass finds both kinds.
    if len(rows) and rows.astype(np.int64, copy=False).view(np.uint64).max() >= length:
        bad = rows[(rows < 0) | (rows >= length)][0]
        raise IndexError(f"row {bad} is out of range for {length} rows; gather takes rows in range({length})")
