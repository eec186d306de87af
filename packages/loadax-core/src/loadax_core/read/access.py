"""The three ways to read a dataset, and the length of one that has only a shape."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias, TypeVar, cast

import numpy as np

from ..errors import is_interrupt
from ..memory.gather import gather_array
from ..protocols import Array, Dataset, Gather

T = TypeVar("T")

ARRAYS = (np.ndarray, np.memmap, np.recarray)
"""The classes of arrays that are read as NumPy's own. Others have more to them: masks, for example."""

ReadMany: TypeAlias = Callable[[list[int]], Sequence[Any]]


def gather_of(dataset: Dataset[Any]) -> Gather | None:
    """The dataset's `gather(rows, alloc)`, if it has one; a plain NumPy array of numbers does.

    Other libraries have methods of that name, of other arguments, which are left alone.
    """
    if type(dataset) in ARRAYS:
        array = cast(Array, dataset)
        # A stack of items gives objects for strings, and the machine's byte order.
        alike = array.dtype.isnative and not (array.dtype.hasobject or array.dtype.kind in "US")
        return partial(gather_array, array) if alike else None
    gather = getattr(dataset, "gather", None)
    if gather is None:
        return None
    try:
        inspect.signature(gather).bind(None, None)
    except (TypeError, ValueError) as error:
        if is_interrupt(error):
            raise
        return None
    return gather


def is_rowwise(dataset: Dataset[Any]) -> bool:
    """Whether reading rows together gives each the bits that it has alone, and cannot fail for a passing reason.

    NumPy arrays promise that. Other datasets do so by an attribute `rowwise` that is True. A `gather` or `__getitems__`
    without this promise is called once for each step, with exactly this process's rows of it: it may be a matrix
    product, whose last bits depend on the number of rows, or a read over a network.
    """
    return type(dataset) in ARRAYS or getattr(dataset, "rowwise", False) is True


def calls_user_code(dataset: Dataset[Any]) -> bool:
    """Whether a read of the dataset, or its `at_epoch`, may call a function of the user's: a NumPy array's does not.

    Other datasets say so by an attribute `calls_user_code` that is False, as Loadax's own do.
    """
    return type(dataset) not in ARRAYS and getattr(dataset, "calls_user_code", True) is not False


def read_items(dataset: Dataset[T], rows: list[int]) -> Sequence[T]:
    """Reads items by number, with the dataset's `__getitems__` if it has one.

    Args:
        dataset: Any dataset.
        rows: Row numbers, each in `range(len(dataset))`.

    Returns:
        The items, in the order of `rows`.

    Raises:
        TypeError: If the dataset's `__getitems__` returns something else than items, such as a dict of columns.
        ValueError: If it returns another number of them than it was asked for.
    """
    read_many = getattr(dataset, "__getitems__", None)
    return [dataset[row] for row in rows] if read_many is None else checked_items(read_many(rows), rows, dataset)


def checked_items(
    items: Sequence[T], rows: Sequence[int], dataset: Dataset[T], method: str = "__getitems__"
) -> Sequence[T]:
    """The items that a dataset's `method` returned for `rows`, refused if they are no items, or too few or too many."""
    # As many entries as rows would pass for items. To ask for kinds of mappings takes as long as a small read.
    if not isinstance(items, list) and isinstance(items, Mapping | str | bytes):
        raise TypeError(
            f"{type(dataset).__name__}.{method} gave a {type(items).__name__} for {len(rows)} items; it must return a "
            "list with one for each row"
        )
    if len(items) != len(rows):
        raise ValueError(
            f"{type(dataset).__name__}.{method} was asked for {len(rows)} items, gave {len(items)}; it must return "
            "one for each row"
        )
    return items


def with_length(dataset: Any) -> Any:
    """Gives an array that lacks `len()`, such as Zarr's, the one that its shape says.

    Args:
        dataset: Any object.

    Returns:
        Rows of the array, read when they are asked for; anything but such an array as it is.

    Example:
        >>> class Stored:
        ...     shape = (3, 2)
        ...
        ...     def __getitem__(self, row: int) -> list[int]:
        ...         return [row, row]
        >>> rows = with_length(Stored())
        >>> len(rows), rows[2]
        (3, [2, 2])
    """
    shape: Any = getattr(dataset, "shape", None)
    if hasattr(dataset, "__len__") or not isinstance(shape, tuple) or not shape:
        return dataset
    return ShapedRows(dataset)


class ShapedRows:
    """The rows of an array of shape `(rows, ...)`."""

    def __init__(self, array: Any) -> None:
        self._array = array

    def __len__(self) -> int:
        return int(self._array.shape[0])

    def __getitem__(self, row: int) -> Any:
        return self._array[row]

    def __repr__(self) -> str:
        return f"{type(self._array).__name__} of shape {self._array.shape}"
