"""Arrow tables as columns of NumPy arrays."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from loadax_core import Alloc, aligned_empty

from .table import Column, check_same_value, count_units, split

Kind: TypeAlias = Literal["plain", "text", "tensor", "array", "list", "struct"]


class ArrowColumns:
    """Turns tables of one schema into columns.

    Args:
        schema: A `pyarrow.Schema`.
        fill_null: By column, what to put in place of nulls.

    Attributes:
        schema: The schema.
        types: The names of the columns, each with its Arrow type.

    Raises:
        TypeError: If a column's type has no counterpart in NumPy.
        ValueError: If a value of `fill_null` does not fit its column's type, or two fields of a struct have one name.
    """

    def __init__(self, schema: Any, fill_null: Mapping[str, Any]) -> None:
        self.schema = schema
        # As text from the start: a pickled type may lose the names of what it is made of.
        self.types: dict[str, str] = {field.name: str(field.type) for field in schema}
        for field in schema:
            _kind(field.type, field.name)
        arrow = importlib.import_module("pyarrow")
        words = arrow.schema([field.with_type(_plain(field.type)) for field in schema])
        self._words: Any = None if words == schema else words
        self._fill = {
            name: _fill_value(name, value, schema.field(name).type)
            for name, value in fill_null.items()
            if name in schema.names
        }

    @property
    def stacks(self) -> bool:
        """Whether all rows have the same shape: no column is a list."""
        return not any(_varies(field.type) for field in self.schema)

    @property
    def kinds(self) -> dict[str, Kind]:
        """The names of the columns, each with what its values become."""
        return {field.name: _kind(field.type) for field in self.schema}

    def fill_length(self, name: str) -> int | None:
        """The number of elements of the list that takes the place of a null in a column; None if none is given."""
        return len(self._fill[name]) if name in self._fill else None

    def empty(self) -> Any:
        """A table without rows."""
        arrow = importlib.import_module("pyarrow")
        return arrow.table([_empty(field.type) for field in self.schema], schema=self.schema)

    def decoded(self, table: Any) -> Any:
        """The table with values in place of dictionaries. Tables with dictionaries cannot always be joined."""
        return table if self._words is None else table.cast(self._words)

    def of(self, table: Any, alloc: Alloc) -> dict[str, Column]:
        """The columns of a table.

        Args:
            table: A `pyarrow.Table` of this schema, with `n` rows; or what `decoded` makes of one.
            alloc: Provides the arrays' memory.

        Returns:
            The columns, in the schema's order.

        Raises:
            ValueError: If there is a null for which nothing is given.
        """
        columns: dict[str, Column] = {}
        for name in self.schema.names:
            array = table.column(name).combine_chunks()
            if name in self._fill:
                array = _decoded(array).fill_null(self._fill[name])
            columns[name] = _column(array, name, alloc)
        return columns


def common_type(first: Any, other: Any) -> Any:
    """The type that holds the values of two, or None.

    Args:
        first: An Arrow type.
        other: Another one. It has a counterpart in the first: nothing but nulls, the same values with or without a
            dictionary, or lists and structs of such values.
    """
    arrow = importlib.import_module("pyarrow")
    types = arrow.types
    if first == other or types.is_null(other):
        return first
    if types.is_null(first):
        return other
    if types.is_dictionary(first) or types.is_dictionary(other):
        return common_type(*(each.value_type if types.is_dictionary(each) else each for each in (first, other)))
    if types.is_struct(first) and types.is_struct(other):
        pairs = list(zip(first, other, strict=False))
        if len(first) != len(other) or any(one.name != two.name for one, two in pairs):
            return None
        fields = [_common_field(one, two) for one, two in pairs]
        return None if any(field is None for field in fields) else arrow.struct(fields)
    for is_kind, make in ((types.is_list, arrow.list_), (types.is_large_list, arrow.large_list)):
        if is_kind(first) and is_kind(other):
            values = _common_field(first.value_field, other.value_field)
            return None if values is None else make(values)
    if types.is_fixed_size_list(first) and types.is_fixed_size_list(other) and first.list_size == other.list_size:
        values = _common_field(first.value_field, other.value_field)
        return None if values is None else arrow.list_(values, first.list_size)
    return None


def _common_field(first: Any, other: Any) -> Any:
    common = common_type(first.type, other.type)
    return None if common is None else first.with_type(common).with_nullable(first.nullable or other.nullable)


def _kind(dtype: Any, name: str = "") -> Kind:
    """Returns what values of an Arrow type become; raises TypeError if NumPy has no counterpart."""
    types = importlib.import_module("pyarrow").types
    if types.is_dictionary(dtype):
        return _kind(dtype.value_type, name)
    if hasattr(dtype, "storage_type") and not _is_permuted(dtype):
        return "tensor" if _shape(dtype) else _kind(dtype.storage_type, name)
    if types.is_boolean(dtype) or types.is_integer(dtype) or types.is_floating(dtype):
        return "plain"
    if types.is_date(dtype) or types.is_timestamp(dtype) or types.is_duration(dtype):
        return "plain"
    if types.is_string(dtype) or types.is_large_string(dtype):
        return "text"
    if types.is_binary(dtype) or types.is_large_binary(dtype) or types.is_fixed_size_binary(dtype):
        return "text"
    if types.is_struct(dtype):
        for field in dtype:
            if dtype.get_field_index(field.name) < 0:
                raise ValueError(
                    f"column {name!r} has two fields with the name {field.name!r}, of which a dict would lose one; "
                    "leave it out with columns=[...], or give each a name of its own"
                )
            _kind(field.type, f"{name}.{field.name}")
        return "struct"
    if types.is_list(dtype) or types.is_large_list(dtype) or types.is_fixed_size_list(dtype):
        # Strings become Python objects, and so make no array.
        inner = _kind(dtype.value_type, f"{name}[]")
        return "array" if types.is_fixed_size_list(dtype) and inner in ("plain", "array", "tensor") else "list"
    raise TypeError(
        f"column {name!r} has the Arrow type {dtype}, which has no counterpart in NumPy; cast it, or leave it out with "
        "columns=[...]"
    )


def _plain(dtype: Any) -> Any:
    """The type with the type of the values in place of each dictionary."""
    arrow = importlib.import_module("pyarrow")
    types = arrow.types
    if types.is_dictionary(dtype):
        return _plain(dtype.value_type)
    if types.is_struct(dtype):
        return arrow.struct([field.with_type(_plain(field.type)) for field in dtype])
    if types.is_list(dtype) or types.is_large_list(dtype) or types.is_fixed_size_list(dtype):
        values = dtype.value_field.with_type(_plain(dtype.value_type))
        if types.is_fixed_size_list(dtype):
            return arrow.list_(values, dtype.list_size)
        return arrow.large_list(values) if types.is_large_list(dtype) else arrow.list_(values)
    return dtype


def _is_permuted(dtype: Any) -> bool:
    """Whether tensors of this type are stored with their dimensions in another order."""
    order: list[int] = list(getattr(dtype, "permutation", None) or ())
    return order != sorted(order)


def _shape(dtype: Any) -> tuple[int, ...]:
    """The shape of all values of an extension type; `()` if values may differ in shape."""
    shape = getattr(dtype, "shape", None) or ()
    return () if None in shape else tuple(shape)


def _empty(dtype: Any) -> Any:
    arrow = importlib.import_module("pyarrow")
    if not hasattr(dtype, "storage_type"):
        return arrow.array([], dtype)
    # Arrow cannot make an array of tensors from a list.
    return arrow.ExtensionArray.from_storage(dtype, _empty(dtype.storage_type))


def _empty_lists(dtype: Any) -> npt.NDArray[Any] | None:
    """An array of no lists of numbers, of as many dimensions; None for a list of anything else."""
    dimensions = 0
    while _kind(dtype) == "list":
        dimensions, dtype = dimensions + 1, getattr(dtype, "storage_type", dtype).value_type
    if dimensions < 2 or _kind(dtype) not in ("plain", "array", "tensor"):
        return None
    values = _column(_empty(dtype), "", aligned_empty)
    assert isinstance(values, np.ndarray)
    return np.empty((0,) * dimensions + values.shape[1:], values.dtype)


def _varies(dtype: Any) -> bool:
    """Whether values of a type may differ in size."""
    kind = _kind(dtype)
    return kind == "list" or (kind == "struct" and any(_varies(field.type) for field in dtype))


def _fill_value(name: str, value: Any, dtype: Any) -> Any:
    arrow = importlib.import_module("pyarrow")
    if hasattr(dtype, "storage_type"):
        raise ValueError(
            f"fill_null cannot fill column {name!r}, which is {dtype}: Arrow fills no nulls in extension types; leave "
            "such rows out, or fill them where the data are made"
        )
    dtype = dtype.value_type if arrow.types.is_dictionary(dtype) else dtype
    try:
        moment = type(value) in (np.datetime64, np.timedelta64)
        filling = _moment(value, dtype) if moment else arrow.array([value], dtype)
        # Raises an error if there is a null within the value.
        column = _column(filling, name, aligned_empty)
        # Arrow refuses scalars of other types, but rounds 0.5 to the integer 0.
        if not isinstance(value, arrow.Scalar):
            check_same_value(value, column, zoned=getattr(dtype, "tz", None) is not None)
    except (TypeError, ValueError, NotImplementedError, OverflowError) as error:
        raise ValueError(
            f"fill_null gives {value!r} for column {name!r}, which is {dtype}; give a value of that type, without nulls"
        ) from error
    return filling[0]


def _moment(value: Any, dtype: Any) -> Any:
    """A NumPy time or duration as an Arrow array of one value. Arrow itself takes some units only."""
    arrow = importlib.import_module("pyarrow")
    types = arrow.types
    span = isinstance(value, np.timedelta64)
    if not (types.is_duration(dtype) if span else types.is_timestamp(dtype) or types.is_date(dtype)):
        raise TypeError(f"{value!r} is no value of {dtype}")
    if types.is_date(dtype):
        return arrow.array([count_units(value, "D")], arrow.int32()).cast(arrow.date32()).cast(dtype)
    return arrow.array([count_units(value, dtype.unit)], arrow.int64()).cast(dtype)


def _decoded(array: Any) -> Any:
    return array.dictionary_decode() if hasattr(array, "dictionary_decode") else array


def _column(array: Any, name: str, alloc: Alloc, path: str = "") -> Column:
    """The values of a column, or of a part of it: `path` is `.a` for a field of a struct, and `[]` for a list."""
    kind = _kind(array.type)
    array = _decoded(array)
    if array.null_count:
        where = f"within column {name!r}, in {name + path!r}" if path else f"in column {name!r}"
        # fill_null can name a whole column, of a type in which Arrow can fill nulls.
        fillable = not path and not hasattr(array.type, "storage_type")
        fix = f"give fill_null={{{name!r}: ...}}" if fillable else "fill it where the data are made"
        raise ValueError(f"a null {where}; {fix}, or leave such rows out")
    if kind == "tensor":
        return _tensor(array, name, alloc, path)
    array = getattr(array, "storage", array)
    if kind == "text":
        return array.to_pylist()
    if kind == "struct":
        children = zip(array.type, array.flatten(), strict=True)
        return {field.name: _column(child, name, alloc, f"{path}.{field.name}") for field, child in children}
    if kind == "list":
        lengths = array.value_lengths() if hasattr(array, "value_lengths") else [array.type.list_size] * len(array)
        values = _column(array.flatten(), name, alloc, f"{path}[]")
        return split(values, np.cumsum(np.asarray(lengths), dtype=np.int64), _empty_lists(array.type))
    if kind == "array":
        values = _column(array.flatten(), name, alloc, f"{path}[]")
        assert isinstance(values, np.ndarray)
        return values.reshape(len(array), array.type.list_size, *values.shape[1:])
    numbers = array.to_numpy(zero_copy_only=False)
    out = alloc(numbers.shape, numbers.dtype)
    out[...] = numbers
    return out


def _tensor(array: Any, name: str, alloc: Alloc, path: str) -> Column:
    """Values of an extension type with a shape: the tensors of Arrow and of Hugging Face."""
    flat = array.storage
    while hasattr(flat, "flatten") and not flat.null_count:
        flat = flat.flatten()
    values = _column(flat, name, alloc, f"{path}[]")
    assert isinstance(values, np.ndarray)
    return values.reshape(len(array), *_shape(array.type))
