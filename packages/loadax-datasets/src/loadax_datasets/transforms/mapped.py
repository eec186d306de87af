"""Functions of rows, called with one row or with a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, TypeVar, cast, overload

import numpy as np
import numpy.typing as npt
from loadax_core import Alloc, Dataset, Gather, StackBatcher, aligned_empty, timed_transform, tree

from ..base import take_from
from ..checks import check_bool
from ..layout import is_native
from ..naming import name_of
from ..rows import Wanted, as_array, rows_in_range
from ..sources.arrays import read_row
from .base import Transform

T = TypeVar("T")
U_co = TypeVar("U_co", covariant=True)


class MappedDataset(Transform[U_co]):
    """Every item of a source, passed through a function when it is read.

    The function must be thread-safe and give the same result for the same item; for random changes there is
    `RandomMappedDataset`. It may be a jitted JAX function, whose results are passed on as JAX arrays.

    Args:
        source: Any object with `len()` and `[i]`.
        fn: Takes an item and returns the new one. If `vectorized`, takes the stacked items of several rows, each leaf
            of shape `(n, ...)`, and returns a tree of leaves of shape `(n, ...)`; it must treat each row by itself.
        vectorized: Whether `fn` takes many rows at once, which saves a Python call for each row. If the source cannot
            gather, its items are stacked first. Batches equal the stack of the rows: arrays get the machine's byte
            order, and arrays of objects become what a stack makes of the objects.

    Raises:
        TypeError: If `fn` is not callable, or `vectorized` not a bool; or when a vectorized `fn` returns an array with
            masked entries, whose mask a batch would lose.
        ValueError: When a vectorized `fn` returns None, or another number of rows than it was given; or when no rows
            are gathered, and the source cannot gather, so that there is nothing to stack.

    Example:
        >>> list(MappedDataset(["a", "b"], str.upper))
        ['A', 'B']
        >>> float(MappedDataset(np.arange(4.0), np.square, vectorized=True)[2])
        4.0
    """

    @overload
    def __init__(self, source: Dataset[T], fn: Callable[[T], U_co], *, vectorized: Literal[False] = False) -> None: ...
    @overload
    def __init__(
        self: MappedDataset[Any], source: Dataset[Any], fn: Callable[[Any], Any], *, vectorized: Literal[True]
    ) -> None: ...
    def __init__(self, source: Dataset[Any], fn: Callable[[Any], Any], *, vectorized: bool = False) -> None:
        if not callable(fn):
            raise TypeError(f"map takes a function of an item, got {fn!r}")
        super().__init__(source)
        self._fn = fn
        self._vectorized = check_bool("vectorized", vectorized)

    def read(self, row: int) -> U_co:
        """The function of the source's row."""
        if not self._vectorized:
            return timed_transform(self._fn, self._source.read(row))
        return self._read_stacked([row])[0]

    def read_many(self, rows: list[int]) -> list[U_co]:
        """The function of each row, or of all rows at once if it is vectorized."""
        wanted = rows_in_range(rows, len(self))
        if self._vectorized:
            return self._read_stacked(wanted)
        return timed_transform(self._map, self._source.read_many(wanted))

    def read_range(self, rows: range) -> Sequence[U_co]:
        """The function of each row, or of all rows at once if it is vectorized."""
        if self._vectorized:
            return super().read_range(rows)
        return timed_transform(self._map, self._source.read_range(rows))

    def _map(self, items: Sequence[Any]) -> list[U_co]:
        return [self._fn(item) for item in items]

    def _read_stacked(self, rows: list[int]) -> list[U_co]:
        if not rows:
            return []
        result, _ = self._result(np.array(rows, np.int64), aligned_empty)
        return _items(result, len(rows))

    @property
    def batched(self) -> bool:
        """Whether the function or the source takes many rows at once."""
        return self._vectorized or super().batched

    @property
    def gather(self) -> Gather | None:
        """One call of a vectorized function; None for a function of one item."""
        return self._gather if self._vectorized else None

    @property
    def rowwise(self) -> bool:
        """False if the function is vectorized: its results may depend on the number of rows."""
        return not self._vectorized and super().rowwise

    @property
    def calls_user_code(self) -> bool:
        """True: it calls the function."""
        return True

    def _take(self, rows: Wanted, alloc: Alloc) -> Any:
        result, leaves = self._result(rows, alloc)
        arrays: list[npt.NDArray[Any]] = [leaf for leaf in leaves if isinstance(leaf, np.ndarray)]
        if not any(map(_is_odd, arrays)):
            return result
        result = tree.map_leaves(partial(self._plain, alloc), result)
        if len(rows) and any(array.dtype.hasobject and array.ndim == 1 for array in arrays):
            # The dtype of their stack depends on the objects.
            return StackBatcher().stack(_items(result, len(rows)), alloc)
        return result

    def _plain(self, alloc: Alloc, path: tree.Path, leaf: Any) -> Any:
        """A leaf as a batch has it: an array without a mask, in the machine's byte order."""
        if not isinstance(leaf, np.ndarray):
            return leaf
        array = cast("npt.NDArray[Any]", leaf)
        if np.ma.is_masked(array):
            raise TypeError(
                f"a vectorized map, {name_of(self._fn)}, returned {tree.name(path)} as a masked array, whose mask a "
                "batch would lose; fill it with .filled(value)"
            )
        if is_native(array.dtype):
            return array.view(np.ndarray) if isinstance(array, np.ma.MaskedArray) else array
        out = alloc(array.shape, array.dtype.newbyteorder("="))
        out[...] = array
        return out

    def _result(self, rows: Wanted, alloc: Alloc) -> tuple[Any, list[Any]]:
        """The result of the vectorized function for the rows, and its leaves."""
        if self._source.gather is None:
            if not len(rows):
                raise ValueError(
                    f"a vectorized map gathers no rows, and {type(self._source).__name__}, its source, has no gather "
                    "that could say what a batch of none looks like; ask for at least one row"
                )
            stacked = StackBatcher()(list(self._source.read_many(as_array(rows).tolist())))
        else:
            stacked = take_from(self._source, rows, alloc)
        result = timed_transform(self._fn, stacked)
        if result is None:
            raise ValueError(f"a vectorized map must return the new rows, but {name_of(self._fn)} returned None")
        leaves: list[Any] = []
        for path, leaf in tree.leaves(result):
            leaves.append(leaf)
            if np.shape(leaf)[:1] != (len(rows),):
                raise ValueError(
                    f"a vectorized map of {len(rows)} rows must return as many, but {name_of(self._fn)} returned "
                    f"{tree.name(path)} of shape {np.shape(leaf)}"
                )
        return result, leaves

    def _own_contents(self) -> dict[str, Any]:
        """The function's name, if it has one. What the function does cannot be told."""
        return {"map": getattr(self._fn, "__qualname__", type(self._fn).__qualname__)}

    def describe(self) -> str:
        """The function's name."""
        return f"MappedDataset({name_of(self._fn)}{', vectorized' if self._vectorized else ''})"


def _items(batch: Any, count: int) -> list[Any]:
    """The rows of a batch, each by itself."""
    return [tree.map_leaves(lambda _, leaf, i=i: _row(leaf, i), batch) for i in range(count)]


def _is_odd(array: npt.NDArray[Any]) -> bool:
    """Whether an array must be changed before it is part of a batch."""
    return type(array) is not np.ndarray or array.dtype.hasobject or not is_native(array.dtype)


def _row(leaf: Any, row: int) -> Any:
    return read_row(cast("Any", leaf), row) if isinstance(leaf, np.ndarray) else leaf[row]
