"""Values, names and queries as SQLite takes them."""

from __future__ import annotations

import re
from typing import Any, TypeAlias

from .table import as_python

Value: TypeAlias = int | float | str | bytes

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
