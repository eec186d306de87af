"""Casts of the numbers in items to another dtype."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt
from loadax_core import Alloc, Dataset, Gather, timed_transform, tree

from ..base import take_from
from ..rows import Wanted, rows_in_range
from .base import Transform

KINDS = "buifc"
"""The kinds of numbers: bool, unsigned, signed, floating, complex. A cast may keep the kind, or go to the right."""
WHOLE = 2
"""The index of the last kind that has whole numbers only."""

PYTHON_NUMBERS: dict[type, type[np.generic]] = {
    bool: np.bool_,
    int: np.int64,
    float: np.float64,
    complex: np.complex128,
}
"""The dtypes that a stack gives Python's numbers."""

Make: TypeAlias = "Callable[[Any, np.dtype[Any]], Any]"
"""Makes a copy of an array or a NumPy scalar, in a dtype."""


class CastDataset(Transform[Any]):
    """The items of a source, with numbers of another dtype.

    A gather writes the numbers into memory that the loader recycles, which a function of `map` cannot do. The rule is
    NumPy's "same_kind": a cast may lose digits, as from float64 to float32, but not the kind of the numbers, as from
    floating to whole numbers, or from signed to unsigned ones. Whole numbers must fit the dtype, also the small
    floating-point dtypes that end at 65504 or less. Python's `bool`, `int`, `float` and `complex` count as `bool`,
    `int64`, `float64` and `complex128`, and become NumPy scalars. A leaf that has the dtype already is not copied.

    Args:
        source: Any object with `len()` and `[i]`.
        dtype: The dtype of every leaf; or, for items that are dicts, a mapping from names of entries to dtypes, which
            leaves the other entries as they are. A dtype is a number or `bool` of NumPy, or a number of the
            `ml_dtypes` package, such as bfloat16. Its byte order becomes the machine's.

    Raises:
        TypeError: If `dtype` is not one of numbers; when a leaf is not a number, of a kind that the cast would lose, or
            an array with masked entries; or when names are given and the items are not dicts.
        ValueError: If `dtype` names no entry.
        KeyError: When an item lacks an entry that is named.
        OverflowError: When a whole number does not fit the dtype, or a Python `int` not int64.

    Example:
        >>> tokens = CastDataset(np.array([[1, 2], [3, 4]], np.uint16), np.int32)
        >>> tokens[1]
        array([3, 4], dtype=int32)
        >>> CastDataset([{"x": 0.5, "name": "a"}], {"x": np.float32})[0]["x"].dtype
        dtype('float32')
    """

    def __init__(self, source: Dataset[Any], dtype: npt.DTypeLike | Mapping[Any, npt.DTypeLike]) -> None:
        self._dtype: np.dtype[Any] | dict[Any, np.dtype[Any]]
        if isinstance(dtype, Mapping):
            named = cast("Mapping[Any, npt.DTypeLike]", dtype)
            if not named:
                raise ValueError("cast of no entry, {}, changes nothing; name one, as in .cast({'image': 'float32'})")
            self._dtype = {name: _check_dtype(wanted) for name, wanted in named.items()}
        else:
            self._dtype = _check_dtype(dtype)
        super().__init__(source)
        self._set_epoch(0)

    def read(self, row: int) -> Any:
        """The source's row, in the dtype."""
        return timed_transform(self._cast, self._source.read(row), _copy)

    def read_many(self, rows: list[int]) -> list[Any]:
        """The source's rows, in the dtype."""
        return timed_transform(self._cast_each, self._source.read_many(rows_in_range(rows, len(self))))

    def read_range(self, rows: range) -> list[Any]:
        """The source's rows, in the dtype."""
        return timed_transform(self._cast_each, self._source.read_range(rows))

    @property
    def gather(self) -> Gather | None:
        """The source's gather, copied into memory of the dtype."""
        return None if self._source.gather is None else self._gather

    def _set_epoch(self, epoch: int) -> None:  # noqa: ARG002 (in another epoch, the source may be of another kind)
        # What `_find_dtypes` returned; False before it was called.
        self._direct: Any = False

    def _dtypes_to_read(self) -> Any:
        """A tree of the dtypes that the source is to write; None if it cannot, or if numbers may not fit theirs."""
        if self._direct is False:
            self._direct = self._find_dtypes()
        return self._direct

    def _find_dtypes(self) -> Any:
        source = self._source
        layout = source._batch_layout() if source._takes_casts() else None  # noqa: SLF001
        if layout is None:
            return None
        made = self._cast(layout.build([np.empty((0, *leaf.shape), leaf.dtype) for leaf in layout.leaves]), _copy)
        dtypes = [leaf.dtype for _, leaf in tree.leaves(made)]
        for leaf, dtype in zip(layout.leaves, dtypes, strict=True):
            # In a floating-point dtype, two tokens could become one.
            if dtype != leaf.dtype and (dtype.kind not in "iu" or _may_overflow(leaf.dtype, dtype)):
                return None
        return layout.build(dtypes)

    def _take(self, rows: Wanted, alloc: Alloc) -> Any:
        dtypes = self._dtypes_to_read()
        if dtypes is not None:
            # The source casts while it copies, so that the time of the cast is counted as reading.
            return self._source._take_as(rows, alloc, dtypes)  # noqa: SLF001

        def fill(values: Any, dtype: np.dtype[Any]) -> Any:
            out = alloc(values.shape, dtype)
            out[...] = values
            return out

        # No variable holds the source's arrays, so that their memory is free for the next gather when this one ends.
        return timed_transform(self._cast, take_from(self._source, rows, alloc), fill)

    def _own_contents(self) -> dict[str, Any]:
        """The dtype, or that of each entry that is cast."""
        return {"cast": self.describe()}

    def describe(self) -> str:
        """The dtype, or that of each entry that is cast."""
        if isinstance(self._dtype, np.dtype):
            return f"CastDataset({self._dtype})"
        return f"CastDataset({{{', '.join(f'{name!r}: {dtype}' for name, dtype in self._dtype.items())}}})"

    def _cast_each(self, items: Sequence[Any]) -> list[Any]:
        return [self._cast(item, _copy) for item in items]

    def _cast(self, item: Any, make: Make) -> Any:
        """An item, or a batch of them."""
        dtypes = self._dtype
        if isinstance(dtypes, np.dtype):
            return _cast_leaves(item, (), dtypes, make)
        if not isinstance(item, Mapping):
            raise TypeError(
                f"cast names entries, {list(dtypes)}, which dicts have; these items are of type "
                f"{type(item).__name__}: give one dtype for all that is in them"
            )
        entries = cast("Mapping[Any, Any]", item)
        for name in dtypes:
            if name not in entries:
                known = ", ".join(map(repr, entries)) or "no entries"
                raise KeyError(f"cast names the entry {name!r}, which items lack; they have {known}")
        new = {
            name: _cast_leaves(child, (f"[{name!r}]",), dtypes[name], make) if name in dtypes else child
            for name, child in entries.items()
        }
        return OrderedDict(new) if type(entries) is OrderedDict else new


def _copy(values: Any, dtype: np.dtype[Any]) -> Any:
    return values.astype(dtype)


def _cast_leaves(node: Any, path: tree.Path, dtype: np.dtype[Any], make: Make) -> Any:
    if type(node) is dict:
        # Most items are dicts. To find out a container's kind takes as long as to cast a small leaf.
        entries = cast("dict[Any, Any]", node)
        return {name: _cast_leaves(child, (*path, f"[{name!r}]"), dtype, make) for name, child in entries.items()}
    return tree.map_leaves(lambda path, leaf: _cast_leaf(path, leaf, dtype, make), node, path)


def _cast_leaf(path: tree.Path, leaf: Any, dtype: np.dtype[Any], make: Make) -> Any:
    values = leaf if type(leaf) is np.ndarray else _as_numpy(path, leaf)
    if values is not None and values.dtype == dtype:
        return values if type(leaf) in PYTHON_NUMBERS else leaf
    if np.ma.is_masked(leaf):
        raise TypeError(
            f"cannot cast {_name(path)} to {dtype}: it is a masked array, whose mask would be lost; fill it with "
            ".filled(value) in the dataset"
        )
    if values is None or _kind(values.dtype) < 0:
        found = f"a {type(leaf).__name__}" if values is None else f"of dtype {values.dtype}"
        raise TypeError(
            f"cannot cast {_name(path)} to {dtype}: it is {found}, and no number; name the entries to cast, as in "
            f".cast({{'name': '{dtype}'}})"
        )
    if _kind(values.dtype) > _kind(dtype):
        raise TypeError(
            f"cannot cast {_name(path)} from {values.dtype} to {dtype}: that is another kind of number; if it is "
            f"meant, say .astype('{dtype}') in a .map(fn, vectorized=True)"
        )
    if not _may_overflow(values.dtype, dtype):
        return make(values, dtype)
    if _kind(dtype) > WHOLE:
        with np.errstate(over="ignore", invalid="ignore"):
            made = make(values, dtype)
            wrong = _misfits(values, made)
    else:
        made = make(values, dtype)
        # NumPy compares its own dtypes only.
        wrong = _of_numpy(made) != _of_numpy(values)
    if np.any(wrong):
        raise OverflowError(
            f"cannot cast {_name(path)} to {dtype}: {np.asarray(values)[wrong].flat[0]} does not fit; choose a "
            "wider dtype"
        )
    return made


def _may_overflow(source: np.dtype[Any], dtype: np.dtype[Any]) -> bool:
    """Whether there are whole numbers of one dtype that another one does not reach."""
    if _kind(source) > WHOLE:
        return False
    if dtype.isbuiltin == 2 and dtype.itemsize == 1:
        # `np.can_cast` wrongly says that all numbers of uint8 fit these dtypes.
        return True
    return not np.can_cast(source, dtype) and (dtype.kind not in "fc" or dtype == np.float16)


def _misfits(values: Any, made: Any) -> Any:
    """Which whole numbers do not fit the floating-point dtype that they were cast to."""
    wrong = ~np.isfinite(made)
    most = np.array(np.inf).astype(made.dtype)
    # A dtype without infinity has its largest number in its place.
    return wrong | (abs(values.astype(float)) > most.astype(float)) if np.isfinite(most) else wrong


def _of_numpy(values: Any) -> Any:
    return values.astype(np.int64) if values.dtype.isbuiltin == 2 else values


def _as_numpy(path: tree.Path, leaf: Any) -> Any:
    """A leaf as an array or a NumPy scalar; None if it is something else."""
    number = PYTHON_NUMBERS.get(cast("type[Any]", type(leaf)))
    if number is None:
        if isinstance(leaf, np.generic):
            return cast("Any", leaf)
        return np.asarray(leaf) if hasattr(leaf, "__array__") else None
    try:
        return number(leaf)
    except OverflowError as error:
        raise OverflowError(
            f"cannot cast {_name(path)}: {leaf} does not fit int64; make it an array of another dtype, or a float, in "
            "the dataset"
        ) from error


def _check_dtype(dtype: Any) -> np.dtype[Any]:
    """A dtype of numbers, in the machine's byte order."""
    try:
        # NumPy would take None for float64.
        found = np.dtype(dtype if dtype is not None else "")
    except (TypeError, ValueError, SyntaxError) as error:
        raise TypeError(
            "cast takes a dtype, such as np.int32 or 'float32', or a dict from names of entries to dtypes; "
            f"got {dtype!r}"
        ) from error
    if _kind(found) < 0:
        raise TypeError(f"cast makes numbers or booleans, and {found!r} is a dtype of neither; use a .map")
    return found.newbyteorder("=")


def _kind(dtype: np.dtype[Any]) -> int:
    """The place of a dtype in `KINDS`; -1 if it is not one of numbers."""
    kind = KINDS.find(dtype.kind)
    if kind >= 0 or dtype.isbuiltin != 2:
        return kind
    # Dtypes of ml_dtypes have no kind of NumPy's, but names such as bfloat16, uint4 and float8_e4m3fn.
    return KINDS.find(dtype.name.lstrip("b")[0])


def _name(path: tree.Path) -> str:
    return "item" + "".join(path)
