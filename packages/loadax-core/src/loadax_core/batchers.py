"""How items become a batch. A batcher is any callable `list[item] -> batch`; these are the predefined ones."""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from numbers import Number
from typing import Any, Generic, Literal, TypeVar, cast

import numpy as np

from . import tree
from .buffers import aligned_empty
from .checks import check_int
from .errors import StackError
from .merging import differ, merge_trees
from .protocols import Alloc, Array

T = TypeVar("T")
B_co = TypeVar("B_co", covariant=True)


class Batcher(Generic[T, B_co]):
    """Wraps a function from a list of items to a batch, and carries its types to the training loop.

    Args:
        fn: Takes the items of one batch, in order. Called from worker threads.

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
        return f"Batcher({getattr(self._fn, '__qualname__', self._fn)})"


class StackBatcher:
    """Stacks items, leaf by leaf, along a new first dimension.

    Items are trees of dicts, lists, tuples, named tuples and dataclasses. Leaves become NumPy arrays of shape
    `(batch, ...)`: arrays and NumPy scalars keep their dtype, Python `bool`, `int`, `float` and `complex` become
    `bool`, `int64`, `float64` and `complex128`, and `str` and `bytes` become arrays of Python objects. `None` stays
    `None`. The dtype never depends on which items share a batch: items that differ are refused.

    Raises:
        StackError: If the items' trees, shapes, dtypes or types differ, naming the leaf and the two items.
        TypeError: If a leaf is none of the above, or an array with masked entries, whose mask a batch would lose.

    Example:
        >>> StackBatcher()([{"x": [1.0, True]}, {"x": [2.0, False]}])
        {'x': [array([1., 2.]), array([ True, False])]}
    """

    def __call__(self, items: list[Any], /) -> Any:
        """The batch: one tree of the same containers as each item."""
        return self.stack(items, aligned_empty)

    def stack(self, items: list[Any], alloc: Alloc) -> Any:
        """The batch, in memory from `alloc`."""
        _check_items(items)
        return merge_trees(items, lambda column, path: _stack(column, path, alloc))

    def __repr__(self) -> str:
        return "StackBatcher()"


class PadBatcher:
    """Stacks items whose arrays differ in length, padding each to a common one.

    Every leaf with at least one dimension is padded along its first; its other dimensions must agree. A Python list
    counts as one leaf, the array of its numbers. Leaves without dimensions are stacked as by `StackBatcher`. The true
    lengths travel with the padded leaf: a dict entry `"name"` gets a sibling `"name_lengths"` (int32, of shape
    `(batch,)`) or `"name_mask"` (bool, of shape `(batch, length)`, True on real entries); any other leaf, that of a key
    that is no string among them, is replaced by the pair `(values, lengths)` or `(values, mask)`.

    Args:
        length: Pad to exactly this length; or to the least of several that the longest item of the batch fits, as in
            `[64, 128, 256]`. Left out, the longest item decides, which gives batches of many shapes, each of which a
            jitted step compiles anew.
        multiple_of: Round the longest item's length up to a multiple of this, so that few shapes occur.
        value: The padding; a leaf of integers or bools must be able to hold it. A dict has one for each name, as `keys`
            are names: of several on the way to a leaf the innermost counts, and without any, the padding is 0.
        add: What tells real entries from padding; None adds nothing.
        keys: Pad only the dict entries, and the fields of named tuples and dataclasses, of these names, at any depth;
            everything else is stacked as by `StackBatcher`.

    Raises:
        ValueError: If a setting is out of range or, in a call, an item is longer than any `length`, `value` does not
            fit a leaf, or the items have nothing of one of the `keys`, or of the names in `value`.
        StackError: If the items differ in anything but length.
        TypeError: If `length` is neither an integer nor several, `value` no number, or `keys` a string; or, in a call,
            if what is to be padded are strings or Python objects, or nothing but empty lists.

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
        """What every batch is padded to, None if its longest item decides."""
        return self._lengths[0] if len(self._lengths) == 1 else None

    def __call__(self, items: list[Any], /) -> Any:
        """The padded batch."""
        return self.stack(items, aligned_empty)

    def stack(self, items: list[Any], alloc: Alloc) -> Any:
        """The padded batch, in memory from `alloc`."""
        _check_items(items)
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
            return merge_trees(column, lambda leaves, path: _stack(leaves, path, alloc, fix), path=path)
        if not (type(column[0]) is list or getattr(column[0], "ndim", 0)):
            return _stack(column, path, alloc)
        arrays = [_as_array(leaf, path, i) for i, leaf in enumerate(column)]
        # An empty list has no dtype of its own; it takes that of its neighbours.
        known = next((i for i, array in enumerate(arrays) if array.size), 0)
        if all(type(leaf) is list and not leaf for leaf in column):
            raise TypeError(
                f"cannot pad {tree.name(path)}: all its lists are empty in this batch, so that nothing tells their "
                "dtype; make them arrays in the dataset, as in np.array(ids, np.int32)"
            )
        first = arrays[known]
        if first.dtype.kind in "USO":
            raise TypeError(
                f"cannot pad {tree.name(path)}: it holds {first.dtype}, and padding is a number; encode it as numbers, "
                "or name what is to be padded with keys=[...]"
            )
        arrays = [
            first[:0] if type(leaf) is list and not leaf else array for leaf, array in zip(column, arrays, strict=True)
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
        """Whether what stands there is padded, if it has a length."""
        return self._keys is None or any(_steps_of(key) & set(path) for key in self._keys)

    def _fill(self, values: Array, path: tree.Path) -> None:
        """Fills an array with padding."""
        value = self._value
        if isinstance(value, dict):
            values_by_step = {step: number for name, number in value.items() for step in _steps_of(name)}
            value = next((values_by_step[step] for step in reversed(path) if step in values_by_step), 0)
        try:
            values[...] = value
            # NumPy would cut off a fraction.
            fits = values.dtype.kind not in "iub" or not values.size or values.flat[0] == value
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
            # JAX sorts the keys of a dict, and cannot compare a string to another kind.
            if isinstance(child, _Padded) and isinstance(key, str):
                extra = f"{key}_{self._add}"
                if extra in node:
                    raise ValueError(f"the item already has an entry {extra!r}; rename it, or choose add=None")
                lifted[key], lifted[extra] = child
            else:
                lifted[key] = self._lift_extras(child)
        return lifted


def _checked_lengths(length: object) -> list[int]:
    """The lengths to choose from, ascending; none if the longest item decides."""
    if length is None:
        return []
    if not isinstance(length, Sequence) or isinstance(length, str | bytes):
        return [check_int("length", length, 1, " or several of them")]
    if not length:
        raise ValueError("length is an empty sequence; leave it out to pad to the longest item of a batch")
    return sorted({check_int("length", each, 1) for each in cast("Sequence[object]", length)})


class _Padded(tuple[Any, Any]):
    """A padded leaf with its lengths or mask, before they find their place in the batch."""

    __slots__ = ()


_SCALARS: dict[type, type] = {bool: np.bool_, int: np.int64, float: np.float64, complex: np.complex128}


def _stack(
    column: list[Any], path: tree.Path, alloc: Alloc, fix: str = "; PadBatcher pads leaves of different lengths"
) -> Array:
    """Stacks the leaves of one place in the tree.

    Args:
        column: The leaves, one of each item.
        path: The place.
        alloc: Provides the memory.
        fix: What to do if their shapes differ.
    """
    first = column[0]
    kind = cast("type[Any]", type(first))
    # Such as an `IntEnum`.
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
        raise TypeError(
            f"cannot stack {tree.name(path)}: {kind.__name__} is neither an array nor a number nor a string; "
            "map it to one in the dataset, or write a batcher for it"
        )
    # Not `asarray` on the whole list: it would promote, and so let one item change the dtype of a batch.
    arrays: list[Array] = []
    for i, leaf in enumerate(column):
        if not hasattr(leaf, "__array__"):
            raise differ(path, "type", kind.__name__, i, type(leaf).__name__)
        array = _as_array(leaf, path, i)
        if arrays and array.shape != arrays[0].shape:
            raise differ(
                path,
                "shape",
                arrays[0].shape,
                i,
                array.shape,
                fix,
            )
        if arrays and array.dtype != arrays[0].dtype:
            raise differ(path, "dtype", arrays[0].dtype, i, array.dtype, "; cast them to one dtype in the dataset")
        arrays.append(array)
    out = alloc((len(arrays), *arrays[0].shape), arrays[0].dtype)
    np.stack(arrays, out=out)
    return out


def _check_items(items: list[Any]) -> None:
    if items and items[0] is None:
        raise StackError("cannot stack items that are None; a transform without a `return` gives these", (0, 0))


def _as_array(leaf: Any, path: tree.Path, i: int) -> Array:
    """The leaf of item `i` as an array, unless that would lose something."""
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


def _steps(node: Any) -> dict[str, None]:
    """The steps to all that is in an item, in order; lists are not opened, since each is a leaf."""
    opened = None if type(node) is list else tree.children(node)
    steps: dict[str, None] = {}
    for step, child in opened[0] if opened else []:
        steps |= {step: None} | _steps(child)
    return steps


def _steps_of(key: str) -> set[str]:
    """The steps of a path that lead to what has a name: an entry of a dict, or a field."""
    return {f"[{key!r}]", f".{key}"}
