"""Merges trees leaf by leaf: items into a batch, and batches into a larger batch."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np

from .. import tree
from ..errors import StackError
from ..memory.pool import is_leased
from ..protocols import Alloc, Array, Rows

ALIKE = "; make the items alike in the dataset, or write a batcher for them"

LENGTHS = (
    "; the entries of a list are stacked one by one. To pad lists of numbers to one length, use "
    "DataLoader(PadBatcher()); otherwise make the items alike in the dataset"
)

Merge = Callable[[list[Any], tree.Path], Any]
"""Makes one leaf of the leaves at one place in all trees."""


def merge_trees(
    trees: Sequence[Any],
    merge: Merge,
    leaf: type | None = None,
    numbers: Sequence[int] | None = None,
    path: tree.Path = (),
) -> Any:
    """Walks all trees at once, and merges the leaves at the same place.

    Args:
        trees: Trees of the same containers.
        merge: Merges the leaves of one place.
        leaf: A container type that counts as a leaf.
        numbers: The position in the batch of each tree's first item, by which errors name it; None if each tree is one
            item.
        path: The place of the trees in larger ones.

    Returns:
        A tree of the same containers.

    Raises:
        StackError: If the containers differ; the error names the place.
        ValueError: If `trees` is empty.
    """
    if not trees:
        raise ValueError("a batch of no items cannot be stacked; each process must load some of its rows")
    first = trees[0]
    opened = None if type(first) is leaf else tree.children(first)
    if opened is None:
        return merge(list(trees), path)
    steps, build = opened
    kind = cast("type[Any]", type(first))
    names, fixed, keys = [step for step, _ in steps], tree.constants(first), tree.keys(first)
    rows: list[list[Any]] = []
    for i, item in enumerate(trees):
        if type(item) is not kind:
            raise differ(path, "type", kind.__name__, i, type(item).__name__, numbers=numbers)
        if keys is not None:
            # JAX takes the order of an OrderedDict for a part of its structure, and compiles a step for each.
            if item.keys() != first.keys() or (kind is OrderedDict and list(item) != keys):
                raise differ(path, "keys", keys, i, list(item), numbers=numbers)
            rows.append([item[key] for key in keys])
        else:
            theirs, _ = tree.children(item) or ([], None)
            if [step for step, _ in theirs] != names:
                if kind in (list, tuple):
                    raise differ(path, "length", len(names), i, len(theirs), LENGTHS, numbers=numbers)
                fields, others = ([step.lstrip(".") for step in each] for each in (names, [s for s, _ in theirs]))
                raise differ(path, "fields", fields, i, others, numbers=numbers)
            if fixed and tree.constants(item) != fixed:
                raise differ(path, "static fields", fixed, i, tree.constants(item), numbers=numbers)
            rows.append([child for _, child in theirs])
    columns = zip(*rows, strict=True) if names else ()
    return build([merge_trees(c, merge, leaf, numbers, (*path, name)) for name, c in zip(names, columns, strict=True)])


def join_batches(batches: Sequence[Any], places: Sequence[slice | Rows], alloc: Alloc) -> Any:
    """Joins batches into one, as if all rows had been gathered at once.

    Args:
        batches: Trees of arrays of shape `(n, ...)`, which differ in `n` only.
        places: For each batch the positions of its rows in the result, as a slice or of shape `(n,)`. Together they are
            every position once. The first batch has the first row.
        alloc: Provides the memory of the result.

    Returns:
        A tree of the same containers.

    Raises:
        StackError: If trees, shapes or dtypes differ; the error names the two items, as `StackBatcher` does.

    Example:
        >>> join_batches([{"x": np.array([1, 3])}, {"x": np.array([2])}], [np.array([0, 2]), np.array([1])], np.empty)
        {'x': array([1, 2, 3])}
    """
    numbers = [place.start if isinstance(place, slice) else int(place[0]) for place in places]

    def join(column: list[Any], path: tree.Path) -> Array:
        arrays = [np.asarray(leaf) for leaf in column]
        first = arrays[0]
        for i, (leaf, array) in enumerate(zip(column, arrays, strict=True)):
            if type(leaf) is not np.ndarray and tree.children(leaf) is not None:
                # NumPy has made an array of the arrays in it.
                kind = first.dtype if first.ndim == 1 else "ndarray"
                raise differ(path, "type", kind, i, type(leaf).__name__, numbers=numbers)
            if array.shape[1:] != first.shape[1:]:
                raise differ(path, "shape", first.shape[1:], i, array.shape[1:], numbers=numbers)
            if array.dtype != first.dtype:
                fix = "; cast them to one dtype in the dataset"
                raise differ(path, "dtype", first.dtype, i, array.dtype, fix, numbers=numbers)
        shape = (sum(map(len, arrays)), *first.shape[1:])
        if _in_place(arrays, places, shape):
            return cast(Array, first.base)
        out = alloc(shape, first.dtype)
        for place, array in zip(places, arrays, strict=True):
            out[place] = array
        return out

    return merge_trees(batches, join, numbers=numbers)


def _in_place(arrays: Sequence[Array], places: Sequence[slice | Rows], shape: tuple[int, ...]) -> bool:
    """Whether all arrays are parts of one leased array, each at its place, so that nothing needs to be copied."""
    # Of an array that is no part of a larger one, this is the lease itself, or None.
    whole = arrays[0].base
    if not isinstance(whole, np.ndarray) or not is_leased(whole):
        return False
    if (whole.shape, whole.dtype) != (shape, arrays[0].dtype):
        return False
    return all(
        isinstance(place, slice) and _same_memory(array, whole[place])
        for place, array in zip(places, arrays, strict=True)
    )


def _same_memory(one: Array, other: Array) -> bool:
    return (one.__array_interface__["data"], one.shape, one.strides) == (
        other.__array_interface__["data"],
        other.shape,
        other.strides,
    )


def differ(
    path: tree.Path,
    what: str,
    first: object,
    i: int,
    other: object,
    fix: str = ALIKE,
    known: int = 0,
    numbers: Sequence[int] | None = None,
) -> StackError:
    """The error that item `i` differs from item `known`.

    Args:
        path: The place in the tree.
        what: The property that differs.
        first: The property of item `known`.
        i: The item that differs.
        other: The property of item `i`.
        fix: What the user can do.
        known: The item that item `i` is compared to.
        numbers: The position in the batch of each tree's first item, as for `merge_trees`.
    """
    known, i = (known, i) if numbers is None else (numbers[known], numbers[i])
    where = f"cannot stack {tree.name(path)}"
    return StackError(f"{where}: item {known} has {what} {first} but item {i} has {what} {other}{fix}", (known, i))
