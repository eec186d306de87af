"""Tables and queries of SQLite databases."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from loadax_core import Rows

from ..base import BaseDataset
from ..files.fingerprints import digest, sample_file
from ..files.folders import advice, shown
from ..rows import rows_in_range
from .connections import Connections
from .sql import Parameters, Value, bindable, quoted, read_keys, without_end
from .table import as_python, check_columns, check_fill

if TYPE_CHECKING:
    import sqlite3

KEYS = "loadax_keys"
"""The placeholder for the keys of a batch."""

TYPES: dict[str, type[Value]] = {"integer": int, "real": float, "text": str, "blob": bytes}
"""The Python types of values, by the names of their types in SQLite."""

UNSAFE_JSON = re.compile(r'unsafe use of (json|->|virtual table "json)')
"""The error of older versions of SQLite for a file that uses functions of JSON in what it defines."""


class SQLiteDataset(BaseDataset[dict[str, Value]]):
    """Rows of a table or a query, in the order of an integer key.

    Row `i` is the row with the `i`-th smallest key, as a dict from column names to the `int`, `float`, `str` or
    `bytes` that is stored there. Rows are read in batches, one `SELECT` each. Connections are read-only, one for each
    thread that reads, closed with the thread or the dataset; none is pickled. The folder may be read-only, too, if a
    database with a write-ahead log has been closed properly, so that its log is empty.

    What the file defines (views, generated columns, indexes) can call functions of SQLite that compute, those of JSON
    included, but none that have an effect.

    The keys are looked at once, in the beginning: they take no memory if there are no gaps between them, and 8 bytes
    each otherwise. The database must not change from then on. A query takes as long for each batch as SQLite needs to
    find rows by their key: best are queries that only filter and join, with an index on the key; for others, make a
    table of the result first. The state of a loader knows the file's name, so that it is refused for another file with
    the same keys: the file may be moved, but not renamed.

    Args:
        path: The database file.
        table: Name of a table or a view.
        query: A `SELECT` statement, instead of `table`. Its `ORDER BY` has no effect.
        key: A column of distinct integers; left out, the `rowid` of a table. Queries need one.
        columns: The columns to read; left out, all of them.
        parameters: Values for the query's placeholders, `?` or `:name`: `int`, `float`, `str`, `bytes`, None, or NumPy
            scalars of these. They are copied.
        fill_null: By column, what to give instead of NULL, of the type that the column's other values have; an `int`
            becomes a `float` where they are. Elsewhere, reading NULL is an error.

    Raises:
        FileNotFoundError: If there is no such file.
        LookupError: When a row has gone since the keys were looked at.
        TypeError: If not just one of `table` and `query` is given, if a query has no key, if a table is given
            `parameters`, if one of these is of another type, or if `columns`, `parameters` or `fill_null` is a single
            value.
        ValueError: If there is no such table or column, if `columns` names none, or one more than once, if a table has
            no `rowid` and no key is given, if keys are not distinct integers, if a value of `fill_null` does not fit
            its column, or, when a row is read, if it has a NULL that nothing is given for.
        sqlite3.Error: If the file is damaged, or the query is wrong.

    Example:
        >>> import os, sqlite3, tempfile
        >>> file = os.path.join(tempfile.mkdtemp(), "words.db")
        >>> with sqlite3.connect(file) as connection:
        ...     _ = connection.execute("CREATE TABLE words (word TEXT, uses INTEGER)")
        ...     _ = connection.executemany("INSERT INTO words VALUES (?, ?)", [("a", 7), ("b", 0), ("c", 9)])
        >>> connection.close()
        >>> SQLiteDataset(file, "words")[1]
        {'word': 'b', 'uses': 0}
        >>> query = "SELECT rowid AS id, word FROM words WHERE uses >= ?"
        >>> list(SQLiteDataset(file, query=query, key="id", columns=["word"], parameters=[5]))
        [{'word': 'a'}, {'word': 'c'}]
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        table: str | None = None,
        *,
        query: str | None = None,
        key: str | None = None,
        columns: Sequence[str] | None = None,
        parameters: Parameters = (),
        fill_null: Mapping[str, Value] | None = None,
    ) -> None:
        if (table is None) == (query is None):
            raise TypeError(f"give either a table or a query, got table={table!r} and query={query!r}")
        columns = check_columns(columns)
        self._fill_facts = check_fill(fill_null)
        if isinstance(parameters, str | bytes) or not hasattr(parameters, "__iter__"):
            raise TypeError(f"parameters is a sequence or a dict of values, got {parameters!r}; write [{parameters!r}]")
        if table is not None and parameters:
            raise TypeError(f"parameters are for a query's placeholders; the table {table!r} has none")
        if isinstance(parameters, Mapping) and KEYS in parameters:
            raise ValueError(
                f"parameters has the name {KEYS!r}, which Loadax uses itself; choose another for the query"
            )
        if query is not None and key is None:
            raise TypeError("a query needs a key: the name of one of its columns that holds distinct integers")
        self._path = Path(path).absolute()
        if not self._path.is_file():
            raise FileNotFoundError(f"there is no database {str(self._path)!r}{advice(path)}")
        self._table, self._key = table, "rowid" if key is None else key
        self._parameters: Parameters = (
            {name: bindable(f":{name}", value) for name, value in parameters.items()}
            if isinstance(parameters, Mapping)
            else tuple(bindable(str(place), value) for place, value in enumerate(parameters, 1))
        )
        # A query may end in a comment, hence the new line.
        self._from = quoted(table) if table is not None else f"({without_end(query or '')}\n)"
        self._columns, self._json = list(columns or ()), False
        given = fill_null or {}
        try:
            self._look(columns, key, given)
        except Exception as error:
            if not UNSAFE_JSON.search(str(error)):
                raise
            self._json = True
            self._look(columns, key, given)

    def _look(self, columns: Sequence[str] | None, key: str | None, fill_null: Mapping[str, Value]) -> None:
        """Learns what columns and keys there are."""
        self._connections = Connections(self._path, json=self._json)
        with self._connections.use() as connection:
            known = self._known_columns(connection)
            for name in [*(columns or ()), *fill_null, *([] if key is None else [key])]:
                if name not in known:
                    raise ValueError(f"{self._noun} has no column {name!r}; it has {known}")
            self._columns = list(known if columns is None else columns)
            if key is None:
                self._check_rowid(connection)
            self._fill = {
                name: self._fill_value(connection, name, value)
                for name, value in fill_null.items()
                if name in self._columns
            }
            # What columns are computed of may be refused.
            names = ", ".join(f"source.{quoted(name)}" for name in self._columns)
            connection.execute(f"SELECT {names} FROM {self._from} AS source LIMIT 0", self._parameters)
            self._keys = read_keys(connection, self._key, self._from, self._parameters, self._noun)

    def __len__(self) -> int:
        return len(self._keys)

    def read(self, row: int) -> dict[str, Value]:
        """The row with the key at that place."""
        return self.read_many([row])[0]

    @property
    def batched(self) -> bool:
        """True: many rows are one `SELECT`."""
        return True

    def read_many(self, rows: list[int]) -> list[dict[str, Value]]:
        """The rows with the keys at those places, in one `SELECT`."""
        keys = [int(self._keys[row]) for row in rows_in_range(rows, len(self))]
        # Each name comes with its table: SQLite takes an unknown name in quotes for a string.
        key, *columns = (f"source.{quoted(name)}" for name in (self._key, *self._columns))
        # All keys as one parameter: SQLite limits how many a statement may have.
        wanted = json.dumps(sorted(set(keys)))
        if isinstance(self._parameters, Mapping):
            placeholder, parameters = f":{KEYS}", {**self._parameters, KEYS: wanted}
        else:
            placeholder, parameters = "?", (*self._parameters, wanted)
        select = (
            f"SELECT {', '.join([key, *columns])} FROM {self._from} AS source "
            f"WHERE {key} IN (SELECT value FROM json_each({placeholder}))"
        )
        with self._connections.use() as connection:
            found = connection.execute(select, parameters).fetchall()
        items = {key: values for key, *values in found}
        return [self._item(row, key, items.get(key)) for row, key in zip(rows, keys, strict=True)]

    def _item(self, row: int, key: int, values: Sequence[Value | None] | None) -> dict[str, Value]:
        if values is None:
            raise LookupError(
                f"row {row} ({self._key} {key}) of {self._noun} has gone: the database has changed; make the "
                "dataset anew"
            )
        item: dict[str, Value] = {}
        for name, stored in zip(self._columns, values, strict=True):
            value = self._fill.get(name) if stored is None else stored
            if value is None:
                raise ValueError(
                    f"column {name!r} of row {row} ({self._key} {key}) is NULL; give fill_null={{{name!r}: ...}}, "
                    "or leave such rows out with a query"
                )
            item[name] = value
        return item

    @property
    def _noun(self) -> str:
        return f"the {'query' if self._table is None else f'table {self._table!r}'} of {shown(Path(self._path.name))}"

    def _known_columns(self, connection: sqlite3.Connection) -> list[str]:
        if self._table is None:
            # A wrong query fails here.
            return [
                name
                for name, *_ in connection.execute(f"SELECT * FROM {self._from} LIMIT 0", self._parameters).description
            ]
        # `hidden` is 1 for columns that only commands of a virtual table use, and 2 or 3 for generated columns.
        columns = "SELECT name FROM pragma_table_xinfo(?) WHERE hidden <> 1"
        names = [name for (name,) in connection.execute(columns, (self._table,))]
        if not names:
            tables = connection.execute("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')").fetchall()
            raise ValueError(
                f"{shown(self._path)} has no table {self._table!r}; it has {sorted(name for (name,) in tables)}"
            )
        return names

    def _check_rowid(self, connection: sqlite3.Connection) -> None:
        import sqlite3  # noqa: PLC0415

        try:
            found = connection.execute(f"SELECT source.rowid FROM {self._from} AS source LIMIT 1").fetchone()
        except sqlite3.OperationalError as error:
            if "no such column" not in str(error):
                raise
            found = (None,)
        # For a view, some versions of SQLite give a rowid of NULL.
        if found == (None,):
            raise ValueError(
                f"{self._noun} has no rowid; give key=..., the name of a column that holds distinct integers"
            )

    def _fill_value(self, connection: sqlite3.Connection, name: str, value: Any) -> Value:
        """A value of `fill_null`, in the type of the column's other values."""
        column = f"source.{quoted(name)}"
        some = f"SELECT typeof({column}) FROM {self._from} AS source WHERE {column} IS NOT NULL LIMIT 1"
        found = connection.execute(some, self._parameters).fetchone()
        kinds = [TYPES[found[0]]] if found else list(TYPES.values())
        given = as_python(value)
        if kinds == [float] and type(given) is int and abs(given) <= 2**53:
            given = float(given)
        if type(given) not in kinds:
            fix = (
                f", which holds {found[0]}; give a Python {kinds[0].__name__}"
                if found
                else "; give an int, float, str or bytes"
            )
            raise ValueError(f"fill_null gives {value!r} for column {name!r} of {self._noun}{fix}")
        return given

    def names_of(self, rows: Rows) -> Sequence[str]:
        """The table; the file, if rows come from a query."""
        return [self._table or self._path.name] * len(rows)

    def fingerprint(self) -> dict[str, Any]:
        """The name of the file, the table or query, its parameters, the columns, and the keys."""
        keys = np.array(self._keys if not isinstance(self._keys, range) else self._keys[:1], np.int64)
        return {
            "rows": len(self),
            "file": shown(Path(self._path.name)),
            "from": self._from,
            "parameters": repr(self._parameters),
            "columns": self._columns,
            "key": self._key,
            "keys": digest(keys.tobytes()),
        }

    def _own_contents(self) -> dict[str, Any]:
        """The values of `fill_null`, and a hash of a few bytes of the file."""
        return self._fill_facts | {"content": sample_file(self._path)}

    def describe(self) -> str:
        """The number of rows, the columns, and where they come from."""
        return f"SQLiteDataset({len(self)} rows: {', '.join(self._columns)} of {self._noun})"

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_connections": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._connections = Connections(self._path, json=self._json)
