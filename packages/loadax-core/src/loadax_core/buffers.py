"""Memory for batches: aligned so that a CPU `jax.Array` can use it in place, and recycled once nobody can see it.

Large fresh allocations are slow, since the kernel hands them out page by page, zeroed. A ring of reused buffers is
fast, and wrong: whoever still holds an earlier batch, be it a `jax.Array` that aliases it, sees it change. Here an
array that comes from a `Pool` is a view of a lease, an object that owns the memory. Whatever can still see the memory
(a view, a slice, a `jax.Array` and the computations that read it) keeps the lease alive, and only when the last of
them is gone does the lease return the memory to its pool.
"""

from __future__ import annotations

import math
import weakref
from collections import deque
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt

from .protocols import Alloc, Array, Rows

ALIGNMENT = 64
"""Bytes; XLA's CPU client uses host memory without a copy only when it starts at a multiple of this."""

MOST_IDLE = 1 << 26
"""Bytes that a pool keeps for later; what is returned beyond that is freed."""

LEAST_ARRAYS, MOST_ARRAYS = 4, 256
"""Arrays of one kind that a pool keeps for later: so many however large they are, and so many at most.

There are four large batches if two are loaded ahead and the caller holds two, and all may come back at once. New memory
is only made when none is idle, so that what is kept adds nothing to the most that was in use at a time.
"""


def aligned_empty(shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """An uninitialised array whose memory starts at a multiple of 64 bytes.

    Args:
        shape: Shape of the array.
        dtype: Its dtype. Dtypes that hold Python objects get ordinary memory.

    Returns:
        A C-contiguous array of `shape`.
    """
    dtype = np.dtype(dtype)
    if dtype.hasobject or not dtype.itemsize:
        return np.empty(shape, dtype)
    nbytes = math.prod(shape) * dtype.itemsize
    return _aligned_bytes(nbytes).view(dtype).reshape(shape)


class Pool:
    """An `Alloc` that recycles the memory of arrays of the same shape and dtype. Thread-safe.

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
        self._shelves: dict[tuple[tuple[int, ...], Any], _Shelf] = {}
        self._clock = count()

    def __call__(self, shape: tuple[int, ...], dtype: npt.DTypeLike, /) -> Array:
        """An uninitialised, C-contiguous array of `shape` and `dtype`, aligned to 64 bytes."""
        shelf = self._shelves.get((shape, dtype)) or self._shelf(shape, np.dtype(dtype))
        if shelf is None:
            return np.empty(shape, dtype)
        shelf.used = next(self._clock)
        try:
            memory = shelf.idle.pop().memory
        except IndexError:
            self._make_room(shelf)
            memory = shelf.make()
        array = np.asarray(_Lease(memory, shelf))
        return array if shelf.plain else array.view(dtype).reshape(shape)

    def _shelf(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> _Shelf | None:
        """Where memory for arrays of a kind is kept that was not asked for yet; None if none is."""
        if dtype.hasobject or 0 in shape or not dtype.itemsize:
            return None
        return self._shelves.get((shape, dtype)) or self._shelves.setdefault((shape, dtype), _Shelf(shape, dtype))

    def _make_room(self, shelf: _Shelf) -> None:
        """Before memory is added, frees what lies idle for arrays of other kinds, as far as that is too much.

        What was asked for the longest ago goes first.
        """
        others = [other for other in list(self._shelves.items()) if other[1] is not shelf]
        idle = sum(len(other.idle) * other.nbytes for _, other in others)
        for key, other in sorted(others, key=lambda item: item[1].used):
            if idle <= MOST_IDLE:
                break
            idle -= len(other.idle) * other.nbytes
            # Leases that still live return their memory to a shelf that nobody uses, and so free it.
            self._shelves.pop(key, None)


class _Shelf:
    """The idle memory for arrays of one kind.

    Attributes:
        plain: Whether an array interface can describe the dtype.
        idle: Memory, each with its array interface. A deque, whose append and pop are atomic, because a lease may end
            in any thread, at any instruction; the longest idle goes where there is too much.
        used: When memory was last asked for; larger is later.
    """

    __slots__ = ("_dtype", "_shape", "idle", "nbytes", "plain", "used")

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._shape, self._dtype = shape, dtype
        self.used = 0
        self.nbytes = math.prod(shape) * dtype.itemsize
        self.plain = not dtype.metadata and np.dtype(dtype.str) == dtype
        self.idle: deque[_Loan] = deque(maxlen=min(max(LEAST_ARRAYS, MOST_IDLE // self.nbytes), MOST_ARRAYS))

    def make(self) -> tuple[Array, dict[str, Any]]:
        """New memory, with the interface of the array that it is for, or of its bytes."""
        memory = _aligned_bytes(self.nbytes)
        array = memory.view(self._dtype).reshape(self._shape) if self.plain else memory
        return memory, array.__array_interface__


class _Lease:
    """Owns memory as long as an array that is made from it, or anything made from that array, lives."""

    __slots__ = ("__array_interface__", "__weakref__", "_loan")

    def __init__(self, memory: tuple[Array, dict[str, Any]], shelf: _Shelf) -> None:
        self.__array_interface__ = memory[1]
        self._loan = loan = _Loan(self, shelf.idle.append)
        loan.memory = memory


class _Loan(weakref.ref["_Lease"]):
    """Returns itself, with the memory, to its shelf when the lease ends.

    That is done without running Python code, as a `__del__` would: it may happen at any instruction, where an interrupt
    would be printed and lost, and while a training step has left none of that code in the processor's cache.
    """

    __slots__ = ("memory",)
    memory: tuple[Array, dict[str, Any]]


def is_leased(array: Any) -> bool:
    """Whether an array is a view of memory from a `Pool`."""
    while isinstance(array, np.ndarray):
        array = array.base
    return isinstance(array, _Lease)


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
    return array.take(rows, 0, out, "clip")


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
