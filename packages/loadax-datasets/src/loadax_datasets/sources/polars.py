"""Polars data frames."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from loadax_core import Alloc, Rows, aligned_empty, gather_array

from ..forks import check_threads_of
from ..log import inform
from .list_lengths import check_lists
from .optional import require
from .table import Column, TableDataset, check_columns, check_fill, check_same_value, count_units, split

if TYPE_CHECKING:
    import polars as pl


class PolarsDataset(TableDataset):
    """Rows of a data frame, as dicts from column names to values.

    Numbers and booleans become NumPy scalars of their dtype; dates, times and durations `datetime64` and
    `timedelta64` (of UTC, where there is a time zone); strings, categories and enums `str`; binary `bytes`; the
    `Array` type arrays of its shape; structs dicts; and lists arrays, or lists of strings, which may differ in length
    from row to row, so that they need a `PadBatcher` and are not gathered. A list of structs becomes one dict of
    arrays, or of lists of strings. Other types are refused.

    The frame is not copied. Numbers in one piece are gathered fastest: `frame.rechunk()` makes it so. Worker processes
    get a copy each. Polars has threads of its own, which a fork does not copy: a process that `os.fork` made after a
    dataset was used can read no column but those numbers.

    Args:
        frame: A DataFrame; or a LazyFrame, which is collected once, here, by the streaming engine. Its result must fit
            in memory; the logger `loadax.datasets` tells, at level INFO, its size, and how long it took.
        columns: The columns to read; left out, all of them.
        fill_null: By column, what to put in place of nulls; of the column's own type, lists, arrays and structs as a
            whole.

    Raises:
        ImportError: If Polars is not installed.
        RuntimeError: In a process that was forked after Polars was used.
        TypeError: If `frame` is no frame, `fill_null` no mapping, `columns` no names, or a column's type has no
            counterpart in NumPy.
        ValueError: If there is no such column, if `columns` names none, or one more than once, if a column has nulls
            that nothing is given for, if what is given does not fit the column's type, or, when a row is read, if a
            list in it has nulls.

    Example:
        >>> import polars as pl
        >>> rows = PolarsDataset(pl.DataFrame({"x": [0.5, None, 2.5], "name": ["a", "b", "c"]}), fill_null={"x": 0.0})
        >>> rows[1]
        {'x': np.float64(0.0), 'name': 'b'}
    """

    def __init__(
        self,
        frame: pl.DataFrame | pl.LazyFrame,
        *,
        columns: Sequence[str] | None = None,
        fill_null: Mapping[str, Any] | None = None,
    ) -> None:
        polars = require("polars", "polars", "PolarsDataset")
        check_threads_of("Polars")
        columns = check_columns(columns)
        self._fill_facts = check_fill(fill_null)
        if not isinstance(frame, polars.DataFrame | polars.LazyFrame):
            raise TypeError(
                f"PolarsDataset takes a DataFrame or a LazyFrame, got a {type(frame).__name__}; make one with "
                "polars.DataFrame, or read a file with polars.read_csv or polars.read_ndjson"
            )
        known = frame.lazy().collect_schema().names()
        for name in [*(columns or ()), *(fill_null or ())]:
            if name not in known:
                raise ValueError(f"the frame has no column {name!r}; it has {known}")
        chosen: Any = frame.select([_exactly(name) for name in (known if columns is None else columns)])
        self._frame: pl.DataFrame = _collect(chosen) if isinstance(chosen, polars.LazyFrame) else chosen
        for name, dtype in self._frame.schema.items():
            _kind(dtype, name)
        self._frame = self._frame.with_columns(
            _without_nulls(self._frame[name], value)
            for name, value in (fill_null or {}).items()
            if name in self._frame.columns
        )
        for series in self._frame:
            _check_nulls(series)
        self._even = not any(_varies(dtype) for dtype in self._frame.dtypes)
        self._views = _views(self._frame)

    def __len__(self) -> int:
        return self._frame.height

    @property
    def types(self) -> dict[str, str]:
        """The Polars types."""
        return {name: str(dtype) for name, dtype in self._frame.schema.items()}

    @property
    def _stacks(self) -> bool:
        """Whether there is no list."""
        return self._even

    def _columns_at(self, rows: Rows, alloc: Alloc) -> dict[str, Column]:
        """The columns of `rows`."""
        columns: dict[str, Column] = {}
        for series in self._frame:
            view = self._views.get(series.name)
            if view is None:
                check_threads_of("Polars")
                columns[series.name] = _column(series.gather(rows), alloc)
            else:
                columns[series.name] = gather_array(view, rows, alloc)
        return columns

    def lengths(self, column: str) -> Rows:
        """The number of elements of each row's list in a column of lists, such as to pack documents by their lengths.

        Args:
            column: The name of a column that the dataset reads. Of lists of lists, the outer ones count.

        Returns:
            The lengths, of shape `(rows,)`, int64. A null is as long as what `fill_null` gave for it.

        Raises:
            RuntimeError: In a process that was forked after Polars was used.
            TypeError: If the column has no lists. Text has no length that counts tokens.
            ValueError: If there is no such column.
        """
        check_lists(column, self.types, {name: _kind(dtype) for name, dtype in self._frame.schema.items()})
        check_threads_of("Polars")
        series = self._frame[column]
        dtype: Any = series.dtype
        if hasattr(dtype, "shape"):
            return np.full(len(series), dtype.shape[0], np.int64)
        return series.list.len().to_numpy().astype(np.int64)

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_views": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._views = _views(self._frame)


def _exactly(name: str) -> str:
    """What selects the column of a name: Polars takes `*` for all columns, and `^...$` for a pattern."""
    return f"^{re.escape(name)}$" if name == "*" or (name[:1] == "^" and name[-1:] == "$") else name


def _collect(frame: pl.LazyFrame) -> pl.DataFrame:
    begin = time.monotonic()
    collected = frame.collect(engine="streaming")
    size, seconds = collected.estimated_size("mb"), time.monotonic() - begin
    inform("collected a LazyFrame: %d rows, %.1f MB in memory, in %.1f s", collected.height, size, seconds)
    return collected


def _views(frame: pl.DataFrame) -> dict[str, npt.NDArray[Any]]:
    """The columns that are NumPy arrays without a copy."""
    views: dict[str, npt.NDArray[Any]] = {}
    for series in frame:
        if _kind(series.dtype) in ("plain", "array"):
            # Columns in several pieces, and booleans, which Polars stores as bits, need a copy.
            with suppress(RuntimeError):
                views[series.name] = series.to_numpy(allow_copy=False)
    return views


def _kind(dtype: Any, name: str = "") -> Literal["plain", "text", "array", "list", "struct"]:
    """Returns what values of a Polars type become; raises TypeError if NumPy has no counterpart."""
    polars = require("polars", "polars", "PolarsDataset")
    if dtype in (polars.Boolean, polars.Date, polars.Datetime, polars.Duration):
        return "plain"
    if (dtype.is_integer() and "128" not in str(dtype)) or dtype.is_float():
        return "plain"
    # Categories with a name are not equal to the class.
    if dtype in (polars.String, polars.Binary, polars.Enum) or isinstance(dtype, polars.Categorical):
        return "text"
    if dtype == polars.Struct:
        for field in dtype.fields:
            _kind(field.dtype, f"{name}.{field.name}")
        return "struct"
    if dtype in (polars.List, polars.Array):
        # Strings become Python objects, and so make no array.
        inner = _kind(dtype.inner, f"{name}[]")
        return "array" if dtype == polars.Array and inner in ("plain", "array") else "list"
    raise TypeError(
        f"column {name!r} has the type {dtype}, which has no counterpart in NumPy; cast it, or leave it out with "
        "columns=[...]"
    )


def _empty_lists(dtype: Any) -> npt.NDArray[Any] | None:
    """An array of no lists of numbers, of as many dimensions; None for a list of anything else."""
    polars = require("polars", "polars", "PolarsDataset")
    dimensions = 0
    while _kind(dtype) == "list":
        dimensions, dtype = dimensions + 1, dtype.inner
    if dimensions < 2 or _kind(dtype) not in ("plain", "array"):
        return None
    values = _column(polars.Series([], dtype=dtype), aligned_empty)
    assert isinstance(values, np.ndarray)
    return np.empty((0,) * dimensions + values.shape[1:], values.dtype)


def _varies(dtype: Any) -> bool:
    """Whether values of a type may differ in size."""
    kind = _kind(dtype)
    return kind == "list" or (kind == "struct" and any(_varies(field.dtype) for field in dtype.fields))


def _without_nulls(series: pl.Series, value: Any) -> pl.Series:
    polars = require("polars", "polars", "PolarsDataset")
    categories = "Categorical" in str(series.dtype)
    try:
        if categories and series.dtype in (polars.List, polars.Array):
            raise TypeError("Polars may take categories of another column for its own")
        # A value of another type would change the type of the column.
        filling = _fill_value(value, series.dtype)
        if filling.dtype != series.dtype and not categories:
            filling = filling.cast(series.dtype)
        # Raises an error if there is a null within the value.
        column = _column(filling, aligned_empty)
        check_same_value(value, column, zoned=getattr(series.dtype, "time_zone", None) is not None)
    except (TypeError, ValueError, OverflowError, polars.exceptions.PolarsError) as error:
        raise ValueError(
            f"fill_null gives {value!r} for column {series.name!r}, which is {series.dtype}; give a value of that type"
            f"{', or cast its categories to strings' if categories else ', without nulls'}"
        ) from error
    if categories:
        return series.fill_null(filling.item()).cast(series.dtype)
    return series.zip_with(series.is_not_null(), filling)


def _fill_value(value: Any, dtype: Any) -> pl.Series:
    """One value, as a column of a type."""
    polars = require("polars", "polars", "PolarsDataset")
    if type(value) not in (np.datetime64, np.timedelta64):
        return polars.Series([value], dtype=dtype, strict=True)
    # Polars would convert these by Python, which makes an integer of nanoseconds.
    if dtype not in ((polars.Duration,) if isinstance(value, np.timedelta64) else (polars.Datetime, polars.Date)):
        raise TypeError(f"{value!r} is no value of {dtype}")
    number = count_units(value, "D" if dtype == polars.Date else dtype.time_unit)
    return polars.Series([number], dtype=polars.Int64).cast(dtype)


def _check_nulls(series: pl.Series, path: str = "") -> None:
    """Raises ValueError if a column has nulls, or a field of a struct, whose `path` is such as `s.a`."""
    count = series.null_count()
    if count:
        # fill_null can name whole columns only.
        fill = (
            "fill them with Polars' struct.with_fields, or drop such rows with frame.filter"
            if path
            else f"give fill_null={{{series.name!r}: ...}}, or drop them with frame.drop_nulls()"
        )
        row = series.is_null().arg_max()
        nulls = "1 null" if count == 1 else f"{count} nulls"
        raise ValueError(f"column {(path or series.name)!r} has {nulls}, the first in row {row}; {fill}")
    if hasattr(series.dtype, "fields"):
        for field in series.struct.unnest():
            _check_nulls(field, f"{path or series.name}.{field.name}")


def _column(series: pl.Series, alloc: Alloc) -> Column:
    """The values of a column."""
    dtype: Any = series.dtype
    kind = _kind(dtype)
    if series.null_count():
        raise ValueError(f"a null within column {series.name!r}; fill it with Polars, or drop such rows")
    if kind == "text":
        return series.to_list()
    if kind == "struct":
        # `struct.field` takes some names for patterns.
        return {field.name: _column(field, alloc) for field in series.struct.unnest()}
    if kind == "list":
        lists = series.arr.to_list() if hasattr(dtype, "shape") else series
        lengths = lists.list.len()
        # Polars explodes an empty list to a null.
        values = lists.filter(lengths > 0).explode()
        return split(_column(values, alloc), np.cumsum(lengths.to_numpy(), dtype=np.int64), _empty_lists(dtype))
    numbers = series
    for _ in dtype.shape if kind == "array" else ():
        numbers = numbers.explode()
    if numbers.null_count():
        raise ValueError(f"a null within column {series.name!r}; fill it with Polars, or drop such rows")
    values = numbers.to_numpy()
    out = alloc((len(series), *getattr(dtype, "shape", ())), values.dtype)
    out.reshape(-1)[...] = values
    return out
