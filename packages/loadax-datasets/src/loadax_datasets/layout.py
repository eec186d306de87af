"""What a gathered batch consists of, for datasets that know it without reading a row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
from loadax_core import Alloc, Rows, tree

from .rows import Wanted


class Layout(NamedTuple):
    """The arrays of a batch, and the tree that they form.

    Two datasets of one `key` can write their rows into the same arrays.

    Attributes:
        key: The containers, their keys, and the leaves. Equal keys mean equal trees, shapes and dtypes.
        leaves: For each array of the batch: the shape of a row, and the dtype.
        build: Makes the tree from the arrays.
    """

    key: tuple[Any, ...]
    leaves: tuple[tuple[tuple[int, ...], np.dtype[Any]], ...]
    build: Callable[[list[Any]], Any]

    def empty(self, rows: int, alloc: Alloc) -> list[Any]:
        """The arrays of a batch of some rows, not yet filled."""
        return [alloc((rows, *shape), dtype) for shape, dtype in self.leaves]


def layout_of(arrays: Any) -> Layout | None:
    """The layout of batches whose leaves are rows of arrays; None where that cannot be compared with others.

    Args:
        arrays: A tree of arrays of shape `(rows, ...)`.
    """
    structure = _structure(arrays)
    if structure is None:
        return None
    flat, build = tree.flatten(arrays)
    leaves = tuple((leaf.shape[1:], leaf.dtype.newbyteorder("=")) for leaf in flat)
    return Layout((structure, leaves), leaves, build)


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


def is_plain(arrays: Sequence[npt.NDArray[Any]]) -> bool:
    """Whether `take` can write rows of all arrays into a batch without a copy on the way."""
    # Of other arrays, `take` would copy the whole first.
    return all(array.flags.c_contiguous and array.flags.aligned and is_native(array.dtype) for array in arrays)


def is_native(dtype: np.dtype[Any]) -> bool:
    """Whether a dtype has the machine's byte order, in all its fields."""
    # NumPy does not look into fields that are arrays.
    return dtype.isnative and (dtype.names is None or dtype == dtype.newbyteorder("="))


def fill(
    arrays: Sequence[npt.NDArray[Any]], rows: Wanted, outs: list[npt.NDArray[Any]], places: Rows | slice, plain: bool
) -> None:
    """Writes rows of arrays to places of other arrays.

    Args:
        arrays: Arrays of shape `(rows, ...)`.
        rows: Which rows.
        outs: As many arrays of shape `(n, ...)`.
        places: Where each of the rows goes.
        plain: `is_plain(arrays)`.
    """
    if isinstance(rows, range):
        for array, out in zip(arrays, outs, strict=True):
            out[places] = array[rows.start : rows.stop]
    elif plain and isinstance(places, slice):
        for array, out in zip(arrays, outs, strict=True):
            # With mode="raise", `take` goes through a temporary whenever it has an `out`.
            array.take(rows, 0, out[places], "clip")
    else:
        for array, out in zip(arrays, outs, strict=True):
            out[places] = array.take(rows, 0) if plain else array[rows]
