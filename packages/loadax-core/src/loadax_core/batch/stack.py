"""Batchers make items into a batch. Any callable `list[item] -> batch` is one; these two stack, or wrap a function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

import numpy as np

from .. import tree
from ..errors import StackError
from ..memory.pool import aligned_empty
from ..protocols import Alloc, Array
from ..text import name_of
from .merge import differ, merge_trees

T = TypeVar("T")
B_co = TypeVar("B_co", covariant=True)


class Batcher(Generic[T, B_co]):
    """Wraps a function from a list of items to a batch, and passes its types on to the training loop.

    Args:
        fn: Takes the items of one batch, in order. Worker threads call it.

    Raises:
        TypeError: If `fn` is not callable.

    Example:
        >>> def total(items: list[int]) -> int:
        ...     return sum(items)
        >>> Batcher(total)([1, 2, 3])
        6
    """

    def __init__(self, fn: Callable[[list[T]], B_co]) -> None:
        if not callable(fn):
            raise TypeError(f"a batcher is a callable that takes a list of items, got {fn!r}")
        self._fn = fn

    @property
    def fn(self) -> Callable[[list[T]], B_co]:
        """The function."""
        return self._fn

    def __call__(self, items: list[T], /) -> B_co:
        """The batch made of `items`."""
        return self._fn(items)

    def __repr__(self) -> str:
        return f"Batcher({name_of(self._fn)})"


class StackBatcher:
    """Stacks items, leaf by leaf, along a new first dimension.

    Items are trees of dicts, lists, tuples, named tuples and dataclasses; the batch has the same containers, rebuilt
    without a call of their classes. Leaves become NumPy arrays of shape `(batch, ...)`: arrays and NumPy scalars keep
    their dtype, Python `bool`, `int`, `float` and `complex` become `bool`, `int64`, `float64` and `complex128`, and
    `str` and `bytes` become arrays of Python objects. `None` stays `None`. The dtype never depends on which items share
    a batch: items that differ raise an error.

    A mapping that is neither an `OrderedDict` nor registered with JAX becomes a dict. Its keys may come in any order.

    Raises:
        StackError: If trees, shapes, dtypes or types of items differ; the error names the leaf and the two items.
        TypeError: If a leaf is none of the above, or an array with masked entries, whose mask the batch would lose.

    Example:
        >>> StackBatcher()([{"x": [1.0, True]}, {"x": [2.0, False]}])
        {'x': [array([1., 2.]), array([ True, False])]}
    """

    def __call__(self, items: list[Any], /) -> Any:
        """The batch: a tree of the same containers as an item."""
        return self.stack(items, aligned_empty)

    def stack(self, items: list[Any], alloc: Alloc) -> Any:
        """The batch, in memory from `alloc`."""
        check_items(items)
        return merge_trees(items, lambda column, path: stack_leaves(column, path, alloc))

    def __repr__(self) -> str:
        return "StackBatcher()"


_SCALARS: dict[type, type] = {bool: np.bool_, int: np.int64, float: np.float64, complex: np.complex128}


def stack_leaves(column: list[Any], path: tree.Path, alloc: Alloc, fix: str | None = None) -> Array:
    """Stacks the leaves of one place in the tree.

    Args:
        column: The leaves, one of each item.
        path: The place.
        alloc: Provides the memory.
        fix: What the user can do if shapes differ; left out, pad them where only the first dimension differs.
    """
    first = column[0]
    kind = cast("type[Any]", type(first))
    # A subclass counts too, such as an `IntEnum`.
    scalar = None if hasattr(first, "__array__") else next((s for s in _SCALARS if issubclass(kind, s)), None)
    if scalar or isinstance(first, str | bytes):
        for i, leaf in enumerate(column):
            if type(leaf) is not kind:
                raise differ(path, "type", kind.__name__, i, type(leaf).__name__)
        out = alloc((len(column),), np.dtype(_SCALARS[scalar] if scalar else object))
        try:
            out[:] = column
        except OverflowError as error:
            i = next(i for i, number in enumerate(column) if not -(2**63) <= number < 2**63)
            raise OverflowError(
                f"cannot stack {tree.name(path)}: {column[i]}, of item {i}, does not fit int64; make it an array of "
                "another dtype, or a float, in the dataset"
            ) from error
        return out
    if not hasattr(first, "__array__"):
        fix = "map it to one in the dataset, or write a batcher for it"
        if hasattr(first, "__getitem__") and hasattr(first, "__len__"):
            fix += "; if it is the dataset, build it itself and not a list of it: .build(dataset)"
        raise TypeError(
            f"cannot stack {tree.name(path)}: a {kind.__name__} is neither an array nor a number nor a string; {fix}"
        )
    # `asarray` of the whole list would promote dtypes, so that one item could change the dtype of the batch.
    arrays: list[Array] = []
    for i, leaf in enumerate(column):
        if not hasattr(leaf, "__array__"):
            raise differ(path, "type", kind.__name__, i, type(leaf).__name__)
        array = as_array(leaf, path, i)
        if arrays and array.shape != arrays[0].shape:
            raise differ(path, "shape", arrays[0].shape, i, array.shape, fix or _to_one_shape(arrays[0], array))
        if arrays and array.dtype != arrays[0].dtype:
            raise differ(path, "dtype", arrays[0].dtype, i, array.dtype, "; cast them to one dtype in the dataset")
        arrays.append(array)
    out = alloc((len(arrays), *arrays[0].shape), arrays[0].dtype)
    np.stack(arrays, out=out)
    return out


def _to_one_shape(one: Array, other: Array) -> str:
    fix = "; map them to one shape in the dataset: .map(fn), where fn crops or resizes them"
    if one.shape[1:] != other.shape[1:] or one.ndim != other.ndim:
        return fix
    pads = "PadBatcher pads leaves of different lengths"
    # Images may happen to have one width.
    return f"{fix}; {pads}" if one.ndim == 3 else f"; {pads}"


def check_items(items: list[Any]) -> None:
    """Refuses items that are None, of which the batch would have no leaves.

    Raises:
        StackError: If the first item is None.
    """
    if items and items[0] is None:
        raise StackError("cannot stack items that are None; does a transform lack its `return`?", (0, 0))


def as_array(leaf: Any, path: tree.Path, i: int) -> Array:
    """The leaf of item `i` as an array; a masked array raises a TypeError, since its mask would be lost."""
    try:
        array = np.asarray(leaf)
    except ValueError as error:
        raise ValueError(
            f"cannot make an array of {tree.name(path)} of item {i}, {leaf!r:.60}: {error}; make it one in the dataset"
        ) from error
    if array is not leaf and np.ma.is_masked(leaf):
        raise TypeError(
            f"cannot stack {tree.name(path)}: it is a masked array in item {i}, whose mask a batch would lose; fill it "
            "with .filled(value) in the dataset"
        )
    return array
