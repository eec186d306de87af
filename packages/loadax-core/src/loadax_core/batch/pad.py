"""`PadBatcher`: batches of items that differ in length."""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from numbers import Number
from typing import Any, Literal, cast

import numpy as np

from .. import tree
from ..checks import check_int
from ..errors import StackError
from ..memory.pool import aligned_empty
from ..protocols import Alloc, Array
from .merge import differ, merge_trees
from .stack import as_array, check_items, stack_leaves


class PadBatcher:
    """Stacks items whose arrays differ in length; each array is padded to a common length.

    A leaf with at least one dimension is padded along its first one; its other dimensions must agree. A Python list
    counts as one leaf, the array of its numbers. Leaves without dimensions are stacked as by `StackBatcher`.

    The true lengths stay with the padded leaf. A dict entry `"name"` gets a sibling `"name_lengths"` (int32, of shape
    `(batch,)`) or `"name_mask"` (bool, of shape `(batch, length)`, True on real entries). Any other leaf, and an entry
    whose key is no string, becomes the pair `(values, lengths)` or `(values, mask)`.

    Args:
        length: Pad to exactly this length; or to the smallest of several lengths, such as `[64, 128, 256]`, that fits
            the longest item of the batch. Left out, the longest item of each batch sets the length. Then batches have
            many shapes, and a jitted step is compiled for each.
        multiple_of: Round the length of the longest item up to a multiple of this, so that few shapes occur.
        value: The padding; the dtype of an integer or bool leaf must be able to hold it. A dict has a value for each
            name; names are as in `keys`. The innermost name on the way to a leaf counts. A leaf without one gets 0.
        add: What marks real entries: their number, a mask, or None for nothing.
        keys: Pad only dict entries, and fields of named tuples and dataclasses, with these names, at any depth.
            Everything else is stacked as by `StackBatcher`.

    Raises:
        ValueError: If a setting is out of range; or, in a call, if an item is longer than any `length`, if the dtype of
            a leaf cannot hold `value`, or if items have no entry of one of the names in `keys` or `value`.
        StackError: If items differ in something else than length.
        TypeError: If `length` is neither an integer nor a sequence of integers, `value` no number, or `keys` a string;
            or, in a call, if a leaf to be padded holds strings or Python objects, or is an empty list in all items.

    Example:
        >>> batch = PadBatcher(multiple_of=4)([{"ids": np.array([5, 6, 7])}, {"ids": np.array([8])}])
        >>> batch["ids"]
        array([[5, 6, 7, 0],
               [8, 0, 0, 0]])
        >>> batch["ids_lengths"]
        array([3, 1], dtype=int32)
    """

    def __init__(
        self,
        length: int | Sequence[int] | None = None,
        *,
        multiple_of: int | None = None,
        value: complex | Mapping[str, complex] = 0,
        add: Literal["lengths", "mask"] | None = "lengths",
        keys: Sequence[str] | None = None,
    ) -> None:
        if length is not None and multiple_of is not None:
            raise ValueError(f"length={length} already fixes the length; leave multiple_of={multiple_of} out")
        if add not in ("lengths", "mask", None):
            raise ValueError(f"add must be 'lengths', 'mask' or None, got {add!r}")
        if isinstance(keys, str):
            raise TypeError(f"keys is a sequence of names, got the string {keys!r}; write [{keys!r}]")
        self._lengths = _checked_lengths(length)
        self._multiple_of = None if multiple_of is None else check_int("multiple_of", multiple_of, 1)
        self._value = dict(value) if isinstance(value, Mapping) else value
        for number in self._value.values() if isinstance(self._value, dict) else [self._value]:
            # NumPy's scalars among them.
            if not isinstance(number, Number | np.generic):
                raise TypeError(f"value is a number, or a dict from names to numbers, got {number!r}")
        self._add = add
        self._keys = None if keys is None else frozenset(keys)

    @property
    def length(self) -> int | None:
        """The length of every batch; None if the longest item of a batch decides."""
        return self._lengths[0] if len(self._lengths) == 1 else None

    def __call__(self, items: list[Any], /) -> Any:
        """The padded batch."""
        return self.stack(items, aligned_empty)

    def stack(self, items: list[Any], alloc: Alloc) -> Any:
        """The padded batch, in memory from `alloc`."""
        check_items(items)
        self._check_keys(items)
        padded = merge_trees(items, lambda column, path: self._pad(column, path, alloc), leaf=list)
        return self._lift_extras(padded)

    def __repr__(self) -> str:
        keys = None if self._keys is None else sorted(self._keys)
        settings = {"length": self._shown_length, "multiple_of": self._multiple_of, "keys": keys}
        given = [f"{k}={v}" for k, v in settings.items() if v is not None]
        return f"PadBatcher({', '.join([*given, f'value={self._value}', f'add={self._add!r}'])})"

    @property
    def _shown_length(self) -> int | list[int] | None:
        return self.length or self._lengths or None

    def _pad(self, column: list[Any], path: tree.Path, alloc: Alloc) -> Any:
        if not self._pads(path):
            fix = "; it is none of the keys, and PadBatcher pads only these"
            return merge_trees(column, lambda leaves, path: stack_leaves(leaves, path, alloc, fix), path=path)
        if not (type(column[0]) is list or getattr(column[0], "ndim", 0)):
            return stack_leaves(column, path, alloc)
        for i, leaf in enumerate(column):
            if type(leaf) not in (np.ndarray, list) and tree.children(leaf) is not None:
                # NumPy would make an array of its leaves.
                raise differ(path, "type", type(cast("object", column[0])).__name__, i, type(leaf).__name__)
        arrays = [as_array(leaf, path, i) for i, leaf in enumerate(column)]
        # An empty list has no dtype; it gets the dtype of another item.
        known = next((i for i, array in enumerate(arrays) if array.size), 0)
        if all(type(leaf) is list and not leaf for leaf in column):
            raise TypeError(
                f"cannot pad {tree.name(path)}: all its lists are empty in this batch, so that nothing tells their "
                "dtype and shape; make them arrays in the dataset, as in np.array(ids, np.int32), or as in "
                "np.array(boxes, np.float32).reshape(-1, 4) where a row is a list of lists"
            )
        first = arrays[known]
        if first.dtype.kind in "USO":
            raise TypeError(
                f"cannot pad {tree.name(path)}: its dtype is {first.dtype}, and padding is a number; encode it as "
                "numbers, or name the entries to pad with keys=[...]"
            )
        arrays = [
            first[:0] if _has_no_row(leaf, array, first) else array for leaf, array in zip(column, arrays, strict=True)
        ]
        for i, array in enumerate(arrays):
            if array.shape[1:] != first.shape[1:] or array.ndim != first.ndim:
                fix = "; only the first dimension may differ where leaves are padded"
                raise differ(path, "shape", first.shape, i, array.shape, fix, known)
            if array.dtype != first.dtype:
                raise differ(
                    path, "dtype", first.dtype, i, array.dtype, "; cast them to one dtype in the dataset", known
                )
        lengths = np.array([len(array) for array in arrays], np.int32)
        width = self._width(lengths, path)
        values = alloc((len(arrays), width, *first.shape[1:]), first.dtype)
        self._fill(values, path)
        for row, array in zip(values, arrays, strict=True):
            row[: len(array)] = array
        if self._add is None:
            return values
        return _Padded((values, lengths if self._add == "lengths" else np.arange(width) < lengths[:, None]))

    def _check_keys(self, items: list[Any]) -> None:
        names = {"keys": self._keys or (), "value": self._value if isinstance(self._value, dict) else ()}
        if not any(names.values()) or not items:
            return
        known = _steps(items[0])
        for setting, keys in names.items():
            for key in sorted(keys):
                if not _steps_of(key) & known.keys():
                    others = ", ".join(list(known)[:20]) or "nothing"
                    raise ValueError(f"{setting} names {key!r}, which the items do not have; they have {others}")

    def _pads(self, path: tree.Path) -> bool:
        """Whether a leaf at this place is padded, if it has a dimension."""
        return self._keys is None or any(_steps_of(key) & set(path) for key in self._keys)

    def _fill(self, values: Array, path: tree.Path) -> None:
        """Fills an array with padding."""
        value = self._value
        if isinstance(value, dict):
            values_by_step = {step: number for name, number in value.items() for step in _steps_of(name)}
            value = next((values_by_step[step] for step in reversed(path) if step in values_by_step), 0)
        try:
            values[...] = value
            # NumPy cuts off a fraction, and the integers of ml_dtypes drop bits, without an error.
            exact = values.dtype.kind in "iub" or "int" in values.dtype.name
            fits = not exact or not values.size or values.flat[0] == value
            error = None
        except (OverflowError, TypeError, ValueError) as refusal:
            fits, error = False, refusal
        if not fits:
            raise ValueError(
                f"cannot pad {tree.name(path)}: value={value!r} is no {values.dtype}; choose another value, "
                "or cast the leaf in the dataset"
            ) from error

    def _width(self, lengths: Array, path: tree.Path) -> int:
        longest = int(lengths.max())
        if self._lengths:
            i = bisect_left(self._lengths, longest)
            if i == len(self._lengths):
                raise StackError(
                    f"cannot pad {tree.name(path)}: item {int(lengths.argmax())} has length {longest}, more than "
                    f"length={self._shown_length}; cut it in the dataset, or raise length",
                    (int(lengths.argmax()), int(lengths.argmax())),
                )
            return self._lengths[i]
        step = self._multiple_of or 1
        return -(-longest // step) * step

    def _lift_extras(self, node: Any) -> Any:
        """Turns `{"x": padded pair}` into `{"x": values, "x_lengths": lengths}`, and bare pairs into tuples."""
        if isinstance(node, _Padded):
            return tuple(node)
        opened = tree.children(node)
        if opened is None:
            return node
        if not isinstance(node, dict):
            steps, build = opened
            return build([self._lift_extras(child) for _, child in steps])
        lifted: dict[Any, Any] = OrderedDict() if type(node) is OrderedDict else {}  # pyright: ignore[reportUnknownArgumentType]
        for key, child in node.items():  # pyright: ignore[reportUnknownVariableType]
            # JAX sorts the keys of a dict, and cannot compare a string with a key of another type.
            if isinstance(child, _Padded) and isinstance(key, str):
                extra = f"{key}_{self._add}"
                if extra in node:
                    raise ValueError(f"the item already has an entry {extra!r}; rename it, or choose add=None")
                lifted[key], lifted[extra] = child
            else:
                lifted[key] = self._lift_extras(child)
        return lifted


def _has_no_row(leaf: Any, array: Array, first: Array) -> bool:
    """Whether a leaf is an empty list, or an array without rows, in which other dimensions of 0 say nothing."""
    if type(leaf) is list and not leaf:
        return True
    return array.shape == (0,) * first.ndim and array.dtype == first.dtype


def _checked_lengths(length: object) -> list[int]:
    """The lengths to choose from, ascending; empty if the longest item decides."""
    if length is None:
        return []
    if not isinstance(length, Sequence) or isinstance(length, str | bytes):
        return [check_int("length", length, 1, " or several of them")]
    if not length:
        raise ValueError("length is an empty sequence; leave it out to pad to the longest item of a batch")
    return sorted({check_int("length", each, 1) for each in cast("Sequence[object]", length)})


class _Padded(tuple[Any, Any]):
    """A padded leaf with its lengths or mask, before `_lift_extras` puts these into the dict around the leaf."""

    __slots__ = ()


def _steps(node: Any) -> dict[str, None]:
    """All steps in an item, in order; a list counts as a leaf and is not opened."""
    opened = None if type(node) is list else tree.children(node)
    steps: dict[str, None] = {}
    for step, child in opened[0] if opened else []:
        steps |= {step: None} | _steps(child)
    return steps


def _steps_of(key: str) -> set[str]:
    """The steps that a name stands for: an entry of a dict, or a field."""
    return {f"[{key!r}]", f".{key}"}
