"""Values, names and queries as SQLite takes them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from loadax_core import Rows

from .table import as_python

if TYPE_CHECKING:
    import sqlite3

Value: TypeAlias = int | float | str | bytes
Parameters: TypeAlias = Sequence[Value | None] | Mapping[str, Value | None]

NOTHING = re.compile(r"(?:[\s;]|--[^\n]*+|(?>/\*.*?\*/))*", re.DOTALL)
"""Comments and semicolons."""


def bindable(placeholder: str, value: Any) -> Value | None:
    """A value of a type that SQLite has. SQLite would store the bytes of a NumPy scalar."""
    given = as_python(value)
    if given is not None and not isinstance(given, int | float | str | bytes):
        raise TypeError(
            f"parameters gives {value!r} for the placeholder {placeholder}; give an int, float, str, bytes or None"
        )
    return given


def without_end(query: str) -> str:
    """A query without its last semicolon, and without the comments and semicolons after it."""
    import sqlite3  # noqa: PLC0415

    for found in re.finditer(";", query):
        # Not within a string or a comment.
        if sqlite3.complete_statement(query[: found.end()]):
            return query[: found.start()] if NOTHING.fullmatch(query, found.start()) else query
    return query


def quoted(name: str) -> str:
    """A name as a statement has it."""
    return '"' + name.replace('"', '""') + '"'


def read_keys(
    connection: sqlite3.Connection, column: str, source: str, parameters: Parameters, noun: str
) -> Rows | range:
    """Reads the keys of all rows, and checks them.

    Args:
        connection: A connection outside of any transaction; inside of one afterwards.
        column: The name of the column that holds the keys.
        source: A table or a query, as a statement has it after `FROM`.
        parameters: Values for the query's placeholders.
        noun: What errors call the source.

    Returns:
        The keys in ascending order: a range if there are no gaps between them, and otherwise int64, of shape `(n,)`.

    Raises:
        ValueError: If the keys are not distinct integers.
    """
    key = f"source.{quoted(column)}"
    # One transaction reads one state of the database. It ends with the block that uses the connection.
    connection.execute("BEGIN")
    summary = f"SELECT count(*), min({key}), max({key}), total(typeof({key}) != 'integer') FROM {source} AS source"
    count, low, high, others = connection.execute(summary, parameters).fetchone()
    if others:
        raise ValueError(
            f"the key {column!r} of {noun} must be an integer, which {int(others)} of {count} are not; "
            "choose another key"
        )
    if not count:
        return range(0)
    if high - low == count - 1:
        different = connection.execute(f"SELECT count(DISTINCT {key}) FROM {source} AS source", parameters)
        if different.fetchone() == (count,):
            return range(low, high + 1)
    cursor = connection.execute(f"SELECT {key} FROM {source} AS source ORDER BY 1", parameters)
    keys = np.fromiter((number for (number,) in cursor), np.int64, count)
    repeated = keys[1:][keys[1:] == keys[:-1]]
    if len(repeated):
        raise ValueError(
            f"the key {column!r} of {noun} must be distinct, but {repeated[0]} comes more than once; choose another key"
        )
    return keys
