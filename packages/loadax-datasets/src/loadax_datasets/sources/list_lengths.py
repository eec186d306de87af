"""How long the lists in a column of a table are, without their values."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from loadax_core import Rows

NULL = -1
"""The length of a null for which nothing is given."""


def check_lists(name: str, types: Mapping[str, str], kinds: Mapping[str, str]) -> None:
    """Checks that a column has lists.

    Args:
        name: The name of the column.
        types: The names of all columns, each with its type.
        kinds: Of the same columns, what their values become: `"list"` and `"array"` are lists, `"text"` is text.

    Raises:
        TypeError: If the column has something else.
        ValueError: If there is no such column.
    """
    if name not in types:
        raise ValueError(f"there is no column {name!r}; there are {list(types)}")
    if kinds.get(name) in ("list", "array"):
        return
    others = [other for other in types if kinds.get(other) in ("list", "array")]
    is_text = kinds.get(name) == "text"
    fix = "; tokenize its values first, and store the lists of tokens as a column" if is_text else ""
    found = f"columns of lists are {others}" if others else "there is no column of lists"
    raise TypeError(f"column {name!r} is {types[name]}, not a list{fix}; {found}")


def count_elements(column: Any, fill: int | None) -> Rows:
    """The number of elements of each list, of Arrow's offsets.

    Args:
        column: A `pyarrow.ChunkedArray` of lists, or of nothing but nulls.
        fill: The length of a null, if one is given.

    Returns:
        The lengths, of shape `(n,)`; `NULL` for a null for which nothing is given.
    """
    types = importlib.import_module("pyarrow").types
    compute = importlib.import_module("pyarrow.compute")
    parts = [np.empty(0, np.int64)]
    for chunk in column.chunks:
        lists = chunk.dictionary_decode() if hasattr(chunk, "dictionary_decode") else getattr(chunk, "storage", chunk)
        if types.is_null(lists.type):
            parts.append(np.full(len(lists), NULL if fill is None else fill))
        else:
            lengths = compute.list_value_length(lists).cast("int64")
            parts.append(lengths.fill_null(NULL if fill is None else fill).to_numpy())
    return np.concatenate(parts)


def check_counted(lengths: Rows, name: str, first: int = 0) -> Rows:
    """Returns lengths, of which none may be `NULL`.

    Args:
        lengths: The lengths of lists in neighbouring rows, of shape `(n,)`.
        name: The name of their column.
        first: The first of these rows.

    Raises:
        ValueError: If there is a null for which nothing is given.
    """
    nulls = np.flatnonzero(lengths == NULL)
    if len(nulls):
        raise ValueError(
            f"a null in column {name!r}, in row {first + nulls[0]}; give fill_null={{{name!r}: ...}}, or leave such "
            "rows out"
        )
    return lengths
