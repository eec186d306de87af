"""What a gathered batch consists of, for datasets that know it without reading a row."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
from loadax_core import Alloc, ArraySpec, tree


class Leaf(NamedTuple):
    """One array of a batch.

    Attributes:
        shape: The shape of a row.
        dtype: Its dtype, in the machine's byte order.
        items: The number of items in a row.
        record: A dtype of raw bytes, as many as a row has.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    items: int
    record: np.dtype[np.void]

    def records(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A view of an array in which each row is one item, of shape `(rows,)`.

        NumPy copies rows of raw bytes two to four times as fast as rows of numbers. The rows must be contiguous.
        """
        if array.ndim == 1:
            return array
        if array.ndim > 2:
            array = array.reshape(len(array), self.items)
        return array.view(self.record)[:, 0]


class Layout(NamedTuple):
    """The arrays of a batch, and the tree that they form.

    Two datasets of one `key` can write their rows into the same arrays.

    Attributes:
        key: The containers, their keys, and the leaves. Equal keys mean equal trees, shapes and dtypes.
        leaves: The arrays of the batch.
        build: Makes the tree from the arrays.
    """

    key: tuple[Any, ...]
    leaves: tuple[Leaf, ...]
    build: Callable[[list[Any]], Any]

    def empty(self, rows: int, alloc: Alloc) -> tuple[list[npt.NDArray[Any]], list[npt.NDArray[Any]]]:
        """The arrays of a batch of some rows, not yet filled, and their `records`."""
        arrays: list[npt.NDArray[Any]] = []
        records: list[npt.NDArray[Any]] = []
        for leaf in self.leaves:
            array = alloc((rows, *leaf.shape), leaf.dtype)
            arrays.append(array)
            records.append(leaf.records(array))
        return arrays, records

    def spec(self, rows: int) -> Any:
        """The tree of a batch of some rows, with an `ArraySpec` in place of each array."""
        sizes = [rows * leaf.record.itemsize for leaf in self.leaves]
        leaves = zip(self.leaves, sizes, strict=True)
        return self.build([ArraySpec((rows, *leaf.shape), leaf.dtype, size) for leaf, size in leaves])

    def records(self, arrays: list[npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        """Views of the arrays of a batch in which each row is one item."""
        return [leaf.records(array) for leaf, array in zip(self.leaves, arrays, strict=True)]


MOST_BYTES = 2**31 - 1
"""The most bytes that an item of an array may have."""


def layout_of(arrays: Any) -> Layout | None:
    """The layout of batches whose leaves are rows of arrays.

    Args:
        arrays: A tree of arrays of shape `(rows, ...)`.

    Returns:
        The layout; None where rows cannot be copied as they are, or where layouts cannot be compared: for Python
        objects, for another byte order, for rows that are not contiguous or have no bytes, and for static fields.
    """
    structure = _structure(arrays)
    if structure is None:
        return None
    flat: list[npt.NDArray[Any]]
    flat, build = tree.flatten(arrays)
    leaves: list[Leaf] = []
    for array in flat:
        items = math.prod(array.shape[1:])
        size = items * array.itemsize
        if (
            not (array.flags.c_contiguous and is_native(array.dtype) and 0 < size <= MOST_BYTES)
            or array.dtype.hasobject
        ):
            return None
        leaves.append(Leaf(array.shape[1:], array.dtype, items, np.dtype((np.void, size))))
    return Layout((structure, *leaves), tuple(leaves), build)


def _structure(node: Any) -> tuple[Any, ...] | None:
    """The containers of a tree, to be compared; None if one has static fields, which may not be comparable."""
    opened = tree.children(node)
    if opened is None:
        return ()
    if tree.constants(node):
        return None
    parts = [(step, _structure(child)) for step, child in opened[0]]
    if any(part is None for _, part in parts):
        return None
    return (cast("type[Any]", type(node)), *parts)


def is_native(dtype: np.dtype[Any]) -> bool:
    """Whether a dtype has the machine's byte order, in all its fields."""
    # NumPy does not look into fields that are arrays.
    return dtype.isnative and (dtype.names is None or dtype == dtype.newbyteorder("="))
