"""Parquet files."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from loadax_core import Alloc, Rows, add_note

from ..checks import check_int
from ..files.fingerprints import digest, sample_file
from .arrow import ArrowColumns
from .optional import require
from .table import Column, TableDataset, check_columns, check_fill

MEMORY = 256 << 20
"""Bytes of row groups that are kept."""


class ParquetDataset(TableDataset):
    """Rows of Parquet files, as dicts from column names to values.

    Files are read a row group at a time, only the chosen columns, and the groups read last are kept, so that rows read
    in turn read each group once. A random order that visits all groups at once would read one for each row: use
    `.shuffle(seed, block=...)`, with the rows of a group as `block`, and `memory` for a window of them. Every thread
    that reads another group needs memory for it beyond `memory`; every worker process keeps its own.

    The files must not change from then on: one of another size, or written at another time, is not read. That goes for
    processes on other machines too, so copies for them should keep the time (`cp -p`, `rsync -t`).

    Numbers and booleans become NumPy scalars of their dtype; dates, times and durations `datetime64` and
    `timedelta64` (of UTC, where there is a time zone); strings and dictionaries of them `str`; binary `bytes`; lists
    of fixed size and tensors arrays of their shape; structs dicts; and other lists arrays, or lists of strings, which
    may differ in length from row to row, so that they need a `PadBatcher` and are not gathered. A list of structs
    becomes one dict of arrays, or of lists of strings. Other types are refused.

    Args:
        paths: A file; a folder, with all `.parquet` files in it and below, by name; or several of either, in that
            order. Files and folders whose name begins with `.` or `_` are left out of folders.
        columns: The columns to read; left out, all of them.
        fill_null: By column, what to put in place of nulls; of the column's own type. Elsewhere, reading one is an
            error.
        memory: Bytes of row groups to keep; the one read last is always kept.

    Raises:
        FileNotFoundError: If there is no such file, or no Parquet file in a folder.
        ImportError: If PyArrow is not installed.
        TypeError: If a column's type has no counterpart in NumPy, or `fill_null` is no mapping.
        ValueError: If a file is damaged or has other columns than the first one, if there is no such column, if
            `columns` names none, if one is chosen or stands in a file more than once, if a value of `fill_null` does
            not fit its column, or, when a row is read, if it has a null that nothing is given for, or its file has
            changed.

    Example:
        >>> import tempfile
        >>> import pyarrow as pa, pyarrow.parquet as pq
        >>> folder = tempfile.mkdtemp()
        >>> pq.write_table(pa.table({"x": [1, 2], "name": ["a", "b"]}), f"{folder}/0.parquet")
        >>> pq.write_table(pa.table({"x": [3], "name": ["c"]}), f"{folder}/1.parquet")
        >>> rows = ParquetDataset(folder)
        >>> len(rows), rows[2]
        (3, {'x': np.int64(3), 'name': 'c'})
    """

    def __init__(
        self,
        paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        *,
        columns: Sequence[str] | None = None,
        fill_null: Mapping[str, Any] | None = None,
        memory: int = MEMORY,
    ) -> None:
        require("pyarrow.parquet", "parquet", "ParquetDataset")
        check_columns(columns)
        self._filled = check_fill(fill_null)
        given = [paths] if isinstance(paths, str | os.PathLike) else paths
        files = [_open(file) for path in given for file in _files(Path(path).absolute())]
        if not files:
            raise ValueError("ParquetDataset needs at least one file, got an empty list")
        known = files[0].schema.names
        for name in [*(columns or ()), *(fill_null or ())]:
            if name not in known:
                raise ValueError(f"{files[0].path} has no column {name!r}; it has {known}")
        self._names = list(known if columns is None else columns)
        for file in files:
            _check_distinct(file, self._names)
        for file in files[1:]:
            _check_schema(file, files[0], columns)
        arrow = require("pyarrow", "parquet", "ParquetDataset")
        # Other files may have nulls where the first one says that it has none.
        schema = arrow.schema([files[0].schema.field(name).with_nullable(True) for name in self._names])
        self._columns = ArrowColumns(schema, fill_null or {})
        self._groups: list[_Group] = [
            _Group(file, number, file.metadata.row_group(number).num_rows)
            for file in files
            for number in range(file.metadata.num_row_groups)
        ]
        self._files = files
        self._ends = np.cumsum([group.rows for group in self._groups], dtype=np.int64)
        self._memory = check_int("memory", memory, 0)
        self._kept = _Kept(self._memory)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    @property
    def types(self) -> dict[str, str]:
        """The Arrow types."""
        return self._columns.types

    @property
    def rowwise(self) -> bool:
        """False: a file may be on a network, and an error of a read belongs to one step."""
        return False

    @property
    def _stacks(self) -> bool:
        """Whether there is no list of any size."""
        return self._columns.stacks

    def _columns_at(self, rows: Rows, alloc: Alloc) -> dict[str, Column]:
        """The columns of `rows`, read group by group."""
        arrow = require("pyarrow", "parquet", "ParquetDataset")
        groups = np.searchsorted(self._ends, rows, side="right")
        order = np.argsort(groups, kind="stable")
        pieces: list[Any] = []
        visited: list[int] = np.unique(groups).tolist()
        for number in visited:
            start = int(self._ends[number]) - self._groups[number].rows
            local = rows[order][groups[order] == number] - start
            pieces.append(self._columns.decoded(self._kept.get(number, self._read).take(arrow.array(local))))
        if not pieces:
            return self._columns.of(self._columns.empty(), alloc)
        # Back from the order of the groups to that of the rows.
        places = np.empty_like(order)
        places[order] = np.arange(len(order))
        return self._columns.of(arrow.concat_tables(pieces).take(arrow.array(places)), alloc)

    def _read(self, number: int) -> Any:
        parquet = require("pyarrow.parquet", "parquet", "ParquetDataset")
        file, index, _ = self._groups[number]
        try:
            found = file.path.stat()
            # Of the same size, it may still hold other rows.
            if (found.st_size, found.st_mtime_ns) != (file.size, file.modified):
                raise ValueError(
                    f"{file.path} has changed: it had {file.size} bytes, written at another time; make the dataset anew"
                )
            with parquet.ParquetFile(file.path, metadata=file.metadata) as opened:
                # Loading is parallel already, by the workers.
                table = opened.read_row_group(index, columns=self._names, use_threads=False)
        except OSError as error:
            add_note(error, f"raised while reading row group {index} of {file.path}")
            raise
        return table.select(self._names).cast(self._columns.schema).combine_chunks()

    def fingerprint(self) -> dict[str, Any]:
        """The columns, and of each file the name, the size, the number of rows, and a hash of a few of its bytes."""
        files = [(file.path.name, file.size, file.metadata.num_rows, file.content) for file in self._files]
        return {"rows": len(self), "columns": self.types, "files": digest(repr(files).encode())}

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_kept": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._kept = _Kept(self._memory)


class _File(NamedTuple):
    """A file as it was when the dataset was made."""

    path: Path
    size: int
    modified: int
    content: str
    schema: Any
    metadata: Any


class _Group(NamedTuple):
    """One row group."""

    file: _File
    number: int
    rows: int


class _Kept:
    """The tables used last, within a budget of bytes. Threads that want the same one wait for one to load it."""

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._lock = threading.Lock()
        self._tables: OrderedDict[int, Any] = OrderedDict()
        self._loading: dict[int, threading.Lock] = {}

    def get(self, key: int, load: Callable[[int], Any]) -> Any:
        """The table for `key`, from `load(key)` if it is not there."""
        with self._lock:
            if key in self._tables:
                self._tables.move_to_end(key)
                return self._tables[key]
            loading = self._loading.setdefault(key, threading.Lock())
        with loading:
            with self._lock:
                if key in self._tables:
                    return self._tables[key]
            try:
                table = load(key)
            except BaseException:
                with self._lock:
                    self._loading.pop(key, None)
                raise
            with self._lock:
                # At once, so that nobody finds neither.
                self._loading.pop(key, None)
                self._tables[key] = table
                size = sum(table.nbytes for table in self._tables.values())
                while size > self._budget and len(self._tables) > 1:
                    size -= self._tables.popitem(last=False)[1].nbytes
            return table


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(
        file
        for file in path.rglob("*.parquet")
        if file.is_file() and not any(part.startswith((".", "_")) for part in file.relative_to(path).parts)
    )
    if not found:
        raise FileNotFoundError(f"there is no .parquet file in {path}")
    return found


def _open(path: Path) -> _File:
    parquet = require("pyarrow.parquet", "parquet", "ParquetDataset")
    found = path.stat()
    try:
        with parquet.ParquetFile(path) as opened:
            # The footer has the least and the largest values.
            content = sample_file(path, end=opened.metadata.serialized_size + 8)
            return _File(path, found.st_size, found.st_mtime_ns, content, opened.schema_arrow, opened.metadata)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is not a Parquet file, or is cut short: {error}") from error


def _check_distinct(file: _File, columns: Sequence[str]) -> None:
    known = file.schema.names
    for name in columns:
        if known.count(name) > 1:
            raise ValueError(
                f"{file.path} has the column {name!r} more than once; choose columns=[...] without it, or give each a "
                "name of its own"
            )


def _check_schema(file: _File, first: _File, columns: Sequence[str] | None) -> None:
    known = file.schema.names
    for name in first.schema.names if columns is None else columns:
        if name not in known:
            raise ValueError(f"{file.path} has no column {name!r}, which {first.path} has; it has {known}")
        here, there = file.schema.field(name).type, first.schema.field(name).type
        if here != there:
            raise ValueError(
                f"column {name!r} is {here} in {file.path}, but {there} in {first.path}; write them alike, or leave it "
                "out with columns=[...]"
            )
    for name in known if columns is None else ():
        if name not in first.schema.names:
            raise ValueError(
                f"{file.path} has a column {name!r}, which {first.path} does not have; choose columns=[...] that all "
                "files have"
            )
