"""Trees of arrays, in memory or mapped from files, whose first dimension counts the rows."""

from __future__ import annotations

from typing import Any, TypeVar, cast, overload

import numpy as np
import numpy.typing as npt
from loadax_core import Alloc, Gather, Rows, check_not_table, take_rows, tree

from ..base import BaseDataset
from ..files import memory_map
from ..hints import takes_one_tree
from ..layout import Layout, is_native, layout_of
from ..rows import Wanted

T_co = TypeVar("T_co", covariant=True)


class _Untyped:
    """A type of no value: an overload that asks for it fits arguments of type Any alone. Only type checkers see it."""


class ArrayDataset(BaseDataset[T_co]):
    """Rows of arrays: item `i` is the tree of every array's row `i`.

    Nothing is copied: rows are read-only views of the arrays. Leave the arrays unchanged while an iterator reads them:
    it gathers several batches at once, also without workers. Memory-mapped arrays stay mapped. Worker processes map
    the file themselves, and refuse one that was written since. Rows have the array's dtype in the machine's byte order.
    Rows of one-dimensional arrays are NumPy scalars; those of strings and bytes are arrays of shape `()`, since a
    scalar loses the dtype. The rows of an array of Python objects are its objects.

    Args:
        arrays: A tree (dicts, lists, tuples, named tuples, dataclasses) of arrays of shape `(rows, ...)`, or one array.
            Arrays of other libraries that live in host memory, JAX's among them, are viewed as NumPy arrays.

    Raises:
        TypeError: If a leaf is not an array, or `arrays` is a table.
        ValueError: If there is no array, if one has no dimension or is masked, or if their lengths differ.

    Example:
        >>> rows = ArrayDataset({"x": np.arange(6.0).reshape(3, 2), "y": np.array([0, 1, 1])})
        >>> rows[1]["x"], int(rows[1]["y"])
        (array([2., 3.]), 1)
        >>> rows
        ArrayDataset(3 rows: ['x'] float64 (2,), ['y'] int64 ())
    """

    # What is of type Any fits `_Untyped`; a type checker would take the first other signature for it.
    @overload
    def __init__(self: ArrayDataset[Any], arrays: _Untyped) -> None: ...
    @overload
    def __init__(self: ArrayDataset[dict[str, npt.NDArray[Any]]], arrays: dict[str, npt.NDArray[Any]]) -> None: ...
    @overload
    def __init__(self: ArrayDataset[dict[str, Any]], arrays: dict[str, Any]) -> None: ...
    @overload
    def __init__(self, arrays: T_co) -> None: ...

    @takes_one_tree
    def __init__(self, arrays: Any) -> None:
        check_not_table(arrays)
        self._arrays: Any = tree.map_leaves(_check_leaf, arrays)
        leaves = list(tree.leaves(self._arrays))
        if not leaves:
            raise ValueError(f"an ArrayDataset needs at least one array, got {arrays!r}")
        first_path, first = leaves[0]
        for path, leaf in leaves:
            if len(leaf) != len(first):
                raise ValueError(
                    f"arrays must have the same number of rows: {_name(first_path)} has {len(first)}, "
                    f"{_name(path)} has {len(leaf)}; cut them to the shortest"
                )
        self._length = len(first)
        # What a stack makes of objects depends on the objects, so a gather of them could differ from it.
        self._gathers = not any(leaf.dtype.hasobject for _, leaf in leaves)
        self._flatten()

    def _flatten(self) -> None:
        self._flat, self._build = tree.flatten(self._arrays)
        self._known_layout = layout_of(self._arrays)
        self._records = [] if self._known_layout is None else self._known_layout.records(self._flat)

    def __len__(self) -> int:
        return self._length

    def read(self, row: int) -> T_co:
        """The tree of row `row` of every array."""
        return tree.map_leaves(lambda _, array: read_row(array, row), self._arrays)

    @property
    def gather(self) -> Gather | None:
        """One `take` per array; None if an array holds Python objects."""
        return self._gather if self._gathers else None

    @property
    def rowwise(self) -> bool:
        """True: a row is copied."""
        return True

    @property
    def calls_user_code(self) -> bool:
        """Whether the tree has other nodes than dicts, lists and tuples, which a function of their own may rebuild."""
        return not _is_plain(self._arrays)

    def _take(self, rows: Wanted, alloc: Alloc) -> Any:
        return self._build([take_leaf(array, rows, alloc) for array in self._flat])

    def _batch_layout(self) -> Layout | None:
        """The arrays, if their rows can be copied as they are."""
        return self._known_layout

    def _write_rows(self, rows: Wanted, records: list[Any], places: Rows | slice) -> None:
        wanted = slice(rows.start, rows.stop) if isinstance(rows, range) else rows
        for own, out in zip(self._records, records):  # noqa: B905 (to compare lengths takes 0.3 us)
            out[places] = own[wanted]

    def _own_contents(self) -> dict[str, Any]:
        """Each array's dtype and shape of a row."""
        return {"arrays": self.describe()}

    def describe(self) -> str:
        """The length, and each array's dtype and shape of a row."""
        leaves = ((" ".join(path), leaf) for path, leaf in tree.leaves(self._arrays))
        shown = ", ".join(f"{path} {leaf.dtype} {leaf.shape[1:]}".lstrip() for path, leaf in leaves)
        return f"ArrayDataset({len(self)} rows: {shown})"

    def __getstate__(self) -> dict[str, Any]:
        state = vars(self) | {"_arrays": tree.map_leaves(lambda _, array: memory_map.reference(array), self._arrays)}
        del state["_flat"], state["_build"], state["_known_layout"], state["_records"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._arrays = tree.map_leaves(lambda _, leaf: _read_only(memory_map.opened(leaf)), self._arrays)
        self._flatten()


def _check_leaf(path: tree.Path, leaf: Any) -> npt.NDArray[Any]:
    if isinstance(leaf, np.ma.MaskedArray):
        raise ValueError(f"{_name(path)} is a masked array, whose mask a batch would lose; fill it with .filled(value)")
    # Arrays in memory have DLPack. Handles of files, such as h5py's, do not, and `asarray` would read the whole file.
    if not isinstance(leaf, np.ndarray) and not hasattr(leaf, "__dlpack__"):
        raise TypeError(
            f"{_name(path)} is a {type(leaf).__name__}, not an array; convert it with np.asarray, or use as_dataset "
            "for a source that reads rows lazily"
        )
    array: npt.NDArray[Any] = np.asarray(cast("Any", leaf))
    if array.ndim == 0:
        raise ValueError(f"{_name(path)} has no dimension to count rows along; its shape is ()")
    return _read_only(array)


def _is_plain(node: Any) -> bool:
    if type(node) is dict:
        return all(map(_is_plain, cast("dict[Any, Any]", node).values()))
    return isinstance(node, np.ndarray) or (type(node) in (list, tuple) and all(map(_is_plain, node)))


def _read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A read-only view, so that a transform that works in place cannot change the data."""
    view = array.view(np.ndarray)
    view.flags.writeable = False
    return view


def read_row(array: npt.NDArray[Any], row: int) -> Any:
    """Row `row` of an array, in a form that stacks to the array's dtype in the machine's byte order.

    Args:
        array: Array of shape `(n, ...)`.
        row: In `range(n)`.

    Returns:
        A view of shape `(...)`, or a NumPy scalar.
    """
    dtype = array.dtype
    value = array[row, ...] if array.ndim == 1 and dtype.kind in "US" else array[row]
    return value if is_native(dtype) else value.astype(dtype.newbyteorder("="))


def take_leaf(array: npt.NDArray[Any], rows: Wanted, alloc: Alloc) -> npt.NDArray[Any]:
    """Rows of an array, which are known to be in range, in the machine's byte order, in memory from `alloc`."""
    if not isinstance(rows, range) and is_native(array.dtype):
        return take_rows(array, rows, alloc)
    out = alloc((len(rows), *array.shape[1:]), array.dtype.newbyteorder("="))
    out[...] = array[rows.start : rows.stop] if isinstance(rows, range) else array[rows]
    return out


def _name(path: tree.Path) -> str:
    return "arrays" + "".join(path)
