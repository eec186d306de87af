"""Memory of a batch that several workers gather in parts."""

from __future__ import annotations

import threading
from itertools import count

import numpy.typing as npt

from ..protocols import Alloc, Array


class Parts:
    """The memory of a batch that is gathered in parts. Each part is a view of it, so that nothing is joined later.

    Args:
        rows: The number of rows of the whole batch.
        alloc: Provides memory.
    """

    def __init__(self, rows: int, alloc: Alloc) -> None:
        self._rows = rows
        self._alloc = alloc
        self._wholes: list[Array] = []
        self._lock = threading.Lock()

    def part(self, start: int, rows: int) -> Alloc:
        """The `Alloc` for the gather of one part.

        The n-th array that a part asks for is a view of the n-th array of the batch, which the first part to ask for it
        makes. If the parts do not ask for the same arrays in the same order, a part gets memory of its own.

        Args:
            start: The part's first row in the batch.
            rows: The number of its rows.
        """
        calls = count()

        def alloc(shape: tuple[int, ...], dtype: npt.DTypeLike, /) -> Array:
            if shape[:1] != (rows,):
                return self._alloc(shape, dtype)
            call = next(calls)
            with self._lock:
                if call == len(self._wholes):
                    self._wholes.append(self._alloc((self._rows, *shape[1:]), dtype))
                whole = self._wholes[call]
            if (whole.shape[1:], whole.dtype) != (shape[1:], dtype):
                return self._alloc(shape, dtype)
            return whole[start : start + rows]

        return alloc
