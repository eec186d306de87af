"""Memory for batches: aligned so that a CPU `jax.Array` can use it in place, and recycled once nobody can see it.

Large fresh allocations are slow, since the kernel hands them out page by page, zeroed. A ring of reused buffers is
fast, and wrong: an earlier batch that is still held, be it by a `jax.Array` that aliases it, would change. An array
from a `Pool` is a view of a lease (`lease`). The memory returns to the pool when the lease ends, that is, when nothing
can see the memory any more.
"""

from __future__ import annotations

import math
import mmap
from collections import deque
from collections.abc import Callable
from itertools import count
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..protocols import Array
from .lease import Lease, Loan

Pin: TypeAlias = Callable[[Array], object]
"""Prepares memory for whoever reads batches from it: see `Placement`."""

ALIGNMENT = 64
"""Bytes; XLA's CPU client uses host memory without a copy only when it starts at a multiple of this."""

MOST_IDLE = 1 << 26
"""Bytes of the idle memory that a pool keeps for later; memory that is returned beyond that is freed."""

LEAST_PINNED = 1 << 16
"""Bytes of the smallest array whose memory is prepared; a transfer of less gains nothing."""

LEAST_ARRAYS, MOST_ARRAYS = 4, 256
"""How many arrays of one kind a pool keeps for later: at least 4, however large they are, and at most 256.

There are 4 large batches if 2 are loaded ahead and the caller holds 2, and all may come back at once. New memory is
made only when none is idle, so that idle memory adds nothing to the most that was in use at a time.
"""


def aligned_empty(shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """An uninitialised array whose memory starts at a multiple of 64 bytes.

    Args:
        shape: Shape of the array.
        dtype: Its dtype. Dtypes that hold Python objects get ordinary memory.

    Returns:
        A C-contiguous array of this shape and dtype.
    """
    dtype = np.dtype(dtype)
    if dtype.hasobject or not dtype.itemsize:
        return np.empty(shape, dtype)
    nbytes = math.prod(shape) * dtype.itemsize
    return _aligned_bytes(nbytes).view(dtype).reshape(shape)


class Memory:
    """Memory for one array at a time, used again once the array is gone.

    Preparing memory for a device takes as long as reading it several times. So it is prepared when it is used for the
    second time: where each batch has another shape, most memory is used only once.

    Attributes:
        array: The bytes, of shape `(n,)`.
        interface: The array interface of the array that lies in them.
        pin: Prepares them; None if that is done, or not wanted.
    """

    __slots__ = ("array", "interface", "pin")

    def __init__(self, array: Array, interface: dict[str, Any], pin: Pin | None) -> None:
        self.array = array
        self.interface = interface
        self.pin = pin

    def again(self) -> None:
        """Has the bytes prepared, if that is wanted and not done. They are about to be used for the second time."""
        pin, self.pin = self.pin, None
        if pin is not None:
            pin(self.array)


class Pool:
    """An `Alloc` that recycles the memory of arrays of the same shape and dtype. Thread-safe.

    Args:
        pin: Prepares memory that is used again, of at least 64 KiB. It gets whole pages, which are freed with the array
            that it gets.

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

    def __init__(self, pin: Pin | None = None) -> None:
        # This dict is never changed, but replaced, so that a thread may go through it while another adds a shelf. If
        # two threads add one at once, one of the shelves is lost: the memory of its arrays is freed, not kept.
        self._shelves: dict[tuple[tuple[int, ...], Any], _Shelf] = {}
        self._clock = count()
        self._pin = pin

    def __call__(self, shape: tuple[int, ...], dtype: npt.DTypeLike, /) -> Array:
        """An uninitialised, C-contiguous array of `shape` and `dtype`, aligned to 64 bytes."""
        shelf = self._shelves.get((shape, dtype)) or self._shelf(shape, np.dtype(dtype))
        if shelf is None:
            return np.empty(shape, dtype)
        shelf.used = next(self._clock)
        try:
            memory: Memory = shelf.idle.pop().what
        except IndexError:
            self._make_room(shelf)
            memory = shelf.make()
        else:
            if memory.pin is not None:
                memory.again()
        array = np.asarray(Lease(memory.interface, shelf.idle.append, memory))
        return array if shelf.plain else array.view(dtype).reshape(shape)

    def _shelf(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> _Shelf | None:
        """Makes the place where memory for arrays of a kind is kept; None if no memory is kept for that kind."""
        if dtype.hasobject or 0 in shape or not dtype.itemsize:
            return None
        shelf = _Shelf(shape, dtype, self._pin)
        self._shelves = {**self._shelves, (shape, dtype): shelf}
        return shelf

    def _make_room(self, shelf: _Shelf) -> None:
        """Before memory is added, frees what lies idle for arrays of other kinds, as far as that is too much.

        What was asked for the longest ago goes first.
        """
        shelves = self._shelves
        others = [other for other in shelves.items() if other[1] is not shelf]
        idle = sum(len(other.idle) * other.nbytes for _, other in others)
        if idle <= MOST_IDLE:
            return
        dropped: set[tuple[tuple[int, ...], Any]] = set()
        for key, other in sorted(others, key=lambda item: item[1].used):
            if idle <= MOST_IDLE:
                break
            idle -= len(other.idle) * other.nbytes
            # Leases that still live return their memory to a shelf that nobody uses, and so free it.
            dropped.add(key)
        self._shelves = {key: other for key, other in self._shelves.items() if key not in dropped}


class _Shelf:
    """The idle memory for arrays of one kind.

    Attributes:
        plain: Whether an array interface can describe the dtype.
        idle: Loans of the memory. A deque, whose `append` and `pop` are atomic, because a lease may end in any thread,
            at any instruction. A full deque drops the memory that has been idle the longest.
        nbytes: The bytes of one array.
        used: When memory was last asked for; a larger number is later.
    """

    __slots__ = ("_dtype", "_pin", "_shape", "idle", "nbytes", "plain", "used")

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any], pin: Pin | None) -> None:
        self._shape, self._dtype = shape, dtype
        self.used = 0
        self.nbytes = math.prod(shape) * dtype.itemsize
        self._pin = pin if self.nbytes >= LEAST_PINNED else None
        # An array interface cannot name the dtypes of other packages, such as `bfloat16`.
        self.plain = not dtype.metadata and dtype.isbuiltin != 2 and np.dtype(dtype.str) == dtype
        self.idle: deque[Loan] = deque(maxlen=min(max(LEAST_ARRAYS, MOST_IDLE // self.nbytes), MOST_ARRAYS))

    def make(self) -> Memory:
        """New memory, with the interface of the array that it is for, or of its bytes."""
        nbytes, alignment = self.nbytes, ALIGNMENT
        if self._pin is not None:
            nbytes, alignment = -(-nbytes // mmap.PAGESIZE) * mmap.PAGESIZE, mmap.PAGESIZE
        memory = _aligned_bytes(nbytes, alignment)
        own = memory[: self.nbytes]
        array = own.view(self._dtype).reshape(self._shape) if self.plain else own
        return Memory(memory, array.__array_interface__, self._pin)


def is_leased(array: Any) -> bool:
    """Whether an array is a view of memory from a `Pool`."""
    while isinstance(array, np.ndarray):
        array = array.base
    return isinstance(array, Lease)


def _aligned_bytes(nbytes: int, alignment: int = ALIGNMENT) -> Array:
    memory = np.empty(nbytes + alignment, np.uint8)
    offset = -memory.__array_interface__["data"][0] % alignment
    return memory[offset : offset + nbytes]
