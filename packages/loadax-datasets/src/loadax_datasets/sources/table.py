"""The base of sources with columns. Rows are read column by column, and then cut into items or stacked."""

from __future__ import annotations

import datetime as dt
import math
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt
from loadax_core import Alloc, Gather, Rows, aligned_empty, tree

from ..base import BaseDataset
from ..files.fingerprints import digest
from ..rows import Wanted, as_array, rows_in_range
from .arrays import read_row

Column: TypeAlias = "npt.NDArray[Any] | list[Any] | dict[str, Column]"
"""The values of one column in `n` rows: an array of shape `(n, ...)`, a list of `n` strings, bytes or values that
differ in size, or the columns of a struct."""


class TableDataset(BaseDataset[dict[str, Any]]):
    """Rows of named columns, as dicts from names to values.

    A subclass defines `__len__`, `_columns_at`, `types` and `_stacks`.

    Attributes:
        _fill_facts: What `check_fill` returned.
    """

    _fill_facts: dict[str, Any]

    @abstractmethod
    def _columns_at(self, rows: Rows, alloc: Alloc) -> dict[str, Column]:
        """The columns of `rows`, of shape `(n,)` and each in `range(len(self))`; arrays in memory from `alloc`."""

    @property
    @abstractmethod
    def types(self) -> dict[str, str]:
        """The names of the columns, each with its type as the source calls it."""

    @property
    @abstractmethod
    def _stacks(self) -> bool:
        """Whether the values of each column have the same shape in all rows."""

    def read(self, row: int) -> dict[str, Any]:
        """The row, as a dict from column names to values."""
        return self.read_many([row])[0]

    @property
    def batched(self) -> bool:
        """True: many rows are read column by column."""
        return True

    def read_many(self, rows: list[int]) -> list[dict[str, Any]]:
        """The rows, read together."""
        wanted = np.array(rows_in_range(rows, len(self)), np.int64)
        columns = self._columns_at(wanted, aligned_empty)
        return [{name: _value(column, i) for name, column in columns.items()} for i in range(len(wanted))]

    @property
    def gather(self) -> Gather | None:
        """Reads columns; None if the values of one differ in shape."""
        return self._gather if self._stacks else None

    @property
    def rowwise(self) -> bool:
        """True: each value is read for itself."""
        return True

    def _take(self, rows: Wanted, alloc: Alloc) -> Any:
        columns = self._columns_at(as_array(rows), alloc)
        return {name: _as_stack(column, alloc) for name, column in columns.items()}

    def fingerprint(self) -> dict[str, Any]:
        """The number of rows, the columns and their types, and a hash of a few rows, as they are stored."""
        some = np.linspace(0, len(self) - 1, 8).astype(np.int64) if len(self) else np.empty(0, np.int64)
        facts = [_row_facts(self._stored_at, row) for row in some]
        return {"rows": len(self), "columns": self.types, "content": digest(repr(facts).encode())}

    def _stored_at(self, rows: Rows, alloc: Alloc) -> dict[str, Column]:
        """The columns of `rows` as they are stored: decoded images may depend on the version of a library."""
        return self._columns_at(rows, alloc)

    def _own_contents(self) -> dict[str, Any]:
        """The values of `fill_null`."""
        return self._fill_facts

    def describe(self) -> str:
        """The number of rows, and the columns with their types."""
        columns = ", ".join(f"{name} {kind}" for name, kind in self.types.items())
        return f"{type(self).__name__}({len(self)} rows: {columns})"


def check_columns(columns: Sequence[str] | None) -> list[str] | None:
    """Checks that `columns` is a sequence of distinct names.

    Returns:
        The names, as Python's strings; None for None.

    Raises:
        TypeError: If it is a string, or has anything else than strings.
        ValueError: If there is no name, or one comes more than once.
    """
    if columns is None:
        return None
    if isinstance(columns, str):
        raise TypeError(f"columns is a sequence of names, got the string {columns!r}; write [{columns!r}]")
    # An array or an index of names is one, too, but is neither true nor false.
    given: Any = columns
    if not isinstance(given, Iterable):
        raise TypeError(f"columns is a sequence of names, got {given!r:.80}")
    names = list(cast("Iterable[object]", given))
    if not names:
        raise ValueError("columns names no column; name one, or leave it out for all of them")
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"columns is a sequence of names, and {name!r:.80} in it is of type {type(name).__name__}")
    for name, count in Counter(names).items():
        if count > 1:
            raise ValueError(f"columns names {name!r} more than once; name it once")
    return [str(name) for name in names]


def check_fill(fill_null: object) -> dict[str, Any]:
    """Checks that `fill_null` maps names of columns to values.

    Returns:
        The values by column as text, for the facts that a cache directory is compared by.

    Raises:
        TypeError: If it is no mapping.
    """
    given: Any = {} if fill_null is None else fill_null
    if not isinstance(given, Mapping):
        raise TypeError(f"fill_null is a mapping from columns to values, got {given!r}; write {{'name': {given!r}}}")
    return {"fill_null": {name: repr(value) for name, value in cast("Mapping[str, Any]", given).items()}}


def check_same_value(given: Any, column: Column, *, zoned: bool) -> None:
    """Checks that a value is still the same after a source has converted it to the type of a column.

    Args:
        given: The value.
        column: The converted value, as a column of one row.
        zoned: Whether the column's type has a time zone.

    Raises:
        ValueError: If the converted value differs by more than the digits that a floating-point number may lose.
    """
    stored = _value(column, 0)
    if not _equals(given, stored):
        raise ValueError(f"it would become {stored!r}")
    if getattr(given, "tzinfo", None) is not None and not zoned:
        raise ValueError("it has a time zone, which the column has not")


def as_python(value: Any) -> Any:
    """A NumPy scalar as a Python scalar; anything else as it is."""
    return cast("Any", value).item() if isinstance(value, np.generic) else value


def count_units(value: Any, unit: str) -> int:
    """A NumPy time as the number of units since 1970, or a NumPy duration as a number of units.

    Raises:
        ValueError: If the number is not whole, does not fit int64, or the value is NaT.
    """
    number = value.astype(f"{value.dtype.kind}8[{unit}]")
    # Converted back, the value differs if it has overflowed. NaT differs from itself.
    if number.astype(value.dtype) != value:
        raise ValueError(f"{value!r} is no whole number of {unit}")
    return int(number.astype(np.int64))


def split(column: Column, ends: npt.NDArray[np.int64], empty: npt.NDArray[Any] | None = None) -> list[Any]:
    """Cuts a column of concatenated lists into one list for each row.

    Args:
        column: The values of all rows, one row after the other.
        ends: For each row, the place in `column` after its last value, of shape `(n,)`.
        empty: What a list without values is: an array for a list of lists of numbers, since an empty list would tell
            neither their dtype nor their number of dimensions.

    Returns:
        The values of each row: arrays of shape `(m, ...)`, lists, or dicts of them.
    """
    if isinstance(column, dict):
        parts = {name: split(child, ends) for name, child in column.items()}
        return [{name: part[i] for name, part in parts.items()} for i in range(len(ends))]
    bounds = [0, *ends.tolist()]
    if empty is None:
        return [column[start:end] for start, end in pairwise(bounds)]
    return [column[start:end] if start < end else empty for start, end in pairwise(bounds)]


def _value(column: Column, i: int) -> Any:
    if isinstance(column, dict):
        return {name: _value(child, i) for name, child in column.items()}
    return read_row(column, i) if isinstance(column, np.ndarray) else column[i]


def _equals(given: Any, stored: Any) -> bool:
    """Whether a converted value equals the given one, but for lost digits; may raise TypeError or ValueError if not."""
    if isinstance(stored, dict):
        fields = cast("dict[str, Any]", stored)
        if isinstance(given, Mapping):
            entries = cast("Mapping[Any, Any]", given)
            return entries.keys() == fields.keys() and all(_equals(entries[name], fields[name]) for name in fields)
        # A list of structs has become a dict of lists.
        return all(isinstance(one, Mapping) and one.keys() == fields.keys() for one in given) and all(
            _equals([one[name] for one in given], values) for name, values in fields.items()
        )
    if isinstance(stored, list | np.ndarray):
        values = cast("list[Any]", stored)
        return len(given) == len(values) and all(map(_equals, given, values))
    if type(stored) in (np.datetime64, np.timedelta64):
        given = _as_moment(given)
        # In the unit of the given value: NumPy's comparison of two units may overflow.
        return type(given) is type(stored) and bool(stored.astype(given.dtype) == given)
    # Python compares integers and floats exactly.
    given, stored = as_python(given), as_python(stored)
    if isinstance(given, float) and isinstance(stored, float):
        return math.isinf(given) == math.isinf(stored)
    # True is equal to 1.
    return isinstance(given, bool) == isinstance(stored, bool) and bool(given == stored)


def _as_moment(given: Any) -> Any:
    """Python times and durations as NumPy's; those with a time zone in UTC."""
    if isinstance(given, dt.timedelta):
        return np.timedelta64(given)
    if isinstance(given, dt.datetime) and given.tzinfo is not None:
        given = given.astimezone(dt.UTC).replace(tzinfo=None)
    return np.datetime64(given) if isinstance(given, dt.date) else given


def _row_facts(columns_at: Gather, row: np.int64) -> Any:
    try:
        columns = columns_at(np.array([row]), aligned_empty)
    except ValueError as error:
        # A row with a null cannot be read. The message tells it apart from rows without.
        return str(error)
    return [(path, _facts(leaf)) for path, leaf in tree.leaves(columns)]


def _facts(leaf: Any) -> Any:
    if isinstance(leaf, str | bytes):
        return leaf
    array: npt.NDArray[Any] = np.asarray(leaf)
    return str(array.dtype), array.shape, array.tobytes()


def _as_stack(column: Column, alloc: Alloc) -> Any:
    if isinstance(column, dict):
        return {name: _as_stack(child, alloc) for name, child in column.items()}
    if isinstance(column, np.ndarray):
        return column
    # Strings and bytes are stacked as objects.
    stacked = alloc((len(column),), np.dtype(object))
    stacked[:] = column
    return stacked
